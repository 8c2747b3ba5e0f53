import numpy as np
import pytest
from scipy.spatial.distance import cdist

from wsi_patches.errors import UsageError
from wsi_patches.geometry import Box, Size
from wsi_patches.synthetic import Smear, SmearSettings, paint_smear

SIZE = Size(700, 600)
ARTEFACTS = {
    "smudges_per_mpx": 15.0,
    "precipitate_per_mpx": 10.0,
    "dirt_per_mpx": 10.0,
    "platelets_on_red": 0.2,
    "platelet_clumps_per_mpx": 10.0,
}


def empty(**settings):
    bare = {"blasts": 0, "others": 0, "red_coverage": 0.0, "debris_per_mpx": 0.0, "noise_sigma": 0.0}
    return SmearSettings(**{**bare, "uneven_light": 0.0, **settings})


def darkness(smear):
    """Return how much less light than glass gives each pixel lets through, 0..1, ``(h, w, 3)``."""
    return 1 - smear.paint_window(Box(0, 0, *smear.size)) / np.array(smear.settings.lamp_rgb)


@pytest.mark.parametrize("name", ARTEFACTS)
def test_artefacts_change_the_picture_and_leave_the_truth(name):
    settings = {"seed": 3, "blasts": 4, "others": 4}
    plain, cells = paint_smear(SIZE, SmearSettings(**settings))
    painted, same = paint_smear(SIZE, SmearSettings(**settings, **{name: ARTEFACTS[name]}))
    assert np.array_equal(cells.xy, same.xy)
    assert np.array_equal(cells.attributes["radius_px"], same.attributes["radius_px"])
    changed = np.abs(painted.astype(int) - plain).max(axis=2) > 20
    assert 50 < np.count_nonzero(changed) < 0.6 * changed.size


@pytest.mark.parametrize("rows", [97, 512])
def test_painting_artefacts_in_bands_equals_painting_whole(rows):
    smear = Smear(SIZE, SmearSettings.random(5, **ARTEFACTS))
    whole = smear.paint_window(Box(0, 0, *SIZE))
    for top in range(0, SIZE.height, rows):
        height = min(rows, SIZE.height - top)
        band = Smear(SIZE, SmearSettings.random(5, **ARTEFACTS)).paint_window(Box(0, top, SIZE.width, height))
        assert np.array_equal(band, whole[top : top + height])


def test_smudges_are_pale_where_the_truth_says_and_lie_on_no_white_cell():
    smear = Smear(SIZE, empty(seed=2, smudges_per_mpx=15.0))
    dark = darkness(smear)[..., 1]
    rows, columns = np.mgrid[: SIZE.height, : SIZE.width]
    covered = np.zeros(dark.shape, bool)
    for (x, y), radius in zip(smear.smudges.xy, smear.smudges.radius_px, strict=True):
        away = np.hypot(columns - x, rows - y)
        covered |= away < 2.5 * radius
        assert 0.03 < dark[away < 0.7 * radius].mean() < 0.6
        assert 24 <= radius <= 60
    assert len(smear.smudges.xy) > 2
    assert dark[~covered].max(initial=0) < 0.02
    crowded = Smear(SIZE, SmearSettings(seed=2, blasts=15, others=15, smudges_per_mpx=30.0))
    apart = cdist(crowded.smudges.xy, crowded.white.xy)
    assert np.all(apart > crowded.smudges.radius_px[:, None] + crowded.white.radius_px)


def test_precipitate_is_dark_and_purple_red():
    smear = Smear(SIZE, empty(seed=4, precipitate_per_mpx=25.0, blur_px=0.5))
    dark = darkness(smear)
    grains = dark[dark[..., 1] > 0.4]
    assert len(grains) > 50
    assert grains.mean(axis=0).argmax() == 1


def test_platelets_on_red_cells_lie_on_them_and_are_platelets():
    smear = Smear(SIZE, SmearSettings(seed=6, platelets_per_red=0.0, platelets_on_red=0.3))
    assert np.array_equal(smear.platelets.xy, smear.halos.xy)
    assert 0.15 * len(smear.red.xy) < len(smear.platelets.xy) < 0.45 * len(smear.red.xy)
    assert cdist(smear.platelets.xy, smear.red.xy).min(axis=1).max() < 0.31 * 48


def test_clumps_are_platelets_that_touch():
    smear = Smear(SIZE, empty(seed=6, platelet_clumps_per_mpx=20.0))
    apart = cdist(smear.platelets.xy, smear.platelets.xy)
    np.fill_diagonal(apart, np.inf)
    assert len(smear.platelets.xy) >= 6
    assert np.median(apart.min(axis=1)) < 0.25 * 48


@pytest.mark.parametrize("coverage", [0.0, 0.01])
def test_artefacts_lie_on_glass_without_red_cells_too(coverage):
    smear = Smear(SIZE, SmearSettings(seed=1, red_coverage=coverage, **ARTEFACTS))
    assert smear.paint_window(Box(0, 0, *SIZE)).std() > 5
    if not coverage:
        assert len(smear.red.xy) == len(smear.halos.xy) == 0


@pytest.mark.parametrize("name", ARTEFACTS)
def test_less_than_none_is_refused(name):
    with pytest.raises(UsageError, match=name):
        SmearSettings(**{name: -0.1})
