"""Colour statistics are the mean and the standard deviation of each channel."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as arrays
from hypothesis.strategies import integers, tuples

from wsi_patches.errors import UsageError
from wsi_patches.imaging.colour_statistics import STATISTICS, colour_statistics

SHAPES = tuples(integers(1, 4), integers(1, 9), integers(1, 9), integers(3, 3))


@given(arrays.arrays(np.uint8, SHAPES))
def test_they_are_those_of_numpy(images):
    found = colour_statistics(images)

    expected = np.hstack([images.mean(axis=(1, 2)), images.std(axis=(1, 2))])
    assert found.dtype == np.float32
    assert found.shape == (len(images), len(STATISTICS))
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_other_arrays_are_refused():
    with pytest.raises(UsageError, match="uint8 RGB"):
        colour_statistics(np.zeros((2, 8, 8, 3)))
