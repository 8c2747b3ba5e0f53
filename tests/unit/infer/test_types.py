"""Types of cells in infer: cells keep their type, slides and groups are counted by types, blasts stay as they were."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from wsi_patches.cells import Cells
from wsi_patches.cli.main import main
from wsi_patches.errors import ModelError
from wsi_patches.geometry import Size
from wsi_patches.infer.classify import load_classifier
from wsi_patches.infer.types import are_blasts, type_columns, with_types
from wsi_patches.models import CellClassifier, save_weights
from wsi_patches.outcome import DONE, SlideReport
from wsi_patches.report import read_types
from wsi_patches.synthetic import SmearSettings, write_slide

MODEL = "painted-cells-lbp"


@pytest.fixture(scope="module")
def shipped():
    return CellClassifier.load(MODEL, "cpu")


def card_of(shipped, classes, blasts=None, confusion=()):
    return replace(shipped.card, classes=classes, blasts=blasts, confusion=confusion)


@pytest.mark.parametrize(
    ("classes", "blasts", "expected"),
    [
        (("blast", "other"), None, [True, False]),
        (("Myeloblast", "lymphocyte", "smudge_cell"), None, [True, False, False]),
        (("hairy_cell", "lymphocyte"), ("hairy_cell",), [True, False]),
        (("lymphoblast", "monocyte"), ("monocyte",), [False, True]),  # what the card says wins
    ],
)
def test_which_types_are_blasts_is_said_by_the_card_or_by_their_names(shipped, classes, blasts, expected):
    assert are_blasts(card_of(shipped, classes, blasts)).tolist() == expected


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (("lymphoblast", "hairy_cell"), "which may or may not be blasts: hairy_cell"),
        (("monocyte", "lymphocyte"), "none of which is a blast"),
    ],
)
def test_a_model_of_types_that_does_not_say_which_are_blasts_is_refused(shipped, tmp_path, classes, message):
    save_weights(tmp_path / "m.safetensors", shipped.network, card_of(shipped, classes))
    with pytest.raises(ModelError, match=message):
        load_classifier(str(tmp_path / "m.safetensors"), "cpu")


def test_a_card_that_names_unknown_blasts_or_a_crooked_confusion_is_refused(shipped):
    with pytest.raises(ModelError, match="blasts are some of its classes, found monocyte"):
        card_of(shipped, ("a", "b"), ("monocyte",))
    with pytest.raises(ModelError, match="confusion is a count"):
        card_of(shipped, ("a", "b"), ("a",), ((1, 2),))


def test_counts_and_expected_counts_of_a_slide(shipped):
    card = card_of(shipped, ("blast", "smudge_cell"), confusion=((9, 1), (2, 8)))
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]], np.float32)
    cells = replace(
        Cells.at([(1, 1), (2, 2), (3, 3)], ("blast", "other"), [0, 0, 1]), attributes=type_columns(card, probabilities)
    )
    report, cells = with_types(SlideReport("S", "S.svs", DONE), cells, card)
    told = report.extra["types"]
    assert (told["names"], told["counts"], told["blasts"]) == (["blast", "smudge_cell"], [2, 1], ["blast"])
    assert told["expected"] == pytest.approx([1.7, 1.3], abs=1e-4)
    assert told["confusion"] == [[9, 1], [2, 8]]
    assert sorted(cells.attributes) == ["type", "type_score"]
    assert cells.attributes["type"].tolist() == ["blast", "blast", "smudge_cell"]
    assert cells.attributes["type_score"] == pytest.approx([0.9, 0.6, 0.8])
    assert "1 smudge_cell" in report.warnings[0]  # it was found as a white cell, and is none


def rows_of(path):
    with path.open() as stream:
        return list(csv.DictReader(stream))


def test_infer_counts_types_of_slides_and_patients_and_blasts_as_before(shipped, tmp_path):
    slides = tmp_path / "slides"
    slides.mkdir()
    for number in (1, 2):
        smear = SmearSettings.random(number, cell_diameter_px=48.0, blasts=3, others=3)
        write_slide(slides / f"P1_{number}.svs", Size(420, 420), smear)
    types = card_of(shipped, ("small_blast", "lymphocyte"), ("small_blast",), ((9, 1), (2, 8)))
    save_weights(tmp_path / "types.safetensors", shipped.network, types)
    outs = {}
    for name, model in (("plain", MODEL), ("types", tmp_path / "types.safetensors")):
        outs[name] = tmp_path / name
        arguments = ["infer", slides, "-o", outs[name], "--model", model, "--device", "cpu"]
        told = CliRunner().invoke(main, [str(one) for one in (*arguments, "--group-pattern", "(?P<patient>P1)_", "-q")])
        assert told.exit_code == 0, told.output
    figures = ("blasts", "blasts_low", "blasts_high", "white_cells", "blast_fraction")
    plain, typed = ([{key: row[key] for key in figures} for row in rows_of(outs[one] / "counts.csv")] for one in outs)
    assert plain == typed
    assert not (outs["plain"] / "types.csv").exists()

    rows, [patient] = rows_of(outs["types"] / "types.csv"), rows_of(outs["types"] / "types_groups.csv")
    for row, count in zip(rows, typed, strict=True):
        cells = rows_of(outs["types"] / row["slide_id"] / "cells.csv")
        assert int(row["count_small_blast"]) == int(count["blasts"]) == [c["type"] for c in cells].count("small_blast")
        assert {(c["type"], c["class"]) for c in cells} <= {("small_blast", "blast"), ("lymphocyte", "other")}
        assert [c["type_score"] for c in cells] == [c["score"] for c in cells]
        assert float(row["expected_small_blast"]) + float(row["expected_lymphocyte"]) == pytest.approx(len(cells))
    assert int(patient["count_lymphocyte"]) == sum(int(row["count_lymphocyte"]) for row in rows)
    assert float(patient["expected_lymphocyte"]) == pytest.approx(sum(float(r["expected_lymphocyte"]) for r in rows))

    read = read_types(outs["types"])
    assert (read.patients, read.types, read.blasts) == (("P1",), ("small_blast", "lymphocyte"), ("small_blast",))
    assert read.confusion.tolist() == [[9, 1], [2, 8]]
    features = json.loads((outs["types"] / "P1_1" / "cells.geojson").read_text())["features"]
    assert {one["metadata"]["type"] for one in (f["properties"] for f in features)} <= set(read.types)
    assert not any("chance" in name for f in features for name in f["properties"]["measurements"])
