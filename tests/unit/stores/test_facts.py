"""What a store says of its slides goes out with an export and comes back."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from wsi_patches.errors import StoreError
from wsi_patches.stores import open_store
from wsi_patches.stores.facts import FACTS, read_facts, write_facts
from wsi_patches.workflows.extract import ExtractSettings, extract
from wsi_patches.workflows.preprocess import PreprocessSettings, preprocess


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("facts")
    (folder / "marks").mkdir()
    for name, marks in {"a": "blasts\n20 20\n70.5 30.25\nnormal\n90 50\n", "b": "blasts\nnormal\n"}.items():
        cv2.imwrite(str(folder / f"{name}.png"), np.random.default_rng(1).integers(0, 256, (64, 130, 3), np.uint8))
        (folder / "marks" / f"{name}.xyc").write_text(marks)
    settings = ExtractSettings((folder,), folder / "a.zarr", annotations=folder / "marks", patch_size=64, workers=1)
    return open_store(extract(settings).out)


def test_slides_cells_and_settings_come_back(store, tmp_path):
    write_facts(tmp_path / FACTS, store, ["a", "b"])
    facts = read_facts(tmp_path / FACTS)
    assert facts.settings == store.settings
    assert not facts.derived
    plain = [replace(one, path=f"{one.id}.png", warnings=()) for one in store.slides]
    assert list(facts.slides) == plain
    assert facts.cells.keys() == {"a"}
    assert np.array_equal(facts.cells["a"].xy, store.cells("a").xy)
    assert np.array_equal(facts.cells["a"].class_index, store.cells("a").class_index)


def test_slides_that_were_not_exported_and_folders_of_this_machine_stay_here(store, tmp_path):
    write_facts(tmp_path / FACTS, store, ["b"])
    assert [one.id for one in read_facts(tmp_path / FACTS).slides] == ["b"]
    assert str(store.path.parent) not in (tmp_path / FACTS).read_text()


def test_settings_of_focus_scores_go_along(store, tmp_path):
    preprocess(PreprocessSettings(store.path, focus=True, workers=1))
    write_facts(tmp_path / FACTS, open_store(store.path), ["a"])
    assert read_facts(tmp_path / FACTS).derived["focus"]


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"format": "wsi-patches"}', "no json\n"])
def test_another_file_is_refused(tmp_path, content):
    (tmp_path / FACTS).write_text(content)
    with pytest.raises(StoreError):
        read_facts(tmp_path / FACTS)


def test_a_file_cut_off_is_refused(store, tmp_path):
    write_facts(tmp_path / FACTS, store, ["a", "b"])
    content = (tmp_path / FACTS).read_bytes()
    (tmp_path / FACTS).write_bytes(content[:-20])
    with pytest.raises(StoreError, match="export anew"):
        read_facts(tmp_path / FACTS)
