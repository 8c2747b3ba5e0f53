"""Calibration: what is fitted makes held-out probabilities honest, and never infinitely sure."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import expit, softmax
from torchmetrics.functional.classification import multiclass_calibration_error

from wsi_patches.errors import UsageError
from wsi_patches.train.calibrate import (
    calibration_error,
    fit_isotonic,
    fit_slide_shift,
    fit_temperature,
    tempered,
)


def drawn(rng, rows, classes=2, spread=2.0):
    """Return logits whose softmax is true, and classes drawn by it."""
    logits = rng.normal(0, spread, (rows, classes)).astype(np.float32)
    chances = softmax(logits, axis=1).cumsum(axis=1)
    return logits, (rng.random((rows, 1)) > chances).sum(axis=1).astype(np.int32)


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("factor", [0.5, 1.0, 4.0])
def test_the_temperature_undoes_a_factor_on_the_logits(rng, factor, classes):
    logits, truth = drawn(rng, 6000, classes)

    found = fit_temperature(logits * factor, truth)

    assert found == pytest.approx(factor, rel=0.1)
    before, after = (calibration_error(tempered(logits * factor, t), truth) for t in (1.0, found))
    assert after < 0.03
    assert after <= before + 0.01


def test_a_small_set_without_an_error_leaves_doubt():
    truth = np.array([0, 1] * 10, np.int32)
    logits = np.where(truth[:, None] == [0, 1], 3.0, -3.0).astype(np.float32)

    sure = tempered(logits, fit_temperature(logits, truth)).max()

    assert sure == pytest.approx(21 / 22, abs=1e-3)


def test_isotonic_points_mend_a_bent_probability(rng):
    true = rng.random(8000)
    positive = rng.random(8000) < true
    bent = (true**3).astype(np.float32)

    said, meant = np.array(fit_isotonic(bent, positive)).T

    assert np.all(np.diff(said) > 0)
    assert np.all(np.diff(meant) >= 0)
    assert 0 < meant.min() <= meant.max() < 1
    mended = np.interp(bent, said, meant)
    assert np.abs(mended - true).mean() < 0.05


@given(arrays(np.float32, st.integers(2, 40), elements=st.floats(0, 1, width=32)), st.data())
def test_isotonic_points_are_fit_for_a_card(probability, data):
    positive = np.array(data.draw(st.lists(st.booleans(), min_size=len(probability), max_size=len(probability))))
    if positive.all() or not positive.any():
        with pytest.raises(UsageError, match="both classes"):
            fit_isotonic(probability, positive)
        return

    said, meant = np.array(fit_isotonic(probability, positive)).T

    assert np.all(np.diff(said) > 0)
    assert np.all(np.diff(meant) >= 0)
    assert 0 < meant.min() <= meant.max() < 1


def test_the_calibration_error_is_that_of_torchmetrics(rng):
    logits, truth = drawn(rng, 500, 3)
    probabilities = tempered(logits, 0.4)

    theirs = multiclass_calibration_error(torch.tensor(probabilities), torch.tensor(truth, dtype=torch.long), 3, 15)

    assert calibration_error(probabilities, truth) == pytest.approx(theirs.item(), abs=1e-6)


def test_nothing_to_fit_on_is_said():
    with pytest.raises(UsageError, match="larger share"):
        fit_temperature(np.empty((0, 2), np.float32), np.empty(0, np.int32))


@pytest.mark.parametrize("shift", [0.0, 0.8, 2.0])
def test_the_shift_of_slides_is_found(rng, shift):
    slides = np.repeat(np.arange(200), 25)
    said = rng.normal(0, 1.5, slides.size)
    positive = rng.random(slides.size) < expit(said + shift * rng.normal(size=200)[slides])

    found = fit_slide_shift(expit(said).astype(np.float32), positive, slides.astype(str))

    assert found == pytest.approx(shift, abs=0.2)
