"""Walking over a slide."""

from dataclasses import replace

import numpy as np
import pytest

import wsi_patches.counting.windows as windows
from wsi_patches.cells import WHITE_CELL
from wsi_patches.counting import find_cells
from wsi_patches.errors import UsageError
from wsi_patches.geometry import Size
from wsi_patches.imaging import WhiteCellFinder
from wsi_patches.slide import Level, SlideBase
from wsi_patches.slides import ArraySlide
from wsi_patches.synthetic import SmearSettings, paint_smear

FINDER = WhiteCellFinder()


@pytest.fixture(scope="module")
def smear():
    return paint_smear(Size(1200, 900), SmearSettings(seed=8, blasts=12, others=12, cell_diameter_px=40.0))


def within(found, cells, px):
    return np.hypot(*(found.xy[:, None] - cells.xy[None]).transpose(2, 0, 1)).min(axis=0) < px


def test_cells_of_a_smear_in_level_0_pixels(smear):
    pixels, cells = smear
    found = find_cells(ArraySlide(pixels), FINDER)
    assert found.class_names == (WHITE_CELL,)
    assert abs(len(found) - len(cells)) <= 1
    assert within(found, cells, 10).sum() >= len(cells) - 1
    assert 14 < np.median(found.attributes["radius_px"]) < 28


@pytest.mark.parametrize("window_px", [150, 333, 640])
def test_small_windows_find_the_same_cells(smear, window_px):
    slide = ArraySlide(smear[0])
    whole, pieces = find_cells(slide, FINDER), find_cells(slide, FINDER, window_px=window_px)
    assert len(whole) == len(pieces)
    assert within(pieces, whole, 3).all()


def test_a_known_resolution_sets_the_working_scale(smear):
    pixels, cells = smear
    found = find_cells(ArraySlide(pixels, mpp=0.3), FINDER)
    assert within(found, cells, 10).sum() >= len(cells) - 1


def test_large_cells_are_looked_at_in_small():
    pixels, cells = paint_smear(Size(1400, 1400), SmearSettings(seed=2, blasts=6, others=6, cell_diameter_px=160.0))
    read, slide = [], ArraySlide(pixels)
    scaled = slide.read_scaled
    slide.read_scaled = lambda box, downsample: read.append(downsample) or scaled(box, downsample)
    found = find_cells(slide, FINDER)
    assert within(found, cells, 40).sum() >= 11
    assert read[-1] > 2


class Coarse(ArraySlide):
    """Known at half its resolution alone, as a store of patches may be."""

    def __init__(self, pixels):
        super().__init__(pixels)
        size = self.info.size
        full = Size(2 * size.width, 2 * size.height)
        SlideBase.__init__(self, replace(self.info, size=full, levels=(Level(size, 2.0),)))


def test_large_cells_on_a_coarse_store_are_found_where_they_are():
    pixels, cells = paint_smear(Size(1400, 1400), SmearSettings(seed=2, blasts=6, others=6, cell_diameter_px=160.0))
    scale, calibration = windows.calibrated(Coarse(pixels), FINDER)
    assert scale == pytest.approx(2 * windows.calibrated(ArraySlide(pixels), FINDER)[0], rel=0.05)
    assert calibration.cell_diameter_px == pytest.approx(40, rel=0.1)
    found = find_cells(Coarse(pixels), FINDER)
    assert np.sum(np.hypot(*(found.xy[:, None] / 2 - cells.xy[None]).transpose(2, 0, 1)).min(axis=0) < 40) >= 11


def test_samples_are_taken_where_something_lies(monkeypatch, smear):
    monkeypatch.setattr(windows, "SAMPLE_PX", 300)
    monkeypatch.setattr(windows, "OVERVIEW_PX", 1000)
    glass = np.full((2400, 2400, 3), 232, np.uint8)
    glass[700:1600, 600:1800] = smear[0]
    found = find_cells(ArraySlide(glass), FINDER)
    assert abs(len(found) - len(smear[1])) <= 2


def test_glass_holds_no_cells():
    found = find_cells(ArraySlide(np.full((300, 400, 3), 240, np.uint8)), FINDER)
    assert len(found) == 0
    assert "radius_px" in found.attributes


def test_progress_is_told_window_by_window(smear):
    seen = []
    find_cells(ArraySlide(smear[0]), FINDER, window_px=600, on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize("asked", [{"downsample": 0.5}, {"window_px": 10}])
def test_scales_and_windows_out_of_range_are_refused(smear, asked):
    with pytest.raises(UsageError, match="1 or more"):
        find_cells(ArraySlide(smear[0]), FINDER, **asked)
