"""Counting by a density for each patch: the same count whatever the grid, from a slide as from its store."""

import cv2
import numpy as np
import pytest

from tests.unit.infer.dotted import counter, dotted
from wsi_patches.cells import ALL_IDB_CLASSES, WHITE_CELL
from wsi_patches.counting.cores import patch_cores
from wsi_patches.errors import UsageError
from wsi_patches.extract import grid_for
from wsi_patches.geometry import Size
from wsi_patches.grid import PatchSpec
from wsi_patches.imaging import WhiteCellFinder
from wsi_patches.infer.count import NO_SCALE
from wsi_patches.infer.counter_rows import red_cells_of
from wsi_patches.infer.finder import CLASSICAL, ChosenFinder
from wsi_patches.infer.patches import NO_BLASTS, UNCALIBRATED, count_patches, slide_figures
from wsi_patches.models.cell_finder import RED_CELL_UM, FieldScale
from wsi_patches.models.finder_network import RED_CELL_PX
from wsi_patches.slides import ArraySlide, open_slide
from wsi_patches.stores import MosaicSlide, open_store
from wsi_patches.workflows.extract import ExtractSettings, extract

MPP = RED_CELL_UM / RED_CELL_PX
"""At which level 0 is as large as the counter takes it."""
SIZE = (900, 700)


@pytest.fixture(scope="module")
def dots():
    return dotted(SIZE, 13, 21)


@pytest.fixture(scope="module")
def on_disk(dots, tmp_path_factory):
    path = tmp_path_factory.mktemp("slides") / "dots.png"
    cv2.imwrite(str(path), dots[0][..., ::-1])
    return path


def store_of(path, **settings):
    out = path.with_name(f"{'_'.join(map(str, settings.values()))}.zarr")
    extract(ExtractSettings(inputs=(path,), out=out, slide_mpp=MPP, workers=1, **settings))
    return open_store(out)


@pytest.mark.parametrize("overlap", [None, 0.0, 0.25, 0.5])
def test_any_overlap_counts_every_cell_once(dots, overlap):
    image, area = dots
    report, counted = count_patches(ArraySlide(image, mpp=MPP), "dots", counter(area), overlap)

    assert report.blasts.value == pytest.approx(13, abs=0.2)
    assert report.white_cells.value == pytest.approx(34, abs=0.2)
    assert report.blasts.low < 13 < report.blasts.high
    assert report.blast_fraction.low < 13 / 34 < report.blast_fraction.high
    assert len(counted.xy) == report.patches == {None: 12, 0.0: 12, 0.25: 20, 0.5: 35}[overlap]
    assert counted.counts.sum(axis=0)[0] == report.blasts.value
    assert report.coverage == 1
    assert (report.method, report.model, report.weights_sha256) == ("patches", "dots", "abc")
    assert "30 patients or slides" in report.interval_method
    assert report.patches_out_of_focus is not None


@pytest.mark.parametrize("cells_px", [13.0, 26.0, 60.0])
def test_cells_of_any_size_in_pixels_are_counted(cells_px):
    image, area = dotted((1100, 800), 9, 5, seed=3, radius_px=round(9 * cells_px / RED_CELL_PX))
    slide = ArraySlide(image, mpp=RED_CELL_UM / cells_px)
    for overlap in (0.0, 0.3):
        report, _ = count_patches(slide, "dots", counter(area * (RED_CELL_PX / cells_px) ** 2), overlap)
        assert report.blasts.value == pytest.approx(9, rel=0.03)
        assert report.white_cells.value == pytest.approx(14, rel=0.03)


@pytest.mark.parametrize(
    "settings",
    [
        {"patch_size": 128, "overlap": 0.25, "edge": "drop"},
        {"patch_size": 112, "overlap": 0.5, "edge": "shift"},
        {"patch_size": 256, "overlap": 0.0, "edge": "pad"},
        {"patch_size": 96, "mpp": 2 * MPP},
    ],
)
def test_a_slide_and_its_store_give_the_same_count_on_the_same_grid(dots, on_disk, settings):
    store, ours = store_of(on_disk, **settings), counter(dots[1])
    with open_slide(str(on_disk), mpp=MPP) as slide:
        of_slide = count_patches(slide, "dots", ours, grid=grid_for(slide.info, store.settings.spec))
    of_store = count_patches(MosaicSlide(store, "dots"), "dots", ours)

    assert np.array_equal(of_slide[1].counts, of_store[1].counts)
    assert np.array_equal(of_slide[1].xy, of_store[1].xy)
    assert np.array_equal(of_slide[1].cores.boxes, of_store[1].cores.boxes)
    for name in ("blasts", "white_cells", "blast_fraction", "patches", "coverage"):
        assert getattr(of_slide[0], name) == getattr(of_store[0], name)
    if settings.get("edge") != "drop":
        assert of_store[0].blasts.value == pytest.approx(13, abs=0.6)


def test_a_store_that_lost_places_counts_what_is_left(dots, on_disk):
    store = store_of(on_disk, patch_size=160, overlap=0.5)
    mosaic = MosaicSlide(store, "dots")
    kept = np.random.default_rng(4).random(len(mosaic.positions)) < 0.6
    mosaic.positions, mosaic.xy_px = mosaic.positions[kept], mosaic.xy_px[kept]

    report, counted = count_patches(mosaic, "dots", counter(dots[1]))

    shown = np.zeros((SIZE[1], SIZE[0]), bool)
    for x, y in mosaic.xy_px.tolist():
        shown[y : y + 160, x : x + 160] = True
    seen = np.where(shown[..., None], dots[0], 200).astype(int)
    blasts = (np.minimum(seen[..., 0], 200) - seen[..., 1]).sum() / 200 / dots[1]
    assert 0.3 < shown.mean() < 1
    assert report.coverage == pytest.approx(shown.mean())
    assert report.blasts.value == pytest.approx(blasts, abs=0.3)
    assert counted.counts.shape == (kept.sum(), 2)


def test_a_store_has_its_own_grid(dots, on_disk):
    with pytest.raises(UsageError, match="as they lie, and an overlap was asked for"):
        count_patches(MosaicSlide(store_of(on_disk, patch_size=200), "dots"), "dots", counter(dots[1]), 0.25)


def test_what_lies_outside_of_a_slide_smaller_than_a_patch_is_not_counted():
    image, area = dotted((150, 120), 2, 1)
    report, counted = count_patches(ArraySlide(image, mpp=MPP), "small", counter(area))
    assert report.patches == 1
    assert report.white_cells.value == pytest.approx(3, abs=0.05)
    assert counted.cores.boxes.tolist() == [[0, 0, 150, 120]]


def test_memory_holds_a_few_patches_however_large_the_slide_is(dots):
    image, area = dots
    slide, read = ArraySlide(np.tile(image, (2, 2, 1)), mpp=MPP), []
    scaled = slide.read_scaled
    slide.read_scaled = lambda box, downsample: read.append(max(box.width, box.height)) or scaled(box, downsample)
    seen, told = [], []
    ours = counter(area)
    ours.network.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))

    report, _ = count_patches(slide, "dots", ours, 0.25, progress=lambda *progress: told.append(progress))

    assert max(read) <= 256
    assert max(seen) <= 16 < report.patches == told[-1][0] == told[-1][1]
    assert report.blasts.value == pytest.approx(52, abs=0.5)


class Yardstick:
    """A finder that says how large red cells are, and finds nothing."""

    working_mpp = MPP

    def __init__(self, red_px):
        self.red_px = red_px

    def calibrate(self, samples, mpp=None):
        return FieldScale(self.red_px)


def test_an_unknown_resolution_is_measured(dots):
    image, area = dots
    finder = ChosenFinder(Yardstick(RED_CELL_PX), "yardstick")
    report, _ = count_patches(ArraySlide(image), "dots", counter(area), finder=finder)
    assert report.blasts.value == pytest.approx(13, abs=0.2)
    assert red_cells_of(ArraySlide(image, mpp=0.5), RED_CELL_UM, finder) == 15
    with pytest.raises(UsageError, match="measures no red cells"):
        red_cells_of(ArraySlide(image), RED_CELL_UM, ChosenFinder(WhiteCellFinder(), CLASSICAL))


def test_where_no_cell_is_seen_none_is_counted_and_the_report_says_why(dots):
    report, counted = count_patches(
        ArraySlide(dots[0]), "bare", counter(dots[1]), finder=ChosenFinder(Yardstick(None), "yardstick")
    )
    assert (report.white_cells.value, report.blasts.value, report.blast_fraction) == (0, 0, None)
    assert report.white_cells.high > 0
    assert NO_SCALE in report.warnings
    assert len(counted.xy) == report.patches == 0


def test_a_counter_of_white_cells_leaves_the_blasts_open(dots):
    image, area = dots
    report, _ = count_patches(ArraySlide(image, mpp=MPP), "dots", counter(area, classes=(WHITE_CELL,)))
    assert report.white_cells.value == pytest.approx(34, abs=0.3)
    assert (report.blasts, report.blast_fraction) == (None, None)
    assert NO_BLASTS in report.warnings


def test_a_counter_that_was_never_calibrated_says_so(dots):
    image, area = dots
    report, _ = count_patches(ArraySlide(image, mpp=MPP), "dots", counter(area, calibration={}))
    assert report.interval_method == UNCALIBRATED
    assert report.blasts.high - report.blasts.value == pytest.approx(1.96 * np.sqrt(13), rel=0.05)


def test_slides_unlike_the_counters_are_warned_of(dots):
    image, area = dots
    coarse, _ = count_patches(ArraySlide(image, mpp=3 * MPP), "dots", counter(area))
    assert any("so coarse a slide" in warning for warning in coarse.warnings)
    grid = grid_for(ArraySlide(image).info, PatchSpec(40))
    narrow, _ = count_patches(ArraySlide(image, mpp=MPP), "dots", counter(area), grid=grid)
    assert any("hardly hold one white cell" in warning for warning in narrow.warnings)
    assert not any("hardly" in warning or "coarse" in warning for warning in _plain(image, area).warnings)


def _plain(image, area):
    return count_patches(ArraySlide(image, mpp=MPP), "dots", counter(area))[0]


def test_the_fraction_lies_between_what_both_counts_allow():
    card = counter(1.0).card
    figures = slide_figures(np.array([6.0, 14.0]), card)
    blasts, others = figures.blasts, card.calibration["other"].interval(14.0)
    assert figures.blast_fraction.value == pytest.approx(0.3)
    assert figures.blast_fraction.low == pytest.approx(blasts.low / (blasts.low + others.high))
    assert figures.blast_fraction.high == pytest.approx(blasts.high / (blasts.high + others.low))
    assert card.classes == ALL_IDB_CLASSES
    none = slide_figures(np.zeros(2), card)
    assert none.blast_fraction is None


def test_cores_of_a_report_are_those_of_its_patches(dots):
    _, counted = count_patches(ArraySlide(dots[0], mpp=MPP), "dots", counter(dots[1]), 0.5)
    again = patch_cores(counted.xy, counted.side, Size(*SIZE))
    assert np.array_equal(counted.cores.boxes, again.boxes)
