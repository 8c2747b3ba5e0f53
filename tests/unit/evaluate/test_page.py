"""The page, its pictures, and a classifier beside what colour alone reaches."""

import csv
import re

import numpy as np
import pytest

from tests.unit.evaluate.small_results import FIELDS, made
from wsi_patches.errors import UsageError
from wsi_patches.evaluate.album import Picture, draw_pictures
from wsi_patches.evaluate.classification import measure_classes
from wsi_patches.evaluate.comparison import (
    GAIN,
    comparison_warnings,
    format_comparison,
    gain_over,
    write_comparison,
)
from wsi_patches.evaluate.detection import measure_detection
from wsi_patches.evaluate.page import render_evaluation
from wsi_patches.evaluate.predictions import Predictions
from wsi_patches.evaluate.slides import SlideCounts, measure_slides
from wsi_patches.html_page import RESEARCH_USE


@pytest.fixture
def pair(rng):
    """A good classifier and one that guesses, on the same patches."""
    p = made(rng, 90)
    guess = Predictions(p.class_names, p.ids, p.groups, p.truth, np.full((90, 3), 1 / 3, np.float32))
    return tuple(measure_classes(some, draws=40, group_kind="patient") for some in (p, guess))


def results():
    ids, counts = np.array(["a", "b"]), np.array([3.0, 5.0])
    positive = np.array([True, False])
    return {
        "detection": measure_detection(FIELDS, draws=5),
        "classification": measure_classes(made(np.random.default_rng(1), 30), draws=5),
        "slides": measure_slides(SlideCounts(ids, ids, counts, counts + 1), draws=5),
        "calls": measure_slides(SlideCounts(ids, ids, counts, positive=positive), draws=5),
    }


PICTURES = {"detection": 2, "classification": 5, "slides": 1, "calls": 0}


@pytest.mark.parametrize("name", PICTURES)
def test_each_result_has_its_page_with_pictures_inside(tmp_path, name):
    result = results()[name]
    pictures = draw_pictures(tmp_path, result)
    page = render_evaluation("A & B", result, pictures, details={"Model": "<none>"})
    assert len(pictures) == page.count('<img src="data:image/png;base64,') == PICTURES[name]
    assert all(re.search(f'alt="{picture.alt}"', page) for picture in pictures)
    assert page.count("<tr>") >= len(result.metrics)
    for said in ("<h1>A &amp; B</h1>", RESEARCH_USE, "&lt;none&gt;", "seed 0", "5 draws", str(result.sampling)):
        assert said in page
    assert not re.search(r'(src|href)="(?!data:)', page)


def test_names_from_files_cannot_become_markup(rng):
    p = made(rng, 30)
    hostile = Predictions(("<script>", '"onerror', "c"), p.ids, p.groups, p.truth, p.probabilities)
    result = measure_classes(hostile, draws=2, group_kind="<b>")
    page = render_evaluation("<i>", result, baselines={"<u>": result})
    assert not re.search("<script|<b>|<i>|<u>", page)


def test_a_baseline_stands_beside_the_classifier(tmp_path, pair):
    result, colour = pair
    gain = gain_over(result, colour)
    assert gain.interval.low > 0
    page = render_evaluation("x", result, baselines={"colour alone": colour})
    (row,) = re.findall(r'<tr><th scope="row">colour alone</th>.*?</tr>', page)
    assert "0.333" in row
    assert f"{gain.value:.3f} ({gain.interval.low:.3f} to {gain.interval.high:.3f})" in row
    lines = format_comparison(result, {"colour alone": colour})
    assert lines[2].startswith("colour alone")
    assert f"{gain.value:.3f}" in lines[2]
    write_comparison(tmp_path / "baselines.csv", result, {"colour alone": colour})
    with (tmp_path / "baselines.csv").open(newline="") as stream:
        rows = {(row["classifier"], row["metric"]): row for row in csv.DictReader(stream)}
    assert float(rows["colour alone", GAIN]["value"]) == pytest.approx(gain.value, rel=1e-5)
    assert rows["this classifier", "accuracy"]["n"] == "90"


def test_a_classifier_that_is_not_better_is_told_so(pair):
    result, colour = pair
    assert comparison_warnings(result, {"colour": colour}) == []
    (sentence,) = comparison_warnings(colour, {"colour": colour})
    assert "Not surely better than colour" in sentence
    assert sentence in render_evaluation("x", colour, baselines={"colour": colour})


def test_only_classifiers_have_baselines(pair):
    with pytest.raises(UsageError, match="only a classifier"):
        render_evaluation("x", measure_detection(FIELDS, draws=2), baselines={"colour": pair[1]})


def test_a_picture_must_be_there(tmp_path, pair):
    with pytest.raises(FileNotFoundError):
        render_evaluation("x", pair[0], [Picture(tmp_path / "gone.png", "gone", "gone")])
