"""Pictures are written, say of how many, and take any name."""

import numpy as np
import pytest
from PIL import Image

from tests.unit.evaluate.small_results import FIELDS, field, made
from wsi_patches.errors import UsageError
from wsi_patches.evaluate import pictures
from wsi_patches.evaluate.classification import measure_classes
from wsi_patches.evaluate.detection import measure_detection
from wsi_patches.evaluate.predictions import Predictions
from wsi_patches.evaluate.risk_coverage import risk_of
from wsi_patches.evaluate.slides import SlideCounts, measure_slides

OF_CLASSES = [
    pictures.draw_roc,
    pictures.draw_precision_recall,
    pictures.draw_class_f1,
    pictures.draw_confusion,
    pictures.draw_reliability,
]


def ink(path):
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        return float((np.asarray(picture.convert("L")) < 128).mean())


@pytest.mark.parametrize("draw", OF_CLASSES)
def test_classes_are_drawn_whatever_their_names(tmp_path, rng, draw):
    p = made(rng, 40)
    names = ("_hidden", "$x^2", "<b>", "never there")
    padded = np.pad(p.probabilities, ((0, 0), (0, 1)))
    draw(tmp_path / "a.png", measure_classes(Predictions(names, p.ids, p.groups, p.truth, padded), draws=2))
    assert ink(tmp_path / "a.png") > 0.005
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("draw", OF_CLASSES)
def test_one_true_class_leaves_no_curve_but_a_picture(tmp_path, rng, draw):
    p = made(rng, 12)
    same = Predictions(p.class_names, p.ids, p.groups, np.zeros(12, np.int32), p.probabilities)
    draw(tmp_path / "a.png", measure_classes(same, draws=2))
    assert ink(tmp_path / "a.png") > 0.001


@pytest.mark.parametrize("draws", [0, 20])
def test_what_is_kept_is_drawn_by_each_doubt_with_or_without_intervals(tmp_path, rng, draws):
    result = measure_classes(made(rng, 40), draws=draws)
    rows = risk_of(result, {"entropy": rng.random(40), "$x^2": rng.random(40)})
    pictures.draw_risk_coverage(tmp_path / "a.png", result, rows)
    one = tmp_path / "one.png"
    pictures.draw_risk_coverage(one, result, rows[: len(rows) // 2])
    assert ink(tmp_path / "a.png") > ink(one) > 0.001


@pytest.mark.parametrize("draw", [pictures.draw_f1_threshold, pictures.draw_bland_altman])
@pytest.mark.parametrize("fields", [FIELDS, [field("a", [], [], 0)]], ids=["found", "nothing"])
def test_detection_is_drawn(tmp_path, draw, fields):
    draw(tmp_path / "a.png", measure_detection(fields, 0.4, draws=2))
    assert ink(tmp_path / "a.png") > 0.001


def test_slides_are_drawn_where_true_counts_are_known(tmp_path):
    ids, counts = np.array(["a", "b"]), np.array([3.0, 5.0])
    pictures.draw_bland_altman(tmp_path / "a.png", measure_slides(SlideCounts(ids, ids, counts, counts + 1), draws=2))
    assert ink(tmp_path / "a.png") > 0.001
    unknown = measure_slides(SlideCounts(ids, ids, counts, positive=np.array([True, False])), draws=2)
    with pytest.raises(UsageError, match="needs true counts"):
        pictures.draw_bland_altman(tmp_path / "b.png", unknown)
    assert not (tmp_path / "b.png").exists()
