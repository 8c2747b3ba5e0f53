import weakref

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from wsi_patches.cells import ALL_IDB_CLASSES
from wsi_patches.errors import UsageError
from wsi_patches.geometry import Box, Size
from wsi_patches.synthetic import BLAST_KINDS, KINDS, Smear, SmearSettings, paint_smear

SIZE = Size(1100, 700)
SETTINGS = SmearSettings.random(11, blasts=7, others=6, cell_diameter_px=50.0, noise_sigma=2.0)


@pytest.fixture(scope="module")
def painted():
    return paint_smear(SIZE, SETTINGS)


def test_pixels_and_truth_have_the_stated_form(painted):
    pixels, cells = painted
    assert pixels.shape == (700, 1100, 3)
    assert pixels.dtype == np.uint8
    assert cells.class_names == ALL_IDB_CLASSES
    assert (cells.count("blast"), cells.count("other")) == (7, 6)
    assert np.array_equal(cells.xy, np.round(cells.xy))
    assert set(cells.attributes["kind"]) <= set(KINDS)
    assert np.array_equal(np.isin(cells.attributes["kind"], BLAST_KINDS), cells.class_index == 0)
    assert np.all((cells.attributes["radius_px"] > 15) & (cells.attributes["radius_px"] < 50))
    assert np.all((cells.xy >= 0) & (cells.xy < SIZE))


def test_a_smear_gives_its_memory_back_as_soon_as_nobody_has_it():
    smear = Smear(Size(200, 200), SmearSettings(seed=1))
    smear.paint_window(Box(0, 0, 200, 200))
    kept = weakref.ref(smear)
    del smear
    assert kept() is None


def test_equal_seeds_paint_equal_smears_and_others_do_not(painted):
    pixels, cells = paint_smear(SIZE, SETTINGS)
    assert np.array_equal(pixels, painted[0])
    assert np.array_equal(cells.xy, painted[1].xy)
    other, _ = paint_smear(Size(200, 200), SmearSettings(seed=1))
    again, _ = paint_smear(Size(200, 200), SmearSettings(seed=2))
    assert not np.array_equal(other, again)


@pytest.mark.parametrize("rows", [37, 256, 512, 513])
def test_painting_in_bands_equals_painting_whole(painted, rows):
    smear = Smear(SIZE, SETTINGS)
    tops = range(0, SIZE.height, rows)
    bands = [smear.paint_window(Box(0, y, SIZE.width, min(rows, SIZE.height - y))) for y in tops]
    assert np.array_equal(np.concatenate(bands), painted[0])


@pytest.mark.parametrize("box", [Box(0, 0, 1, 1), Box(500, 505, 31, 17), Box(1099, 699, 1, 1), Box(3, 5, 900, 600)])
def test_a_window_is_a_part_of_the_whole(painted, box):
    window = Smear(SIZE, SETTINGS).paint_window(box)
    assert np.array_equal(window, painted[0][box.y : box.bottom, box.x : box.right])


def test_white_cells_are_dark_where_the_truth_says(painted):
    pixels, cells = painted
    glass = np.percentile(pixels[..., 1], 90)
    for (x, y), radius in zip(cells.xy.astype(int), cells.attributes["radius_px"], strict=True):
        reach = int(radius / 2)
        cell = pixels[max(y - reach, 0) : y + reach, max(x - reach, 0) : x + reach, 1]
        assert cell.mean() < 0.75 * glass


def test_centres_of_white_cells_keep_their_distance_and_some_touch():
    smear = Smear(Size(1500, 1500), SmearSettings(seed=5, blasts=60, others=60, touching=0.4))
    cells = smear.cells
    radius = cells.attributes["radius_px"]
    rows, columns = np.triu_indices(len(cells), 1)
    room = pdist(cells.xy) / (radius[rows] + radius[columns])
    assert room.min() >= 0.95
    assert np.count_nonzero(room < 1.08) >= 10


def test_counts_follow_the_density():
    cells = Smear(Size(2000, 2000), SmearSettings(seed=3, blasts_per_mpx=12, others_per_mpx=0)).cells
    assert 25 <= cells.count("blast") <= 75
    assert cells.count("other") == 0


def test_a_smear_without_anything_is_glass():
    settings = SmearSettings(
        blasts=0,
        others=0,
        red_coverage=0,
        platelets_per_red=0,
        debris_per_mpx=0,
        uneven_light=0,
        noise_sigma=0,
        blur_px=0,
    )
    pixels, cells = paint_smear(Size(90, 40), settings)
    assert len(cells) == 0
    assert np.all(np.abs(pixels.astype(int) - settings.lamp_rgb) <= 1)


def test_more_cells_than_fit_are_refused():
    with pytest.raises(UsageError, match="do not fit on 200 x 200"):
        Smear(Size(200, 200), SmearSettings(blasts=100))


def test_windows_outside_and_empty_smears_are_refused():
    smear = Smear(Size(100, 100), SmearSettings(blasts=0, others=0))
    with pytest.raises(UsageError, match="ask inside"):
        smear.paint_window(Box(50, 50, 51, 10))
    with pytest.raises(UsageError, match="at least 1 x 1"):
        Smear(Size(0, 10), SmearSettings())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cell_diameter_px", 2.0),
        ("red_coverage", 1.5),
        ("blur_px", -1.0),
        ("blasts", -1),
        ("stain_strength", 0.0),
        ("lamp_rgb", (0.0, 200.0, 200.0)),
    ],
)
def test_settings_out_of_range_are_refused(name, value):
    with pytest.raises(UsageError, match=name):
        SmearSettings(**{name: value})


def test_random_settings_keep_what_is_fixed():
    drawn, fixed = SmearSettings.random(4), SmearSettings.random(4, blur_px=0.0)
    assert drawn == SmearSettings.random(4)
    assert drawn != SmearSettings.random(5)
    assert fixed.blur_px == 0
    assert fixed.lamp_rgb == drawn.lamp_rgb
    with pytest.raises(UsageError, match="colour"):
        SmearSettings.random(4, colour=1)
