"""What was counted with types and attributes: measured by each domain, and handed on as LeukemiaAttri has it."""

import csv
import json

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from wsi_patches.annotations import boxes_of, read_annotations, write_coco
from wsi_patches.annotations.attributes import attribute_numbers, named_attributes
from wsi_patches.cells import ALL_IDB_CLASSES, Cells
from wsi_patches.cli import main
from wsi_patches.datasets import find_inputs
from wsi_patches.geometry import Size
from wsi_patches.morphology import Attribute
from wsi_patches.outcome import ATTRIBUTES, DONE, LEARNT_DOMAINS, Interval, SlideReport
from wsi_patches.report import write_counts, write_slide_report

SIZE = Size(200, 160)
TOLD = {"cell_size": ["small", "large"], "nucleus": ["inconspicuous", "prominent"]}
MORPHOLOGY = tuple(Attribute(name, tuple(values)) for name, values in TOLD.items())
PLACES = np.array([[30, 30], [80, 30], [130, 30], [30, 90], [80, 90]], np.float64)
DOMAINS = ("H_100x_C1", "L_40x_C2")


def marked(class_names=("lymphoblast", "neutrophil", "ignore")):
    """Return four marked cells, one of whose nuclei is not known, and a place that is to be ignored."""
    edges = dict(
        zip(("left_px", "top_px", "right_px", "bottom_px"), np.hstack([PLACES - 12, PLACES + 12]).T, strict=True)
    )
    said = {
        "cell_size": ["small", "large", "small", "large", ""],
        "nucleus": ["prominent", "inconspicuous", "", "prominent", ""],
    }
    return Cells.at(PLACES, class_names, [0, 1, 0, 1, 2], **edges, **said)


def counted(shift):
    """Return the marked cells as a detector finds them, one told wrongly, and one more where it is to be ignored."""
    edges = dict(
        zip(("left_px", "top_px", "right_px", "bottom_px"), np.hstack([PLACES - 11, PLACES + 11]).T, strict=True)
    )
    said = {"cell_size": ["small", "large", "large", "large", "small"], "nucleus": ["prominent"] * 5}
    types = {
        "type": ["lymphoblast", "neutrophil", "lymphoblast", "neutrophil", "lymphoblast"],
        "type_score": np.full(5, 0.9),
    }
    return Cells.at(
        PLACES + shift, ALL_IDB_CLASSES, [0, 1, 0, 1, 0], 0.8, finder_score=np.full(5, 0.7), **edges, **types, **said
    )


@pytest.fixture
def run(tmp_path):
    """Two fields of two domains, as ``infer --method detector`` leaves them, and their marks."""
    reports = []
    for number, domain in enumerate(DOMAINS):
        folder = tmp_path / "data" / domain
        (folder / "Images" / "train").mkdir(parents=True)
        (folder / "Annotations").mkdir()
        image = np.full((SIZE.height, SIZE.width, 3), 200, np.uint8)
        cv2.imwrite(str(folder / "Images" / "train" / f"{number}.png"), image)
        write_coco(folder / "Annotations" / "train.json", [(f"{number}.png", SIZE, marked())], list(TOLD))
        path = str(folder / "Images" / "train" / f"{number}.png")
        extra = {ATTRIBUTES: TOLD, LEARNT_DOMAINS: [DOMAINS[0]], "slide_size_px": list(SIZE)}
        five = Interval(5, 4, 6)
        report = SlideReport(
            str(number), path, status=DONE, method="detector", white_cells=five, blasts=Interval(3, 2, 4), extra=extra
        )
        write_slide_report(tmp_path / "counts" / str(number), report, counted(number), image, 1.0)
        reports.append(report)
    write_counts(tmp_path / "counts" / "counts.csv", reports)
    return tmp_path


def cli(*words):
    done = CliRunner().invoke(main, list(map(str, words)))
    assert done.exit_code == 0, done.output
    return done.output


def rows_of(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_cells_csv_and_geojson_have_types_and_attributes(run):
    row = rows_of(run / "counts" / "0" / "cells.csv")[2]
    said = [row[name] for name in ("class", "type", "type_score", "cell_size", "nucleus")]
    assert said == ["blast", "lymphoblast", "0.9000", "large", "prominent"]
    feature = json.loads((run / "counts" / "0" / "cells.geojson").read_text())["features"][2]
    assert feature["properties"]["metadata"] == {"type": "lymphoblast", "cell_size": "large", "nucleus": "prominent"}
    assert feature["properties"]["measurements"]["type_score"] == 0.9


def test_attributes_and_domains_are_measured_and_ignored_places_count_for_nothing(run):
    cli("evaluate", run / "counts", "--annotations", run / "data", "-o", run / "ev", "--draws", 20)
    cells = {row["metric"]: row for row in rows_of(run / "ev" / "white_cells" / "metrics.csv")}
    assert (cells["true_positives"]["value"], cells["false_positives"]["value"]) == ("8", "0")
    told = {row["metric"]: row for row in rows_of(run / "ev" / "attributes" / "metrics.csv")}
    assert float(told["cell_size_balanced_accuracy"]["value"]) == pytest.approx((1 / 2 + 1) / 2)
    assert told["nucleus_accuracy"]["n"] == "6"  # of one cell in each field it is not known
    assert float(told["nucleus_accuracy"]["value"]) == pytest.approx(2 / 3, abs=1e-5)
    domains = rows_of(run / "ev" / "white_cells" / "domains.csv")
    assert [(row["domain"], row["learnt"]) for row in domains] == [(DOMAINS[0], "yes"), (DOMAINS[1], "no")]
    page = (run / "ev" / "white_cells" / "evaluation.html").read_text()
    assert "By the domain of the slides" in page
    assert DOMAINS[1] in page
    assert "Each attribute" in (run / "ev" / "attributes" / "evaluation.html").read_text()


def test_counted_fields_go_out_and_are_read_back(run):
    cli("export", run / "counts", "-o", run / DOMAINS[0], "--format", "leukemia-attri")
    items = find_inputs([run / DOMAINS[0]]).items
    assert [item.split for item in items] == ["train", "train"]
    for number, item in enumerate(items):
        image = cv2.imread(item.path)
        assert image.shape == (SIZE.height, SIZE.width, 3)
        back = named_attributes(read_annotations(item.annotations, None, SIZE), MORPHOLOGY)
        expected = counted(number)
        assert [back.class_names[index] for index in back.class_index] == list(expected.attributes["type"])
        assert boxes_of(back) == pytest.approx(boxes_of(expected))
        assert attribute_numbers(back, MORPHOLOGY).tolist() == attribute_numbers(expected, MORPHOLOGY).tolist()
    assert (run / DOMAINS[0] / "README.md").is_file()


def test_what_cannot_be_exported_or_measured_is_said_in_a_sentence(run):
    export, marks = ("-o", run / "x", "--format", "leukemia-attri"), ("--annotations", run / "data", "-o", run / "y")
    for words, told in (
        (("export", run / "data", *export), "holds no counts"),
        (("export", run / "counts", *export, "--split", "store"), "is a store's"),
        (("evaluate", run / "counts", *marks, "--attribute-columns", "hue"), "columns are said to be hue"),
    ):
        done = CliRunner().invoke(main, list(map(str, words)))
        assert done.exit_code == 2, done.output
        assert told in done.output.replace("\n", " ")
