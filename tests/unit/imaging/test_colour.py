"""Colour methods: published formulas, known stains and light, and what is saved."""

import json

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torchstain.numpy.normalizers import NumpyMacenkoNormalizer, NumpyReinhardNormalizer

from tests.conftest import shared_files
from wsi_patches.errors import UsageError
from wsi_patches.imaging.colour import COLOUR_METHODS, fitted_from_dict
from wsi_patches.imaging.comprehensive import Comprehensive, comprehensive
from wsi_patches.imaging.flatten import Flatten
from wsi_patches.imaging.reinhard import Reinhard
from wsi_patches.imaging.stain import Macenko, separate_stains
from wsi_patches.synthetic import paint_cell_patches

images = arrays(np.uint8, st.tuples(st.integers(1, 6), st.integers(1, 6), st.just(3)))


@pytest.fixture(scope="module")
def cells():
    return paint_cell_patches(6, seed=5)[0]


def one_round_by_hand(pixels):
    """Divide pixels by their sums, then channels by their means, a number at a time."""
    pixels = [[value / sum(pixel) for value in pixel] for pixel in pixels]
    means = [sum(pixel[channel] for pixel in pixels) / len(pixels) for channel in range(3)]
    return [[value / mean for value, mean in zip(pixel, means, strict=True)] for pixel in pixels]


def norm_by_hand(pixels):
    return sum(value * value for pixel in pixels for value in pixel) ** 0.5


@pytest.mark.parametrize("signed", [True, False])
def test_comprehensive_follows_the_published_rounds_and_stopping_rule(rng, signed):
    image = rng.integers(1, 256, (7, 5, 3), dtype=np.uint8)
    expected = image.reshape(-1, 3).tolist()
    for _ in range(100):
        before, expected = norm_by_hand(expected), one_round_by_hand(expected)
        fall = before - norm_by_hand(expected)
        if (fall if signed else abs(fall)) <= 1e-12:
            break
    assert np.allclose(comprehensive(image, signed=signed).reshape(-1, 3), expected, rtol=0, atol=1e-12)


def test_the_signed_rule_ends_near_the_fixed_point(cells):
    ended, fixed = comprehensive(cells[0]), comprehensive(cells[0], signed=False)
    assert 0 < np.abs(ended - fixed).max() < 0.05
    assert np.allclose(fixed.sum(axis=2), 3, atol=1e-5)
    assert np.allclose(fixed.mean(axis=(0, 1)), 1, atol=1e-12)


def test_shading_and_lamp_cancel_in_comprehensive(cells):
    light = np.linspace(0.6, 1, cells.shape[2])[:, None] * np.array([0.8, 1.0, 0.7])
    lit = np.rint(cells[0] * light).astype(np.uint8)
    apart = np.abs(comprehensive(lit, signed=False) - comprehensive(cells[0], signed=False))
    # What is left is the rounding to whole grey levels.
    assert np.quantile(apart, 0.99) < 0.02
    assert apart.max() < 0.1


@given(images)
def test_comprehensive_is_finite_whatever_is_black(image):
    normalised = comprehensive(image)
    assert np.isfinite(normalised).all()
    assert not normalised[image.sum(axis=2) == 0].any()
    lit = image.any(axis=2)
    if image[lit].any(axis=0).all() and lit.any():
        assert np.allclose(normalised[lit].mean(axis=0), 1)


def test_comprehensive_clips_hardly_any_at_twice_the_mean(cells):
    normalised = Comprehensive()(cells)
    assert np.mean(normalised == 255) < 0.01
    assert np.mean(Comprehensive(white=1.0)(cells) == 255) > 0.2


def test_reinhard_moves_mean_and_spread_to_the_reference(cells):
    moved = Reinhard().toward(cells[0]).fit(cells[1])(cells[1])[0]
    wanted, found = Reinhard().toward(cells[0]), Reinhard().toward(moved)
    assert np.allclose(found.target_mean, wanted.target_mean, atol=0.7)
    assert np.allclose(found.target_std, wanted.target_std, atol=0.7)


def test_reinhard_agrees_with_torchstain(cells):
    theirs = NumpyReinhardNormalizer()
    theirs.fit(cells[0])
    ours = Reinhard().toward(cells[0]).fit(cells[1])(cells[1])[0]
    # They cut off the fraction, we round.
    assert np.abs(ours.astype(int) - theirs.normalize(cells[1])).max() <= 1


def test_macenko_agrees_with_torchstain_where_all_is_stained(rng):
    theirs = NumpyMacenkoNormalizer()
    reference, image = mixed(rng, [0.6, 0.75, 0.28], [0.2, 0.95, 0.25], 0.8), mixed(rng, *STAINS.T, 0.8)
    theirs.fit(reference)
    method = Macenko(light=240).toward(reference)
    assert np.allclose(method.target_stains, theirs.HERef)
    assert np.allclose(method.target_most, theirs.maxCRef)
    ours = method.fit(image)(image)[0]
    # They cut off the fraction, we round.
    assert np.abs(ours.astype(int) - theirs.normalize(image, stains=False)[0]).max() <= 1


STAINS = np.array([[0.65, 0.25], [0.70, 0.90], [0.29, 0.36]]) / [0.9983, 1.0011]


def mixed(rng, first, second, least):
    """Mix two stains in random amounts, all of them above ``least``."""
    amounts = rng.uniform(least, 1.5, (60, 60, 2))
    amounts[:30] *= rng.choice([0.5, 1.0], (30, 60, 2))
    return np.rint(240 * np.exp(-amounts @ np.stack([first, second]))).astype(np.uint8)


def test_macenko_finds_the_stains_and_the_light_that_an_image_is_made_of(rng):
    amounts = rng.uniform(0, 1.2, (200, 200, 2)) * np.array([1.5, 1.0])
    amounts[:100] *= rng.integers(0, 2, (100, 200, 1)) == np.array([0, 1])
    amounts[180:] = 0
    light = (236, 228, 214)
    image = np.rint(light * np.exp(-amounts @ STAINS.T)).astype(np.uint8)
    fitted = Macenko().fit(image)
    assert np.allclose(fitted.source_light, light, atol=3)
    assert (np.sum(np.array(fitted.source_stains) * STAINS, axis=0) > 0.995).all()
    assert np.abs(fitted.amounts(image) - amounts).mean() < 0.1


def test_macenko_refuses_blank_glass():
    with pytest.raises(UsageError, match="need 100 stained pixels, found 0 of 64"):
        Macenko().fit(np.full((1, 8, 8, 3), 240, np.uint8))


@pytest.mark.parametrize("method", [Reinhard, Macenko])
def test_a_slide_that_looks_like_the_reference_stays_as_it_is(cells, method):
    moved = method().toward(cells).fit(cells)(cells)
    in_plane = 1 if method is Reinhard else 25  # two stains cannot say what lies off their plane
    assert np.quantile(np.abs(moved.astype(int) - cells), 0.95) <= in_plane


@pytest.mark.parametrize("method", ["reinhard", "macenko"])
def test_two_looks_of_the_same_cells_come_nearer(cells, method):
    other = np.clip(cells * np.array([0.8, 0.95, 0.9]), 0, 255).astype(np.uint8)
    knobs = COLOUR_METHODS[method]().toward(cells)
    apart = np.abs(cells.astype(int) - other).mean()
    assert np.abs(knobs.fit(cells)(cells).astype(int) - knobs.fit(other)(other)).mean() < 0.5 * apart


def test_flatten_takes_a_painted_vignette_away(rng):
    y, x = np.mgrid[-1:1:240j, -1:1:320j]
    light = np.exp(-0.5 * (x * x + y * y) + 0.1 * x)[..., None] * np.array([230, 220, 235])
    fields = np.repeat(light[None], 3, 0)
    for field in fields:
        for row, column in rng.integers(20, 220, (12, 2)):
            field[row - 12 : row + 12, column - 12 : column + 12] *= 0.5
    fitted = Flatten(white=240).fit(np.rint(fields).astype(np.uint8))
    glass = fitted(np.rint(light).astype(np.uint8))
    assert np.abs(glass.astype(int) - 240).max() <= 6
    assert np.abs(fitted.light(240, 320) / light - 1).max() < 0.025


def test_flatten_keeps_an_even_field():
    even = np.full((50, 70, 3), (230, 200, 210), np.uint8)
    assert np.array_equal(Flatten().fit(even)(even)[0], even)


@pytest.mark.parametrize("name", shared_files("wbc_fov/images")[:4])
def test_flatten_evens_real_fields(shared_data, name):
    field = cv2.cvtColor(cv2.imread(str(shared_data / name)), cv2.COLOR_BGR2RGB)
    assert unevenness(Flatten().fit(field)(field)[0]) < 0.5 * unevenness(field)


def unevenness(field):
    """Return how much the glass of a 4 x 4 board differs, as a share."""
    height, width = (side // 4 for side in field.shape[:2])
    boards = field[: 4 * height, : 4 * width, 1].reshape(4, height, 4, width).swapaxes(1, 2).reshape(16, -1)
    glass = np.quantile(boards, 0.95, axis=1)
    return np.ptp(glass) / glass.mean()


def test_pure_stains_are_separated():
    from skimage.color import combine_stains, rgb_from_bex

    amounts = np.array([[[0.05, 0, 0], [0, 0.05, 0], [0.03, 0.04, 0]]])
    image = np.rint(255 * combine_stains(amounts, rgb_from_bex)).astype(np.uint8)
    assert np.allclose(separate_stains(image, "giemsa"), amounts, atol=2e-3)


@pytest.mark.parametrize("matrix", ["wright", np.eye(2)])
def test_an_unknown_stain_matrix_is_refused(cells, matrix):
    with pytest.raises(UsageError, match="stain matrix"):
        separate_stains(cells[0], matrix)


@pytest.mark.parametrize("name", COLOUR_METHODS)
def test_a_fitted_method_is_the_same_after_saving_and_one_image_is_as_in_a_batch(cells, name):
    fitted = COLOUR_METHODS[name]().fit(cells)
    again = fitted_from_dict(json.loads(json.dumps(fitted.to_dict())))
    assert again == fitted
    whole = again(cells)
    assert whole.dtype == np.uint8
    assert whole.shape == cells.shape
    assert all(np.array_equal(fitted(image)[0], row) for image, row in zip(cells, whole, strict=True))


@pytest.mark.parametrize(
    "data",
    [{}, {"method": "vahadane"}, {"method": "comprehensive"}, {**Comprehensive().to_dict(), "gamma": 1}],
)
def test_what_is_no_saved_method_is_refused(data):
    with pytest.raises(UsageError, match=r"unknown colour method|has the keys"):
        fitted_from_dict(data)


@pytest.mark.parametrize("name", COLOUR_METHODS)
@pytest.mark.parametrize(
    "wrong", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 4, 3), np.uint8)]
)
def test_what_is_no_rgb_is_refused(name, wrong):
    with pytest.raises(UsageError, match="uint8 RGB"):
        COLOUR_METHODS[name]().fit(wrong)


@pytest.mark.parametrize("knobs", [{"light": 0}, {"least_density": -1}, {"percentile": 50}])
def test_impossible_knobs_are_refused(knobs):
    with pytest.raises(UsageError, match="are needed"):
        Macenko(**knobs)


@pytest.mark.parametrize("name", ["comprehensive", "reinhard", "flatten"])
@pytest.mark.parametrize("level", [0, 128, 255])
def test_flat_images_make_no_noise(name, level):
    flat = np.full((1, 8, 8, 3), level, np.uint8)
    assert np.ptp(COLOUR_METHODS[name]().fit(flat)(flat), axis=(0, 1, 2)).max() == 0


def test_a_large_sample_is_drawn_the_same_way_each_time(cells):
    many = np.concatenate([cells] * 50)
    assert Reinhard().fit(many) == Reinhard().fit(many)


@pytest.mark.parametrize("name", COLOUR_METHODS)
def test_a_view_is_as_good_as_a_copy(cells, name):
    view = cells[:, ::2, ::-1, ::-1]
    assert np.array_equal(COLOUR_METHODS[name]().fit(view)(view), COLOUR_METHODS[name]().fit(view.copy())(view.copy()))
