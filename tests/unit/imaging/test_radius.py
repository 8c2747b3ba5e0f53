"""Radius normalisation: the axis of known cells, what is cut, and what is flagged."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.conftest import shared_files
from tests.unit.imaging.cut_cells import painted_cells
from wsi_patches.errors import UsageError
from wsi_patches.imaging.radius import RadiusSettings, normalise_radius

GLASS, CYTOPLASM, NUCLEUS = (228, 222, 226), (130, 100, 175), (95, 45, 140)


def plain_cell(radius_px, side_px=257, centre=None):
    """Draw a round cell with a round nucleus on glass."""
    image = np.full((side_px, side_px, 3), GLASS, np.uint8)
    centre = centre or (side_px // 2, side_px // 2)
    cv2.circle(image, centre, radius_px, CYTOPLASM, -1)
    cv2.circle(image, centre, round(0.75 * radius_px), NUCLEUS, -1)
    return cv2.GaussianBlur(image, (0, 0), 1.0)


@pytest.mark.parametrize("outline", ["published", "otsu", "hue"])
@pytest.mark.parametrize("radius_px", [40, 60, 80])
def test_the_axis_of_a_plain_cell(radius_px, outline):
    found = normalise_radius(plain_cell(radius_px), RadiusSettings(outline=outline))
    assert found.status == "ok"
    assert found.axis_px == pytest.approx(2 * radius_px + 1, abs=2.5)
    assert found.mask[128, 128]


@pytest.mark.parametrize("radius_px", [40, 55, 80])
def test_cells_of_all_sizes_come_out_alike(radius_px):
    found = normalise_radius(plain_cell(radius_px))
    assert found.image.shape == (256, 256, 3)
    stained = found.image[..., 0] < 200
    assert np.count_nonzero(stained) == pytest.approx(np.pi / 4 * (256 / 1.5) ** 2, rel=0.06)


@pytest.mark.parametrize("outline", ["published", "otsu", "hue"])
def test_painted_cells_have_their_painted_axis(outline):
    shares = [
        normalise_radius(cv2.resize(image, (257, 257)), RadiusSettings(outline=outline)).axis_px * 181 / 257 / radius
        for image, radius in painted_cells(1, red_coverage=0.0)
    ]
    assert np.median(np.abs(np.array(shares) / 2 - 1)) < 0.1


def test_a_cell_that_leaves_no_margin_is_cut_smaller():
    found = normalise_radius(plain_cell(100))
    assert found.status == "smaller"
    stained = found.image[..., 0] < 200
    assert np.mean(stained) == pytest.approx(np.pi / 4, abs=0.03)


def test_a_cell_that_does_not_fit_is_flagged():
    image = plain_cell(100, 257)[:, 40:-40]
    found = normalise_radius(image)
    assert found.status == "failed"
    assert found.image.shape == (256, 256, 3)


@pytest.mark.parametrize("outline", ["published", "otsu", "hue"])
@pytest.mark.parametrize("level", [0, 128, 255])
@pytest.mark.parametrize("shape", [(64, 64), (1, 1), (3, 80)])
def test_an_image_without_a_cell_is_flagged(outline, level, shape):
    found = normalise_radius(np.full((*shape, 3), level, np.uint8), RadiusSettings(outline=outline))
    assert found.status == "failed"
    assert np.isnan(found.axis_px)
    assert found.image.shape == (256, 256, 3)
    assert found.mask.shape == shape


def test_the_cut_is_around_the_published_middle_of_any_shape():
    image = plain_cell(30, 257)[20:-17, :]
    found = normalise_radius(image, RadiusSettings(axis_scale=1.0, size_px=61))
    half = round(found.axis_px / 2)
    row, column = image.shape[0] // 2 - 1, image.shape[1] // 2 - 1
    cut = image[row - half : row + half + 1, column - half : column + half + 1]
    assert np.array_equal(
        found.image, cv2.resize(cut, (61, 61), interpolation=cv2.INTER_AREA if len(cut) > 61 else cv2.INTER_CUBIC)
    )


@pytest.mark.parametrize("name", shared_files("txl_pbc/pbc/images")[:6])
def test_real_cells_are_cut_or_flagged(shared_data, name):
    image = cv2.cvtColor(cv2.imread(str(shared_data / name)), cv2.COLOR_BGR2RGB)
    found = normalise_radius(image)
    assert found.image.shape == (256, 256, 3)
    assert found.status == "failed" or 0.15 < found.axis_px / min(image.shape[:2]) < 1


@given(
    arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20), st.just(3)), elements=st.integers(0, 255)),
    st.sampled_from(["published", "otsu", "hue"]),
)
def test_any_image_is_cut_or_flagged(image, outline):
    found = normalise_radius(image[:, ::-1], RadiusSettings(outline=outline, size_px=16))
    assert found.image.shape == (16, 16, 3)
    assert found.status == "failed" or np.isfinite(found.axis_px)


@pytest.mark.parametrize(
    "wrong",
    [
        {"outline": "canny"},
        {"clusters": 1},
        {"clusters_kept": 4},
        {"disk_px": -1},
        {"iterations": -1},
        {"size_px": 0},
        {"axis_scale": 0.0},
    ],
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(UsageError, match=r"are needed|unknown outline"):
        RadiusSettings(**wrong)


def test_what_is_not_one_rgb_image_is_refused():
    with pytest.raises(UsageError, match="one image"):
        normalise_radius(np.zeros((1, 9, 9, 3), np.uint8))
