"""Tuning the threshold: against the loop of the reference written out, on stand-ins with known scores and on cells."""

import json
import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from wsi_patches.errors import UsageError
from wsi_patches.geometry import Size
from wsi_patches.imaging.bicubic import resize_bicubic
from wsi_patches.imaging.focus import FLAT_SCORE, fqpath, grey
from wsi_patches.imaging.focus_threshold import (
    THRESHOLDS,
    ThresholdCurve,
    leave_one_out_accuracy,
    tune_by_accuracy,
    tune_by_correlation,
)
from wsi_patches.imaging.pcanet import PCANet
from wsi_patches.imaging.sharpen import SharpenSettings, sharpen_adaptively, unsharp
from wsi_patches.synthetic import paint_cell_patches

TEXTURE = np.random.default_rng(3).integers(0, 2, (128, 128, 3), np.uint8)


class Written:
    """Images that carry their number in their first pixel, the radius in the second, and their scores in a table."""

    def __init__(self, scores):
        self.scores = np.asarray(scores, np.float64)
        self.images = np.repeat(TEXTURE[None], len(self.scores), axis=0)
        self.images[:, 0, 0, 0] = np.arange(len(self.scores))
        self.images[:, 0, 0, 1] = 0
        self.asked = []

    def sharpen(self, image, radius_px, amount=0.8):
        sharper = image.copy()
        sharper[0, 0, 1] = (radius_px + 1) // 2
        return sharper

    def score(self, images):
        versions = [(int(number), int(step)) for number, step in images[:, 0, 0, :2]]
        self.asked += versions
        return np.array([self.scores[version] for version in versions])

    def tuned(self, labels, **asked):
        return tune_by_correlation(self.images, labels, sharpen=self.sharpen, score=self.score, **asked)


def loop_of_the_reference(scores, threshold, tries=9):
    """Return the score that the loop of loadImages.m ends with; ``scores`` are those of one image and its versions."""
    step = 0
    while scores[step] > threshold and step < tries:
        step += 1
    return scores[step]


def blurred_cells(count, seed=2, side=128):
    images, labels = paint_cell_patches(count, seed, side)
    widths = np.random.default_rng(seed).uniform(0.3, 3, count)
    return np.stack([cv2.GaussianBlur(*pair) for pair in zip(images, [(0, 0)] * count, widths, strict=True)]), labels


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_correlations_are_those_of_the_loop_run_for_every_threshold(seed):
    rng = np.random.default_rng(seed)
    written = Written(rng.uniform(5, 10, (8, 10)).round(1))
    labels = rng.permutation([0, 0, 0, 1, 1, 1, 1, 0])
    curve = written.tuned(labels)
    assert curve.thresholds == THRESHOLDS
    for threshold, value in zip(THRESHOLDS, curve.values, strict=True):
        ends = [loop_of_the_reference(scores, threshold) for scores in written.scores]
        assert value == pytest.approx(abs(np.corrcoef(ends, labels)[0, 1]), abs=1e-12)
    assert curve.chosen == THRESHOLDS[int(np.argmin(curve.values))]
    assert len(written.asked) == len(set(written.asked))


def test_images_sharp_enough_for_every_threshold_cost_one_score():
    written = Written([[6.1] + [0] * 9, [6.0] + [0] * 9, [9.5, 6.05] + [0] * 8])
    written.tuned([0, 0, 1])
    assert sorted(written.asked) == [(0, 0), (1, 0), (2, 0), (2, 1)]


def test_the_thresholds_are_those_of_the_reference():
    assert THRESHOLDS[:3] == (9.0, 8.9, 8.8)
    assert THRESHOLDS[-1] == 6.1
    assert len(THRESHOLDS) == 30


def test_the_highest_of_equally_good_thresholds_is_chosen():
    # Unsharpened, scores tell the classes apart; from 8.4 down they say nothing, from 6.9 down again something.
    written = Written([[8.5, 5, *[5] * 8], [5, *[5] * 9], [8.5, 5, *[5] * 8], [7, 6, *[6] * 8]])
    curve = written.tuned([1, 0, 1, 0])
    assert curve.values[0] > 0.5
    least = min(value for value in curve.values if not math.isnan(value))
    assert curve.chosen == THRESHOLDS[curve.values.index(least)]


def test_a_threshold_that_makes_all_scores_equal_is_never_chosen():
    written = Written([[8.5, *[5] * 9], [8.1, *[5] * 9], [8.2, *[5] * 9]])
    curve = written.tuned([1, 0, 0])
    assert math.isnan(curve.values[-1])
    assert curve.chosen > 8
    assert None in json.loads(json.dumps(curve.to_dict(), allow_nan=False))["values"]


def test_scores_that_are_always_equal_are_refused():
    with pytest.raises(UsageError, match="same for all images"):
        Written([[7.0] * 10] * 3).tuned([0, 1, 1])


def test_keep_best_ends_with_the_lowest_score_where_none_is_low_enough():
    scores = [[9.9, 9.8, 9.2, 9.7, *[9.6] * 6], [9.5, 9.9, 9.4, *[9.6] * 7], [8, *[8] * 9], [8.5, *[8.2] * 9]]
    labels = [0, 1, 1, 1]
    best = Written(scores).tuned(labels, settings=SharpenSettings(9.0, keep="best"))
    assert best.values[0] == pytest.approx(abs(np.corrcoef([9.2, 9.4, 8, 8.5], labels)[0, 1]))
    last = Written(scores).tuned(labels)
    assert last.values[0] == pytest.approx(abs(np.corrcoef([9.6, 9.6, 8, 8.5], labels)[0, 1]))


def test_flat_images_are_left_as_they_are():
    written = Written([[FLAT_SCORE] * 10, [9.5, *[5.5] * 9], [9.3, *[5.2] * 9]])
    curve = written.tuned([0, 1, 1])
    assert (0, 1) not in written.asked
    assert curve.values[-1] == pytest.approx(abs(np.corrcoef([FLAT_SCORE, 5.5, 5.2], [0, 1, 1])[0, 1]))


def test_fewer_tries_are_fewer_versions():
    written = Written([[9.5, *[9.4] * 9], [9.3, *[9.2] * 9], [9.6, *[9.1] * 9]])
    written.tuned([0, 1, 1], settings=SharpenSettings(9.0, tries=2))
    assert {step for _, step in written.asked} == {0, 1, 2}


def test_the_oddity_of_the_reference_loses_half_of_the_light():
    images, labels = blurred_cells(6)
    seen = []

    def score(batch):
        seen.append(batch)
        return np.arange(len(batch), dtype=np.float64)

    tune_by_correlation(images, labels, parity=True, score=score)
    means = images.mean(axis=(1, 2, 3), keepdims=True)
    assert np.abs(seen[0] - np.maximum(images - means, 0)).max() <= 0.5
    tune_by_correlation(images, labels, score=score)
    assert np.array_equal(seen[1], images)


def test_on_cells_the_curve_is_that_of_adaptive_sharpening():
    images, labels = blurred_cells(10)
    curve = tune_by_correlation(images, labels)
    for index in (0, 12, 29):
        ends = sharpen_adaptively(images, SharpenSettings(THRESHOLDS[index]), precision="float64").score_after
        assert curve.values[index] == pytest.approx(abs(np.corrcoef(ends, labels)[0, 1]), abs=1e-9)


def test_accuracy_is_tried_around_a_threshold():
    images, labels = blurred_cells(10)
    curve = tune_by_accuracy(images, labels, 7.1)
    assert curve.thresholds == (6.6, 6.7, 6.8, 6.9, 7.0, 7.1, 7.2, 7.3, 7.4, 7.5, 7.6)
    assert curve.how == "accuracy"
    best = [at for at, value in zip(curve.thresholds, curve.values, strict=True) if value == max(curve.values)]
    assert curve.chosen == best[-1]


def test_accuracy_is_that_of_cells_sharpened_in_their_own_size():
    images, labels = blurred_cells(8, side=160)
    curve = tune_by_accuracy(images, labels, 8.8)
    sharpened = sharpen_adaptively(images, SharpenSettings(9.0), precision="float64")
    assert set(sharpened.radius_px) > {0, 3}
    small = resize_bicubic(grey(sharpened.images), Size(128, 128))
    features = PCANet.fit(small).features(small)
    assert curve.values[curve.thresholds.index(9.0)] == leave_one_out_accuracy(features, labels)


def test_sharpening_that_brings_the_pattern_out_is_found():
    # Sharpened, an image shows its class, as stripes or as checks; thresholds from 7.3 up leave it as noise.
    rng = np.random.default_rng(1)
    labels = np.arange(12) % 2
    images = rng.integers(118, 138, (12, 128, 128, 3), np.uint8)
    # Noise alone would need too many filters: a dark half, the same in all, is most of the variance.
    images[:, :, :64] //= 4
    images[:, 0, 0, 0] = labels
    images[:, 0, 0, 1] = 0
    rows, columns = np.mgrid[:128, :128] // 6 % 2

    def sharpen(image, radius_px, amount):
        pattern = rows if image[0, 0, 0] == 0 else rows ^ columns
        sharper = np.where(pattern[..., None], 60, 190).astype(np.uint8) + image // 16
        sharper[0, 0, 1] = 1
        return sharper

    def score(batch):
        return np.where(batch[:, 0, 0, 1] == 1, 5.0, 7.3)

    curve = tune_by_accuracy(images, labels, 7.1, sharpen=sharpen, score=score)
    assert curve.chosen == 7.2
    assert curve.values[:7] == (1,) * 7
    assert max(curve.values[7:]) < 1


def test_equal_choices_are_worked_out_once(monkeypatch):
    calls = []

    def counted(features, labels):
        calls.append(1)
        return 0.5

    monkeypatch.setattr("wsi_patches.imaging.focus_threshold.leave_one_out_accuracy", counted)
    images, _ = paint_cell_patches(4, 6, 128)
    curve = tune_by_accuracy(images, [0, 1, 0, 1], 7.0, score=lambda batch: np.full(len(batch), 5.0))
    assert len(calls) == 1
    assert curve.values == (0.5,) * 11
    assert curve.chosen == 7.5


def test_an_image_is_no_neighbour_of_its_own():
    features = sparse.csr_array(np.array([[0, 1], [0, 1.1], [9, 9], [9, 8.5], [0, 2]], np.float32))
    assert leave_one_out_accuracy(features, [0, 0, 1, 1, 1]) == 0.8
    assert leave_one_out_accuracy(features[:2], ["a", "b"]) == 0


def test_an_image_and_its_copy_are_neighbours():
    features = sparse.csr_array(np.array([[1, 0], [1, 0], [5, 5], [5, 5]], np.float32))
    assert leave_one_out_accuracy(features, [0, 0, 1, 1]) == 1
    assert leave_one_out_accuracy(features, [0, 1, 1, 1]) == 0.5


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(2, 12))
def test_neighbours_are_those_of_all_distances(seed, count):
    rng = np.random.default_rng(seed)
    dense = (rng.random((count, 40)) * (rng.random((count, 40)) < 0.3)).astype(np.float32)
    labels = rng.integers(0, 3, count)
    right = 0
    for index in range(count):
        distances = ((dense - dense[index]) ** 2).sum(axis=1)
        distances[index] = np.inf
        right += labels[distances.argmin()] == labels[index]
    assert leave_one_out_accuracy(sparse.csr_array(dense), labels) == pytest.approx(right / count)


def test_features_too_many_to_list_cost_nothing():
    wide = sparse.csr_array(
        (np.ones(3, np.float32), np.array([7, 1 << 60, 1 << 60]), np.array([0, 1, 2, 3])), shape=(3, 1 << 61)
    )
    assert leave_one_out_accuracy(wide, [0, 1, 1]) == pytest.approx(2 / 3)


def test_curves_survive_json():
    curve = ThresholdCurve((7.0, 7.1), (0.5, 0.75), 7.1, "accuracy")
    assert json.loads(json.dumps(curve.to_dict())) == {
        "thresholds": [7.0, 7.1],
        "values": [0.5, 0.75],
        "chosen": 7.1,
        "how": "accuracy",
    }


@pytest.mark.parametrize(
    ("images", "labels", "words"),
    [
        (np.zeros((3, 40, 40), np.uint8), [0, 1, 1], "RGB uint8"),
        (np.zeros((3, 40, 40, 3), np.float32), [0, 1, 1], "RGB uint8"),
        (np.zeros((3, 40, 40, 3), np.uint8), [0, 1], "label for each"),
        (np.zeros((3, 40, 40, 3), np.uint8), [1, 1, 1], "two classes or more"),
        (np.zeros((0, 40, 40, 3), np.uint8), [], "two classes or more"),
    ],
)
def test_what_nothing_can_be_learnt_from_is_refused(images, labels, words):
    with pytest.raises(UsageError, match=words):
        tune_by_correlation(images, labels)
    with pytest.raises(UsageError, match=words):
        tune_by_accuracy(images, labels, 7.1)


def test_three_classes_have_no_correlation():
    with pytest.raises(UsageError, match="exactly two classes, found 3"):
        Written([[7.0] * 10] * 3).tuned([0, 1, 2])


def test_a_threshold_to_look_around_is_a_number():
    with pytest.raises(UsageError, match="th0 must be"):
        tune_by_accuracy(np.zeros((2, 40, 40, 3), np.uint8), [0, 1], math.nan)


def test_sharper_cells_score_lower():
    """The real score and the real sharpening fit together."""
    images, _ = blurred_cells(1)
    assert fqpath(unsharp(images[0], 3)) < fqpath(images[0])
