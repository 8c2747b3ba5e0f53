"""Sizes of discs, known exactly."""

import cv2
import numpy as np
import pytest

from wsi_patches.imaging.granulometry import foreground_mask, typical_diameter

DIAMETERS = np.geomspace(5.0, 180.0, 20)


def discs(diameter, inner=0):
    mask = np.zeros((600, 600), np.uint8)
    step = int(1.3 * diameter)
    for y in range(step, 600 - step, step):
        for x in range(step, 600 - step, step):
            cv2.circle(mask, (x, y), round(diameter / 2), 255, -1)
            cv2.circle(mask, (x, y), round(inner / 2), 0, -1) if inner else None
    return mask


@pytest.mark.parametrize("diameter", [10, 20, 45, 100])
def test_the_diameter_of_discs(diameter):
    assert typical_diameter([discs(diameter)], DIAMETERS) == pytest.approx(diameter, rel=0.2)


def test_a_mask_without_anything_has_no_diameter():
    assert typical_diameter([np.zeros((50, 50), np.uint8)], DIAMETERS) is None
    assert typical_diameter([], DIAMETERS) is None


def test_a_mask_of_everything_is_as_large_as_can_be():
    assert typical_diameter([np.full((50, 50), 255, np.uint8)], DIAMETERS) == DIAMETERS[-1]


def test_pallor_is_filled_and_gaps_are_not():
    absorbance = discs(40, inner=16).astype(np.float32) / 255 * 0.3
    mask = foreground_mask(absorbance, 0.04)
    assert np.array_equal(mask > 0, discs(40) > 0)


def test_glass_has_no_foreground():
    assert not foreground_mask(np.full((40, 40), 0.01, np.float32), 0.04).any()
