"""The active contour against scikit-image's, where that can do the same."""

import cv2
import numpy as np
import pytest
from skimage.segmentation import morphological_chan_vese

from wsi_patches.imaging.active_contour import chan_vese
from wsi_patches.synthetic import paint_cell_patches


def square(side, margin):
    mask = np.zeros((side, side), bool)
    mask[margin:-margin, margin:-margin] = True
    return mask


@pytest.fixture(scope="module")
def cell():
    return paint_cell_patches(1, seed=11, size_px=120)[0][0]


def test_without_bias_and_colour_it_is_scikit_images(cell):
    grey = cv2.cvtColor(cell, cv2.COLOR_RGB2GRAY)
    start = square(120, 30)
    ours = chan_vese(np.repeat(grey[..., None], 3, 2), start, 200)
    theirs = morphological_chan_vese(grey / 255, 200, init_level_set=start.astype(np.int8), smoothing=0) > 0
    assert 2 * np.count_nonzero(ours & theirs) > 0.99 * (np.count_nonzero(ours) + np.count_nonzero(theirs))


@pytest.mark.parametrize("margin", [10, 25, 45])
def test_it_moves_to_the_edge_of_a_disc_from_inside_and_outside(margin):
    y, x = np.mgrid[:121, :121] - 60
    disc = x * x + y * y <= 30 * 30
    image = np.where(disc[..., None], (120, 60, 160), (220, 210, 225)).astype(np.uint8)
    assert np.array_equal(chan_vese(image, square(121, margin), 500), disc)


def test_a_bias_below_zero_grows_and_above_shrinks(cell):
    start = square(120, 40)
    areas = [np.count_nonzero(chan_vese(cell, start, 300, bias)) for bias in (0.3, 0.0, -0.3)]
    assert areas == sorted(areas)
    assert areas[0] < areas[2]


def test_the_edge_moves_a_pixel_a_round(cell):
    assert np.array_equal(chan_vese(cell, square(120, 40), 0), square(120, 40))
    grown = chan_vese(cell, square(120, 40), 3, -0.9)
    assert not (grown & ~square(120, 37)).any()


@pytest.mark.parametrize("value", [False, True])
def test_a_mask_without_an_edge_stays(cell, value):
    assert (chan_vese(cell, np.full((120, 120), value)) == value).all()
