"""How far counts are off, learnt from other slides: the factor, the variance, and that the intervals hold."""

import numpy as np
import pytest

from wsi_patches.errors import ModelError, UsageError
from wsi_patches.models.count_calibration import CountCalibration


def slides(rng, count, factor, linear, quadratic):
    """Return what is said of slides, and the truth."""
    said = rng.uniform(2, 60, count)
    mean = factor * said
    return said, np.round(rng.normal(mean, np.sqrt(linear * mean + (quadratic * mean) ** 2)))


@pytest.mark.parametrize(("factor", "linear", "quadratic"), [(1.0, 0.5, 0.0), (0.8, 0.2, 0.15), (1.3, 3.0, 0.05)])
def test_factor_and_variance_are_found_again(rng, factor, linear, quadratic):
    fitted = CountCalibration.fit(*slides(rng, 4000, factor, linear, quadratic), groups=4000)
    assert fitted.factor == pytest.approx(factor, rel=0.02)
    for count in (5.0, 50.0):
        true = linear * count + (quadratic * count) ** 2
        assert fitted.linear * count + (fitted.quadratic * count) ** 2 == pytest.approx(true, rel=0.15)


@pytest.mark.parametrize("count", [8, 16, 60])
def test_intervals_hold_the_truth_of_new_slides(rng, count):
    held = []
    for _ in range(150):
        fitted = CountCalibration.fit(*slides(rng, count, 0.9, 0.4, 0.1), groups=count)
        for said, true in zip(*slides(rng, 20, 0.9, 0.4, 0.1), strict=True):
            interval = fitted.interval(said)
            held.append(interval.low <= true <= interval.high)
    assert 0.93 < np.mean(held) < 0.97


def test_few_slides_without_an_error_do_not_make_it_infinitely_sure():
    counts = np.array([3.0, 8.0, 12.0])
    few = CountCalibration.fit(counts, counts, groups=3).interval(10)
    many = CountCalibration.fit(np.tile(counts, 50), np.tile(counts, 50), groups=150).interval(10)
    assert few.high - few.low > 2 > many.high - many.low > 0.2
    assert few.low < 10 < few.high


def test_nothing_counted_is_no_proof_of_nothing():
    interval = CountCalibration(linear=0.3, groups=20).interval(0.0)
    assert (interval.value, interval.low) == (0, 0)
    assert interval.high > 1
    nobody = CountCalibration.fit([0.1, 0.0, 0.2], [0, 0, 0], groups=3)
    assert 0.5 < nobody.factor < 1


def test_without_a_calibration_it_is_chance_alone():
    interval = CountCalibration().interval(100)
    assert (interval.low, interval.high) == (pytest.approx(80.4, abs=0.1), pytest.approx(119.6, abs=0.1))


def test_a_known_factor_is_kept():
    assert CountCalibration.fit([10, 20], [12, 24], groups=2, factor=1.0).factor == 1.0


def test_nonsense_is_refused():
    for wrong in ({"factor": 0.0}, {"linear": 0.0}, {"quadratic": -0.1}, {"groups": -1}):
        with pytest.raises(ModelError, match="a factor and a variance above 0"):
            CountCalibration(**wrong)
    for said, true, groups in (([], [], 1), ([1.0], [1.0, 2.0], 1), ([1.0], [1.0], 0)):
        with pytest.raises(UsageError, match="calibrated on counted slides"):
            CountCalibration.fit(said, true, groups)
