"""Errors to look at."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.evaluate.small_results import FIELDS, field
from wsi_patches.evaluate.detection import FieldDetections
from wsi_patches.evaluate.gallery import (
    FALSE_POSITIVE,
    FRAMES,
    MISSED,
    classification_gallery,
    detection_errors,
    detection_gallery,
    most_wrong,
)
from wsi_patches.evaluate.predictions import Predictions


def classifier(rng, n=60):
    """Return the predictions of a good classifier that is seldom quite certain."""
    truth = rng.integers(0, 3, n).astype(np.int32)
    p = rng.dirichlet(np.ones(3), n) * 0.6
    p[np.arange(n), truth] += 0.4
    ids = np.array([f"image {k}" for k in range(n)])
    return Predictions(("a", "b", "c"), ids, ids, truth, p.astype(np.float32))


def relabelled(p, row):
    truth = p.truth.copy()
    truth[row] = int(np.argmin(p.probabilities[row]))
    return Predictions(p.class_names, p.ids, p.groups, truth, p.probabilities)


def test_a_planted_label_error_comes_first(rng):
    p = classifier(rng)
    planted = int(p.probabilities.max(axis=1).argmax())
    wrong = relabelled(p, planted)
    assert most_wrong(wrong)[0] == planted
    images = np.full((60, 8, 8, 3), 200, np.uint8)
    images[planted] = (255, 0, 0)
    gallery = classification_gallery(images, wrong)
    assert (gallery[20, 20] == (255, 0, 0)).all()
    assert (gallery == (255, 0, 0)).all(axis=2).mean() < 0.3


@given(st.integers(0, 10_000), st.integers(0, 9))
def test_only_wrong_ones_are_shown_the_worst_first(seed, most):
    rng = np.random.default_rng(seed)
    p = classifier(rng, 20)
    p = Predictions(p.class_names, p.ids, p.groups, rng.permutation(p.truth), p.probabilities)
    rows = most_wrong(p, most)
    assert len(rows) == min(most, int((p.predicted != p.truth).sum()))
    margin = p.probabilities.max(axis=1) - p.probabilities[np.arange(20), p.truth]
    assert (margin[rows] > 0).all()
    assert (np.diff(margin[rows]) <= 0).all()


def test_images_that_are_not_shown_are_not_read(rng):
    p = relabelled(classifier(rng), 7)
    read = []

    class Lazy:
        def __getitem__(self, index):
            read.append(index)
            return np.zeros((10, 30, 3), np.uint8)

    classification_gallery(Lazy(), p, most=1)
    assert read == most_wrong(p, 1).tolist()


def test_nothing_wrong_nothing_drawn(rng):
    p = classifier(rng)
    right = Predictions(p.class_names, p.ids, p.groups, p.predicted.astype(np.int32), p.probabilities)
    assert classification_gallery(np.zeros((60, 4, 4, 3), np.uint8), right) is None
    assert detection_gallery([], []) is None


def test_errors_of_detection_by_hand():
    errors = detection_errors(FIELDS)
    assert [(error.field, error.kind) for error in errors] == [
        (0, FALSE_POSITIVE),
        (1, FALSE_POSITIVE),
        (0, MISSED),
        (1, MISSED),
    ]
    assert [error.score for error in errors[:2]] == [0.8, 0.3]
    assert [error.kind for error in detection_errors(FIELDS, 0.75)].count(MISSED) == 4


def test_a_missed_box_is_shown_at_its_centre():
    boxes = np.array([[10.0, 20, 30, 60]])
    empty = FieldDetections("s", "s", np.empty((0, 2)), np.empty(0), np.empty(0, np.int64), boxes)
    (error,) = detection_errors([empty])
    assert (error.slide_id, error.x, error.y) == ("s", 20, 40)


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 20))
def test_both_kinds_get_their_room(made_up, missed, most):
    errors = detection_errors([field("a", np.arange(made_up), [-1] * made_up, missed)], most=most)
    assert len(errors) == min(most, made_up + missed)
    assert sum(error.kind == MISSED for error in errors) >= min(missed, most // 2)
    assert len({(error.kind, error.score, number) for number, error in enumerate(errors)}) == len(errors)


def test_frames_tell_what_was_made_up_from_what_was_missed():
    errors = detection_errors([field("a", [0.5], [-1], 1)])
    gallery = detection_gallery([np.zeros((40, 40, 3), np.uint8)] * 2, errors)
    half = gallery.shape[1] // 2
    for part, kind in ((gallery[:, :half], FALSE_POSITIVE), (gallery[:, half:], MISSED)):
        shown = {name for name, colour in FRAMES.items() if (part == colour).all(axis=2).sum() > 100}
        assert shown == {kind}
