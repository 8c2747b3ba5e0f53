"""The focus score: exact at any size, finite for any picture, higher the blurrier."""

import tracemalloc

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests import oracle_fqpath
from tests.conftest import shared_files
from wsi_patches.errors import UsageError
from wsi_patches.imaging.focus import (
    FLAT_SCORE,
    GREY_WEIGHTS,
    PlaneScorer,
    fqpath,
    grey,
    laplacian_variance,
    score_of_moment,
)

REAL = [
    file
    for folder, count in (("bccd/images", 8), ("wbc_fov/images", 6), ("txl_pbc", 6))
    for file in [name for name in shared_files(folder) if name.endswith((".jpg", ".png"))][::2][:count]
]


def noise(rng, *shape):
    return rng.integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize(
    "shape", [(256, 256), (128, 128), (64, 300), (40, 40), (17, 90), (5, 33), (710, 20), (1024, 80)]
)
def test_any_size_scores_as_by_the_plain_steps(rng, shape):
    plane = noise(rng, *shape)
    assert fqpath(plane) == pytest.approx(oracle_fqpath.score(plane / 255), abs=1e-9)
    assert fqpath(plane, precision="float32") == pytest.approx(oracle_fqpath.score(plane / 255), abs=0.02)


def test_a_picture_padded_with_black_scores_as_by_the_plain_steps(rng):
    plane = noise(rng, 200, 200)
    plane[:, 120:] = 0
    assert fqpath(plane) == pytest.approx(oracle_fqpath.score(plane / 255), abs=1e-9)


@pytest.mark.parametrize("file", REAL)
def test_the_more_blur_the_higher(shared_data, file):
    image = np.asarray(Image.open(shared_data / file).convert("RGB"))
    top, left = (image.shape[0] - 256) // 2, (image.shape[1] - 256) // 2
    patch = image[top : top + 256, left : left + 256]
    blurred = np.stack([patch, *(cv2.GaussianBlur(patch, (0, 0), sigma) for sigma in (1, 2, 4))])
    for precision in ("float64", "float32"):
        assert (np.diff(fqpath(blurred, precision=precision)) > 0.05).all()
    assert (np.diff(laplacian_variance(blurred)) < 0).all()


@pytest.mark.parametrize("shape", [(5, 90, 70), (5, 90, 70, 3)])
@pytest.mark.parametrize("measure", [fqpath, laplacian_variance])
def test_a_batch_is_its_images(rng, shape, measure):
    batch = noise(rng, *shape)
    scores = measure(batch)
    assert scores.shape == (5,)
    assert scores.dtype == np.float64
    assert [float(measure(image)) for image in batch] == scores.tolist()
    assert measure(batch[0]).shape == ()
    assert measure(batch[:0]).shape == (0,)


def test_colour_is_scored_by_its_grey(rng):
    colour = noise(rng, 3, 80, 80, 3)
    assert fqpath(colour).tolist() == fqpath(grey(colour)).tolist()
    assert fqpath(colour[0][::2, ::-1]) == fqpath(grey(np.ascontiguousarray(colour[0][::2, ::-1])))


def test_grey_is_rounded_half_up():
    green, blue = np.mgrid[:256, :256]
    for red in range(0, 256, 15):
        colour = np.stack([np.full_like(green, red), green, blue], axis=-1).astype(np.uint8)
        assert (grey(colour) == np.floor(colour @ np.array(GREY_WEIGHTS) + 0.5)).all()


def test_grey_keeps_grey(rng):
    plane = noise(rng, 20, 30)
    assert (grey(np.repeat(plane[..., None], 3, axis=2)) == plane).all()
    assert (grey(plane) == plane).all()


@st.composite
def odd_pictures(draw):
    """Draw pictures that are flat, saturated, padded or of a few levels, of any size."""
    height, width = draw(st.integers(1, 80)), draw(st.integers(1, 80))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    levels = draw(st.lists(st.integers(0, 255), min_size=1, max_size=4))
    plane = rng.choice(np.array(levels, np.uint8), (height, width))
    plane[:, draw(st.integers(0, width)) :] = draw(st.sampled_from((0, 128, 255)))
    return plane


@given(odd_pictures())
def test_every_picture_has_a_score(plane):
    scores = np.array([fqpath(plane), fqpath(plane, precision="float32")])
    assert ((scores > 0) & (scores <= FLAT_SCORE)).all()


@pytest.mark.parametrize("level", [0, 1, 128, 254, 255])
@pytest.mark.parametrize("shape", [(1, 1), (64, 64), (256, 256, 3)])
def test_a_flat_picture_has_nothing_to_judge(level, shape):
    flat = np.full(shape, level, np.uint8)
    assert fqpath(flat) == fqpath(flat, precision="float32") == FLAT_SCORE
    assert laplacian_variance(flat) == 0


def test_flat_padding_in_float32_scores_as_in_float64(rng):
    for padding in (0, 90, 235, 255):
        plane = cv2.GaussianBlur(noise(rng, 200, 200), (0, 0), 2)
        plane[120:] = padding
        assert fqpath(plane, precision="float32") == pytest.approx(float(fqpath(plane)), abs=1e-5)


def test_moments_without_a_logarithm():
    assert score_of_moment(0.0) == FLAT_SCORE
    assert score_of_moment(1e-60) == FLAT_SCORE
    assert score_of_moment(float("inf")) == 0
    assert score_of_moment(1e-7) == pytest.approx(7)


def test_a_batch_takes_the_memory_of_one(rng):
    batch = noise(rng, 64, 256, 256, 3)
    fqpath(batch[:1])
    tracemalloc.start()
    fqpath(batch)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10e6


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (np.zeros((8, 8), np.int16), "int16.*257"),
        (np.zeros((8, 8), np.float32), "float32"),
        (np.zeros(8, np.uint8), r"shape.*\(8,\)"),
        (np.zeros((2, 8, 8, 4), np.uint8), "shape"),
        (np.zeros((0, 8), np.uint8), "shape"),
        (np.zeros((2, 2, 8, 8, 3), np.uint8), "shape"),
    ],
)
def test_other_images_are_refused_with_a_sentence(images, words):
    for measure in (fqpath, grey, laplacian_variance):
        with pytest.raises(UsageError, match=words):
            measure(images)


def test_only_the_score_takes_16_bits():
    for measure in (grey, laplacian_variance):
        with pytest.raises(UsageError, match=r"uint16.*257"):
            measure(np.zeros((8, 8), np.uint16))


def test_another_precision_is_refused():
    with pytest.raises(UsageError, match="float16"):
        fqpath(np.zeros((8, 8), np.uint8), precision="float16")


def test_a_scorer_forgets_the_plane_before(rng):
    scorer = PlaneScorer(70, 50)
    first, second = noise(rng, 2, 70, 50)
    expected = scorer.score(first)
    scorer.score(second)
    assert scorer.score(first) == expected


@pytest.mark.parametrize("shape", [(64, 64), (64, 64, 3), (2, 64, 64, 3)])
def test_16_bit_images_score_as_the_same_picture_in_8_bits(rng, shape):
    image = cv2.GaussianBlur(rng.integers(0, 256, (64, 64, 3), np.uint8), (0, 0), 1)
    image = np.broadcast_to(image if shape[-1] == 3 else image[..., 0], shape)
    deep = image.astype(np.uint16) * 257
    # Grey of 16 bits is rounded more finely, so scores differ by what half a level of 8 bits does.
    assert fqpath(deep) == pytest.approx(fqpath(image), abs=1e-9 if shape == (64, 64) else 0.01)
    assert np.all(np.isfinite(fqpath(np.full(shape, 65535, np.uint16))))
