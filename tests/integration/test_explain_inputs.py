"""What ``wsi-patches explain`` is given: damaged pictures, stores without classes, counts, encoders described anew."""

import csv
import hashlib
import json
from dataclasses import replace

import cv2
import pytest
import yaml
from click.testing import CliRunner
from safetensors.torch import save_file

from tests.integration.small_explain import CARD, explained
from tests.painted_sets import write_class_folders
from wsi_patches.cli.main import main
from wsi_patches.errors import UsageError
from wsi_patches.geometry import Size
from wsi_patches.models import ALLNet, save_weights
from wsi_patches.synthetic import SmearSettings, paint_smear
from wsi_patches.workflows.explain import ExplainSettings, explain
from wsi_patches.workflows.extract import ExtractSettings, extract
from wsi_patches.workflows.infer import InferSettings, infer
from wsi_patches.workflows.remove import RemoveSettings, remove

SIDE = 64
WIDTHS = (8, 16)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "weights.safetensors"
    save_weights(path, ALLNet(2, widths=WIDTHS, seed=4), CARD)
    return str(path)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return write_class_folders(tmp_path_factory.mktemp("cells"), count=24)


@pytest.fixture(scope="module")
def store(pictures, tmp_path_factory):
    """Twenty-four labelled pictures, and three of which nobody says the class."""
    folder = tmp_path_factory.mktemp("stored")
    images = [cv2.imread(str(path)) for path in sorted(pictures.rglob("*.png"))[:3]]
    (folder / "loose").mkdir()
    for number, image in enumerate(images):
        cv2.imwrite(str(folder / "loose" / f"loose_{number}.png"), image[::-1])
    inputs = (pictures, folder / "loose")
    return extract(ExtractSettings(inputs, folder / "cells.zarr", patch_size=SIDE)).out


def few(out, queries, reference, **more):
    return explained(out, queries, reference, cam="none", show=1, **more)


def test_a_damaged_picture_is_left_out_and_stops_no_other(pictures, model, tmp_path):
    good, whole = tmp_path / "asked" / "good.png", sorted(pictures.rglob("*.png"))[0].read_bytes()
    good.parent.mkdir()
    good.write_bytes(whole)
    (good.parent / "torn.png").write_bytes(whole[: len(whole) // 2])
    (good.parent / "words.png").write_text("no picture")
    done = few(tmp_path / "out", [good.parent], [pictures], model=model)
    assert [one.name for one in done.answers] == ["good.png"]
    for name in ("torn.png", "words.png"):
        assert any(name in note and "left out" in note for note in done.notes)
        assert name in done.page.read_text()


def test_all_patches_of_a_store_are_asked_about_whether_or_not_their_class_is_known(store, model, tmp_path):
    told = []
    settings = ExplainSettings((store,), (store,), tmp_path / "out", model=model, cam="none", map="none", draws=20)
    done = explain(settings, lambda *at: told.append(at))
    assert len(done.answers) == 27
    assert sorted(one.name for one in done.answers if not one.truth) == ["loose_0", "loose_1", "loose_2"]
    near = {neighbour.name for one in done.answers for neighbour in one.neighbours}
    assert not near & {"loose_0", "loose_1", "loose_2"}
    assert any("3 patches of the reference have no class" in note for note in done.notes)
    described = [at for at in told if at[1] == 24 + 27]
    assert described[-1] == (51, 51)
    assert [count for count, _ in described] == sorted(count for count, _ in described)


def test_a_store_without_patches_is_told_of(store, pictures, model, tmp_path):
    empty = extract(ExtractSettings((store.parent / "loose",), tmp_path / "empty.zarr", patch_size=SIDE)).out
    remove(RemoveSettings(empty, ("loose_0", "loose_1", "loose_2")))
    done = CliRunner().invoke(
        main, ["explain", str(empty), "--reference", str(pictures), "--model", model, "-o", str(tmp_path / "out")]
    )
    assert done.exit_code == 2
    assert "holds no patch that could be read" in done.output
    assert not (tmp_path / "out").exists()


def test_an_encoder_that_is_described_otherwise_is_asked_anew(store, tmp_path):
    weights = tmp_path / "weights.safetensors"
    save_file(ALLNet(2, widths=WIDTHS, seed=4).state_dict(), weights)
    keys = {
        "name": "mine", "library": "wsi-patches", "network": "allnet", "options": {"widths": list(WIDTHS)},
        "weights": weights.name, "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "input_px": SIDE, "dim": WIDTHS[-1], "std": [0.2, 0.25, 0.1],
    }  # fmt: skip
    path = tmp_path / "mine.yaml"

    def neighbours(name, mean):
        path.write_text(yaml.safe_dump({**keys, "mean": mean}))
        done = few(tmp_path / name, [store], [store], encoder=str(path))
        return [[near.distance for near in one.neighbours] for one in done.answers]

    first = neighbours("first", [0.8, 0.7, 0.8])
    other = neighbours("other", [0.2, 0.9, 0.1])
    assert first != other
    assert neighbours("again", [0.8, 0.7, 0.8]) == first


def test_a_group_that_is_a_slide_is_kept_apart_and_never_called_a_patient(pictures, model, tmp_path):
    done = few(tmp_path / "out", [pictures], [pictures], model=model, group_pattern="([0-9])$")
    with (tmp_path / "out" / "explanations.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert all(row["query"][-5] != row["neighbour"][-5] for row in rows)  # the digit before .png
    assert {row["query_patient"] for row in rows} == {""}
    assert done.agreement.sampling.group_kind == "slide"
    assert done.agreement.sampling.groups == 10
    assert any("nobody says which patient" in note for note in done.notes)


@pytest.fixture(scope="module")
def counted(tmp_path_factory):
    """Two slides that ``infer`` counted at a resolution which the user stated."""
    folder = tmp_path_factory.mktemp("counted")
    for name, seed in (("one", 5), ("two", 6)):
        smear = SmearSettings.random(seed, cell_diameter_px=40.0, blasts=3, others=3)
        cv2.imwrite(str(folder / f"{name}.png"), paint_smear(Size(400, 320), smear)[0][..., ::-1])
    slides = tuple(folder / f"{name}.png" for name in ("one", "two"))
    infer(InferSettings(slides, folder / "counts", model="painted-cells-lbp", slide_mpp=0.25))
    return folder


def test_cells_are_cut_at_the_resolution_that_the_user_stated_when_they_were_counted(counted, pictures, tmp_path):
    asked = {}
    for name, um in (("small", 8.0), ("large", 24.0)):
        in_um = replace(CARD, patch_um=um, patch_cell_diameters=None)
        save_weights(tmp_path / f"{name}.safetensors", ALLNet(2, widths=WIDTHS, seed=4), in_um)
        done = few(tmp_path / name, [counted / "counts"], [pictures], model=str(tmp_path / f"{name}.safetensors"))
        assert {one.name.split()[0] for one in done.answers} == {"one", "two"}
        asked[name] = [one.neighbours[0].distance for one in done.answers]
    assert asked["small"] != asked["large"]


def test_a_slide_that_is_gone_stops_no_other(counted, pictures, model, tmp_path):
    (counted / "two.png").rename(tmp_path / "moved.png")
    try:
        done = few(tmp_path / "out", [counted / "counts"], [pictures], model=model)
    finally:
        (tmp_path / "moved.png").rename(counted / "two.png")
    assert {one.name.split()[0] for one in done.answers} == {"one"}
    assert any(note.startswith("two was left out") for note in done.notes)


def test_cells_of_a_slide_do_not_take_the_class_of_the_whole_picture(counted, pictures, model, tmp_path):
    known = tmp_path / "known"
    for name, files in (("blast", [counted / "one.png"]), ("other", sorted((pictures / "other").iterdir())[:4])):
        (known / name).mkdir(parents=True)
        for file in files:
            (known / name / file.name).write_bytes(file.read_bytes())
    done = few(tmp_path / "out", [counted / "counts"], [known], model=model)
    assert len(done.answers) > 2
    assert {one.truth for one in done.answers} == {""}
    assert done.agreement is None
    assert json.loads((tmp_path / "out" / "explanations.json").read_text())["agreement"] is None
    with (tmp_path / "out" / "explanations.csv").open(newline="", encoding="utf-8") as stream:
        assert {row["truth"] for row in csv.DictReader(stream)} == {""}


def test_nothing_is_lost_where_a_network_cannot_be_used(pictures, model, tmp_path):
    few(tmp_path / "out", [pictures], [pictures], model=model)
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    with pytest.raises(UsageError, match="lower -k"):
        few(tmp_path / "out", [pictures], [pictures], model=model, overwrite=True, k=99)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
