"""``wsi-patches explain``: a page, a table and a JSON file, of pictures, of a store and of the cells of a slide."""

import csv
import json
import re

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from tests.integration.conftest import NARROWEST_PX
from tests.integration.small_explain import CARD, explained
from tests.painted_sets import painted_cells, write_class_folders
from wsi_patches.cli.main import main
from wsi_patches.errors import OutputExists, UsageError
from wsi_patches.geometry import Size
from wsi_patches.models import ALLNet, ModelCard, save_weights
from wsi_patches.models.systems import SYSTEMS
from wsi_patches.stores import derived_settings, open_store
from wsi_patches.synthetic import SmearSettings, paint_smear
from wsi_patches.workflows.explain import ExplainSettings
from wsi_patches.workflows.extract import ExtractSettings, extract
from wsi_patches.workflows.infer import InferSettings, infer

K = 3


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "weights.safetensors"
    save_weights(path, ALLNet(2, widths=(8, 16), seed=4), CARD)
    return str(path)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Painted cells in folders of classes."""
    return write_class_folders(tmp_path_factory.mktemp("cells"), count=40)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stored")
    cells = write_class_folders(folder / "cells", count=40)
    return extract(ExtractSettings(inputs=(cells,), out=folder / "cells.zarr")).out


def rows_of(folder):
    with (folder / "explanations.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_the_page_shows_queries_neighbours_maps_and_the_vote(pictures, model, tmp_path):
    done = explained(tmp_path / "out", [pictures], [pictures], model=model, map="tsne")
    page = done.page.read_text()
    assert len(done.answers) == 40
    assert page.count("<section>") == 2
    assert page.count("The query") == 2
    # Of each query itself, and of each neighbour its picture and two pairs of maps; and the latent map once.
    assert len(re.findall(r"<img src=", page)) == 2 * (1 + K * (1 + 4))
    assert page.count('<symbol id="latent"') == 1
    assert page.count('<use href="#latent"') == 2
    assert page.count("<circle") == 2 * K
    assert "2 of 40 queries" in page
    assert "For research use only" in page
    assert "More than by chance" in page
    assert "n = 40 queries of 40 slides" in page
    assert not re.search(r'(src|href)="(?!data:|#)', page)


@pytest.mark.slow
def test_the_page_needs_nothing_and_fits_a_narrow_window(pictures, model, tmp_path, show):
    done = explained(tmp_path / "out", [pictures], [pictures], model=model, map="tsne")
    for width in (NARROWEST_PX, 400, 1280):
        tab = show(done.page, viewport={"width": width, "height": 900})
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        assert tab.eval_on_selector_all("img", "(all) => all.every(one => one.naturalWidth > 0 && one.alt)")


def test_the_table_has_a_row_for_each_neighbour(pictures, model, tmp_path):
    done = explained(tmp_path / "out", [pictures], [pictures], model=model)
    rows = rows_of(tmp_path / "out")
    assert len(rows) == 40 * K
    assert [row["rank"] for row in rows[:K]] == ["1", "2", "3"]
    told = json.loads((tmp_path / "out" / "explanations.json").read_text())
    assert len(told["queries"]) == 40
    assert told["settings"]["k"] == K
    assert set(told["agreement"]) == set(done.agreement.metrics)
    assert told["queries"][0]["neighbours"][0]["name"] == rows[0]["neighbour"]


def test_neighbours_are_of_other_patients(pictures, model, tmp_path):
    explained(tmp_path / "out", [pictures], [pictures], model=model, group_pattern="(?P<patient>[0-9])$")
    rows = rows_of(tmp_path / "out")
    assert {row["query_patient"] for row in rows} == set("0123456789")
    assert all(row["query_patient"] != row["neighbour_patient"] for row in rows)


def test_a_single_query_is_known_by_its_file_and_never_its_own_neighbour(pictures, model, tmp_path):
    query = next(pictures.rglob("*.png"))
    moved = tmp_path / "moved.png"
    moved.write_bytes(query.read_bytes())
    done = explained(tmp_path / "out", [moved], [pictures], model=model)
    assert done.answers[0].truth == query.relative_to(pictures).parts[0]
    assert all(one.file != str(query) for one in done.answers[0].neighbours)


def test_what_a_network_says_of_a_store_is_kept_in_it(store, model, tmp_path):
    done = explained(tmp_path / "out", [store], [store], model=model)
    parts = open_store(store).parts
    (name,) = {
        entry.name for part in parts for entry in (part.folder / "derived/described").iterdir() if entry.is_dir()
    }
    assert all(derived_settings(part.folder, f"described/{name}") for part in parts)
    again = explained(tmp_path / "again", [store], [store], model=model)
    assert again.answers == done.answers


def test_pictures_and_a_store_of_them_have_the_same_neighbours(store, model, tmp_path):
    cells = store.parent / "cells"
    of_store = explained(tmp_path / "one", [store], [store], model=model, cam="none")
    of_files = explained(tmp_path / "two", [cells], [cells], model=model, cam="none")
    near = [
        {answer.file: [one.file for one in answer.neighbours] for answer in done.answers}
        for done in (of_store, of_files)
    ]
    assert near[0] == near[1]


def test_the_cells_of_a_slide_are_asked_about(pictures, model, tmp_path):
    smear = SmearSettings.random(5, cell_diameter_px=40.0, blasts=3, others=3)
    cv2.imwrite(str(tmp_path / "slide.png"), paint_smear(Size(400, 320), smear)[0][..., ::-1])
    infer(InferSettings((tmp_path / "slide.png",), tmp_path / "counts", model="painted-cells-lbp"))
    done = explained(tmp_path / "out", [tmp_path / "counts"], [pictures], model=model)
    found = (tmp_path / "counts/slide/cells.csv").read_text().count("\n") - 1
    assert len(done.answers) == found > 0
    assert done.agreement is None
    assert "More than by chance" not in done.page.read_text()


def test_neighbours_of_cells_that_differ_are_of_their_class_more_often_than_by_chance(model, tmp_path):
    images, _ = painted_cells(24, 64)
    glass = np.full_like(images, 230)
    for name, some in (("cell", images), ("nothing", glass)):
        (tmp_path / "set" / name).mkdir(parents=True)
        for number, image in enumerate(some):
            noisy = np.clip(image + np.random.default_rng(number).normal(0, 2, image.shape), 0, 255)
            cv2.imwrite(str(tmp_path / "set" / name / f"{number}.png"), noisy.astype(np.uint8))
    done = explained(tmp_path / "out", [tmp_path / "set"], [tmp_path / "set"], model=model)
    metrics = done.agreement.metrics
    assert metrics["by_chance"].value == pytest.approx(23 / 47)
    assert metrics["above_chance"].interval.low > 0.3
    assert metrics["votes_right"].value > 0.9


def test_a_query_without_a_majority_is_answered_by_nothing(tmp_path, model):
    images, _ = painted_cells(12, 64)
    for name, image in zip("abcdefghijkl", images, strict=True):
        (tmp_path / "set" / name).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "set" / name / f"cell_{name}.png"), image)
    said = {
        tie: [
            one.vote
            for one in explained(tmp_path / tie, [tmp_path / "set"], [tmp_path / "set"], model=model, tie=tie).answers
        ]
        for tie in ("abstain", "nearest", "boyer_moore")
    }
    near = rows_of(tmp_path / "abstain")
    assert said["abstain"] == [""] * 12
    assert said["nearest"] == [row["neighbour_class"] for row in near[::K]]
    assert said["boyer_moore"] == [row["neighbour_class"] for row in near[K - 1 :: K]]
    assert "nothing is said" in (tmp_path / "abstain" / "explained.html").read_text()


@pytest.mark.slow
def test_networks_of_tokens_are_asked_without_maps(pictures, tmp_path):
    torch.manual_seed(0)
    card = {"name": "vit", "architecture": "vit_b_16", "settings": {}, "input_px": 224}
    save_weights(tmp_path / "vit.safetensors", SYSTEMS["vit_b_16"].build(2), ModelCard(**{**vars(CARD), **card}))
    few = sorted(pictures.iterdir())
    reference = tmp_path / "few"
    for folder in few:
        for file in sorted(folder.iterdir())[:3]:
            (reference / folder.name).mkdir(parents=True, exist_ok=True)
            (reference / folder.name / file.name).write_bytes(file.read_bytes())
    with pytest.raises(UsageError, match="--cam none"):
        explained(tmp_path / "refused", [reference], [reference], model=str(tmp_path / "vit.safetensors"))
    assert not (tmp_path / "refused").exists()
    done = explained(tmp_path / "out", [reference], [reference], model=str(tmp_path / "vit.safetensors"), cam="none")
    assert len(done.answers) == 6


def test_an_explanation_is_not_written_over(pictures, model, tmp_path):
    explained(tmp_path / "out", [pictures], [pictures], model=model, cam="none")
    with pytest.raises(OutputExists, match="already there: replace it with --overwrite, or give another -o"):
        explained(tmp_path / "out", [pictures], [pictures], model=model, cam="none")
    explained(tmp_path / "out", [pictures], [pictures], model=model, cam="none", overwrite=True, k=1)
    assert len(rows_of(tmp_path / "out")) == 40


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({}, "--encoder"),
        ({"encoder": "lite0", "space": "logits"}, "no logits"),
        ({"encoder": "lite0", "k": 0}, "k is 1 or more"),
        ({"encoder": "lite0", "show": -1}, "0 or more"),
    ],
)
def test_what_cannot_be_is_refused(more, told, tmp_path):
    with pytest.raises(UsageError, match=told):
        ExplainSettings((tmp_path,), (tmp_path,), tmp_path / "out", **more)


def test_a_reference_without_classes_is_refused(pictures, model, tmp_path):
    loose = tmp_path / "loose"
    loose.mkdir()
    for number, file in enumerate(sorted(pictures.rglob("*.png"))[:3]):
        (loose / f"{number}.png").write_bytes(file.read_bytes())
    with pytest.raises(UsageError, match="named as the classes"):
        explained(tmp_path / "out", [pictures], [loose], model=model)


def test_the_command_tells_figures_and_json(pictures, model, tmp_path):
    common = [str(pictures), "--model", model, "--reference", str(pictures), "--map", "none", "--cam", "none"]
    told = CliRunner().invoke(main, ["explain", *common, "-o", str(tmp_path / "one")])
    assert told.exit_code == 0, told.output
    assert "More than by chance" in told.output
    as_json = CliRunner().invoke(main, ["explain", *common, "-o", str(tmp_path / "two"), "--json"])
    values = json.loads(as_json.stdout)
    assert values["queries"] == 40
    assert values["agreement"]["by_chance"]["value"] == pytest.approx(0.5, abs=0.1)
    quiet = CliRunner().invoke(main, ["explain", *common, "-o", str(tmp_path / "three"), "-q"])
    assert quiet.output == ""
