"""Light and background."""

import numpy as np

from wsi_patches.imaging.illumination import nuclear_absorbance, surface


def test_brightness_cancels_in_nuclear_absorbance():
    bright = np.full((4, 4, 3), (160, 100, 200), np.uint8)
    assert np.allclose(nuclear_absorbance(bright), np.log(2.0), atol=1e-6)
    assert np.allclose(nuclear_absorbance(bright // 2), np.log(2.0), atol=1e-6)


def test_black_pixels_stay_finite():
    assert np.isfinite(nuclear_absorbance(np.zeros((3, 3, 3), np.uint8))).all()


def test_a_surface_follows_the_light_and_not_the_cells(rng):
    y, x = np.mgrid[-1:1:200j, -1:1:300j]
    light = (0.3 * x + 0.2 * y * y).astype(np.float32)
    cells = np.where(rng.random((10, 15)) < 0.3, 1.0, 0.0).repeat(20, 0).repeat(20, 1)
    assert np.abs(surface((light + cells).astype(np.float32), 0.25) - light).max() < 0.1
