"""One patch around a cell: its side by the model's card, its middle on the cell, its size what the model takes."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsi_patches.cells import Cells
from wsi_patches.counting.centred import centred_patch, diameter_of, patch_side
from wsi_patches.errors import ResolutionUnknown
from wsi_patches.slides import ArraySlide


def scale(um=None, diameters=None):
    return SimpleNamespace(name="m", patch_um=um, patch_cell_diameters=diameters)


def test_um_go_before_diameters_where_the_resolution_is_known():
    slide = ArraySlide(np.zeros((8, 8, 3), np.uint8))
    stated = SimpleNamespace(info=replace(slide.info, mpp=0.25))

    assert patch_side(stated, scale(um=20.0, diameters=2.0), 30.0) == 80
    assert patch_side(stated, scale(diameters=2.0), 30.0) == 60
    assert patch_side(slide, scale(um=20.0, diameters=2.0), 30.0) == 60
    with pytest.raises(ResolutionUnknown, match="model m takes patches of"):
        patch_side(slide, scale(um=20.0), 30.0)


@given(st.integers(-10, 110), st.integers(-10, 90), st.floats(0.2, 60), st.integers(1, 40))
def test_any_place_and_side_give_the_models_size(x, y, side, input_px):
    slide = ArraySlide(np.full((80, 100, 3), 7, np.uint8))

    assert centred_patch(slide, x, y, side, input_px).shape == (input_px, input_px, 3)


@pytest.mark.parametrize("side", [10, 20, 41])
def test_the_cell_is_in_the_middle(side):
    pixels = np.zeros((100, 100, 3), np.uint8)
    pixels[48:53, 58:63] = 255

    patch = centred_patch(ArraySlide(pixels), 60, 50, side, 20).astype(float)[..., 0]

    rows, columns = np.indices(patch.shape)
    assert (patch * rows).sum() / patch.sum() == pytest.approx(9.5, abs=1.1)
    assert (patch * columns).sum() / patch.sum() == pytest.approx(9.5, abs=1.1)


def test_the_typical_diameter_ignores_what_is_not_known():
    points = np.zeros((4, 2))

    assert diameter_of(Cells.at(points, ("blast",), radius_px=[np.nan, 0.0, 10.0, 12.0])) == 22
    assert diameter_of(Cells.at(points, ("blast",))) == 0
