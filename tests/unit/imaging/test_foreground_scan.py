"""How a slide is read for its foreground: once, in small windows, at a coarse level, whatever its size."""

import tracemalloc

import numpy as np
import pytest

from wsi_patches.errors import SlideError, UsageError
from wsi_patches.geometry import Box, Size
from wsi_patches.imaging.foreground import ForegroundSettings, find_foreground
from wsi_patches.imaging.foreground_scan import ScanSettings, scan_blocks
from wsi_patches.slide import Level, SlideBase, SlideInfo
from wsi_patches.slides import ArraySlide
from wsi_patches.synthetic import SmearSettings, paint_smear


class WatchedSlide(SlideBase):
    """A slide of one repeated picture that remembers what was read of it, and refuses what it is told to."""

    def __init__(self, size, downsamples=(1.0,), tile=None, mpp=0.25, refused=()):
        sizes = [Size(int(size.width / one), int(size.height / one)) for one in downsamples]
        levels = tuple(Level(level, one, tile) for level, one in zip(sizes, downsamples, strict=True))
        super().__init__(SlideInfo("watched.tif", "0", size, levels, mpp))
        self.asked, self.refused = [], refused
        self.pixels = np.full((2048, 2048, 3), 235, np.uint8)

    def _read_level(self, box_px, level):
        self.asked.append((level, box_px))
        if any(box_px.x <= x < box_px.right and box_px.y <= y < box_px.bottom for x, y in self.refused):
            msg = "a tile is damaged"
            raise SlideError(msg)
        rows, columns = (
            np.arange(start, stop) % 2048 for start, stop in ((box_px.y, box_px.bottom), (box_px.x, box_px.right))
        )
        return self.pixels[rows][:, columns]


@pytest.mark.parametrize("tile", [None, Size(240, 240), Size(256, 256), Size(5003, 8)])
def test_every_pixel_of_a_level_is_read_once_in_small_windows(tile):
    slide = WatchedSlide(Size(5003, 3301), tile=tile)
    scan_blocks(slide, ScanSettings())
    times = np.zeros((3301, 5003), np.uint8)
    for level, box_px in slide.asked:
        assert level == 0
        assert box_px.width * box_px.height <= 1.3 * 1024**2
        times[box_px.y : box_px.bottom, box_px.x : box_px.right] += 1
    assert (times == 1).all()


@pytest.mark.parametrize("side", [240, 512, 2048])
def test_windows_do_not_cut_tiles(side):
    slide = WatchedSlide(Size(6000, 6000), tile=Size(side, side))
    scan_blocks(slide, ScanSettings())
    assert all(box_px.x % side == 0 and box_px.y % side == 0 for _, box_px in slide.asked)


def test_a_file_that_is_one_tile_is_read_in_bands():
    slide = WatchedSlide(Size(6000, 6000), tile=Size(6000, 6000))
    scan_blocks(slide, ScanSettings())
    assert all(box_px.height <= 256 for _, box_px in slide.asked)


@pytest.mark.parametrize(
    ("side", "downsamples", "expected"),
    [(40_000, (1.0, 4.0, 16.0), 4.0), (40_000, (1.0, 2.0, 4.0, 8.0, 16.0), 8.0), (150_000, (1.0, 4.0, 16.0), 16.0)],
)
def test_the_coarsest_level_that_is_fine_enough_is_read(side, downsamples, expected):
    slide = WatchedSlide(Size(side, side // 8), downsamples)
    scan = scan_blocks(slide, ScanSettings())
    assert {downsamples[level] for level, _ in slide.asked} == {expected}
    assert max(scan.spread.shape) <= 8192 * np.sqrt(2) / 4 + 1
    assert scan.picture.nbytes <= scan.light.nbytes or max(scan.picture.shape) <= 1500


def test_memory_does_not_grow_with_the_slide():
    slide = WatchedSlide(Size(16_000, 16_000))
    tracemalloc.start()
    find_foreground(slide)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60e6


@pytest.mark.parametrize("window_px", [64, 300, 5000])
def test_the_size_of_the_windows_changes_nothing(window_px):
    image, _ = paint_smear(Size(1531, 1203), SmearSettings(seed=3))
    slide = ArraySlide(image, mpp=0.25)
    one, other = scan_blocks(slide, ScanSettings()), scan_blocks(slide, ScanSettings(window_px=window_px))
    for name in ("light", "spread", "picture"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_what_cannot_be_read_is_foreground_and_is_said():
    slide = WatchedSlide(Size(4000, 4000), tile=Size(256, 256), refused=[(1500, 700)])
    foreground = find_foreground(slide)
    assert foreground.keep([[1490, 690, 20, 20], [100, 3000, 256, 256]]).tolist() == [True, False]
    assert len(foreground.notes) == 1
    assert "a tile is damaged" in foreground.notes[0]


def test_a_slide_of_which_nothing_can_be_read_is_foreground():
    slide = WatchedSlide(Size(300, 200), refused=[(5, 5)])
    assert find_foreground(slide).share == 1.0


def test_a_slide_can_be_looked_at_more_finely():
    image, _ = paint_smear(Size(1024, 1024), SmearSettings(seed=3))
    settings = ForegroundSettings(ScanSettings(pixel_um=0.5, least_px=64))
    assert find_foreground(ArraySlide(image, mpp=0.25), settings).downsample == 8.0
    assert find_foreground(ArraySlide(image, mpp=0.5), settings).downsample == 4.0


def test_the_picture_is_the_slide():
    image, _ = paint_smear(Size(640, 480), SmearSettings(seed=3))
    scan = scan_blocks(ArraySlide(image), ScanSettings())
    assert scan.picture_downsample == 1.0
    np.testing.assert_array_equal(scan.picture[:480, :640], image)


@pytest.mark.parametrize("name", ["pixel_um", "pixel_px", "least_px", "most_px", "window_px"])
def test_scales_out_of_range_are_refused(name):
    with pytest.raises(UsageError, match=name):
        ScanSettings(**{name: 0})


def test_a_box_outside_of_the_slide_is_not_kept():
    assert not find_foreground(WatchedSlide(Size(300, 200))).keep([Box(400, 0, 10, 10)]).any()
