"""Ellipses through masks."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from wsi_patches.imaging.ellipse import fit_ellipse


@pytest.mark.parametrize("angle_deg", [0, 30, 75])
@pytest.mark.parametrize("half", [(20, 20), (31, 18), (60, 40)])
def test_the_axes_of_a_drawn_ellipse(half, angle_deg):
    y, x = np.mgrid[:201, :201] - np.array([95.0, 104.0]).reshape(2, 1, 1)
    turn = np.deg2rad(angle_deg)
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    found = fit_ellipse((along / half[0]) ** 2 + (across / half[1]) ** 2 <= 1)
    assert found is not None
    assert np.allclose(found, (104, 95, 2 * min(half), 2 * max(half)), atol=0.5)


@pytest.mark.parametrize("mask", [np.zeros((9, 9), bool), np.ones((9, 9), bool), np.eye(1, 400, dtype=bool)])
def test_what_has_no_edge_has_no_ellipse(mask):
    assert fit_ellipse(mask) is None


@given(arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_any_mask_gives_an_ellipse_or_none(mask):
    found = fit_ellipse(mask)
    assert found is None or (np.isfinite(found).all() and 0 < found.short_px <= found.long_px)


def test_holes_are_part_of_the_edge_so_masks_are_filled_before():
    mask = cv2.circle(np.zeros((101, 101), np.uint8), (50, 50), 30, 1, -1)
    assert fit_ellipse(cv2.circle(mask.copy(), (50, 50), 15, 0, -1) > 0) != fit_ellipse(mask > 0)
