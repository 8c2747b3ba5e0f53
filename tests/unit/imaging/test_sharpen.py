"""Unsharp masking of lightness, and the adaptive loop."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from skimage.color import lab2rgb, rgb2lab

from wsi_patches.errors import UsageError
from wsi_patches.geometry import Box, Size
from wsi_patches.imaging.focus import FLAT_SCORE, fqpath
from wsi_patches.imaging.sharpen import SharpenSettings, sharpen_adaptively, unsharp
from wsi_patches.synthetic import Smear, SmearSettings

RADII = range(1, 18, 2)


@pytest.fixture(scope="module")
def patches():
    """Two sharp patches, two blurred, one blurred beyond help, one flat."""
    smear = Smear(Size(512, 768), SmearSettings(seed=4)).paint_window(Box(0, 0, 512, 768))
    batch = smear.reshape(3, 256, 2, 256, 3).swapaxes(1, 2).reshape(6, 256, 256, 3).copy()
    for index, sigma in ((1, 1.0), (3, 1.5), (4, 6.0)):
        batch[index] = cv2.GaussianBlur(batch[index], (0, 0), sigma)
    batch[5] = 230
    return batch


@pytest.mark.parametrize("radius", [1, 5, 17])
def test_lightness_alone_is_sharpened(patches, radius):
    image = patches[1]
    lab = rgb2lab(image)
    blurred = gaussian_filter(lab[..., 0], radius, mode="nearest", radius=2 * radius)
    lab[..., 0] += 0.8 * (lab[..., 0] - blurred)
    expected = np.floor(255 * lab2rgb(lab) + 0.5)
    apart = np.abs(unsharp(image, radius) - expected)
    assert apart.max() <= 1
    assert np.mean(apart > 0) < 0.02


def test_nothing_added_is_the_image(rng):
    image = rng.integers(0, 256, (64, 48, 3), np.uint8)
    assert (unsharp(image, 3, amount=0) == image).all()


@given(st.integers(1, 30), st.integers(1, 30), st.sampled_from(RADII), st.integers(0, 2**32 - 1))
def test_any_size_can_be_sharpened(height, width, radius, seed):
    image = np.random.default_rng(seed).choice(np.array([0, 3, 200, 255], np.uint8), (height, width, 3))
    sharp = unsharp(image, radius)
    assert sharp.shape == image.shape
    assert sharp.dtype == np.uint8


@pytest.mark.parametrize("level", [0, 2, 77, 255])
def test_flat_stays_flat(level):
    flat = np.full((40, 40, 3), level, np.uint8)
    assert (unsharp(flat, 7) == flat).all()


def plain_loop(image, settings):
    """Run the loop as it is written in the paper's code."""
    score, radius, tries, kept = fqpath(image, precision="float32"), 1, 0, (image, 0)
    while score > settings.threshold and tries < settings.tries:
        kept = (unsharp(image, radius, settings.amount), radius)
        score, radius, tries = fqpath(kept[0], precision="float32"), radius + 2, tries + 1
    return kept


@pytest.mark.parametrize("below", [0.1, 0.6, 3.0])
def test_the_batch_is_the_loop_on_each(patches, below):
    settings = SharpenSettings(float(fqpath(patches[3])) - below)
    sharpened = sharpen_adaptively(patches[:5], settings)
    for index, image in enumerate(patches[:5]):
        expected, radius = plain_loop(image, settings)
        assert sharpened.radius_px[index] == radius
        assert (sharpened.images[index] == expected).all()


def test_scores_are_those_of_the_images(patches):
    sharpened = sharpen_adaptively(patches, SharpenSettings(float(fqpath(patches[3])) - 0.3), precision="float64")
    assert sharpened.score_before.tolist() == fqpath(patches).tolist()
    assert sharpened.score_after.tolist() == fqpath(sharpened.images).tolist()
    assert sharpened.radius_px.dtype == np.uint8


def test_sharp_and_flat_patches_are_left_alone(patches):
    before = patches.copy()
    sharpened = sharpen_adaptively(patches, SharpenSettings(float(fqpath(patches[1])) - 0.05))
    assert (patches == before).all()
    left = sharpened.radius_px == 0
    assert left.tolist() == [True, False, True, False, False, True]
    assert (sharpened.images[left] == patches[left]).all()
    assert sharpened.score_after[5] == FLAT_SCORE


def test_out_of_reach_the_last_or_the_best_is_kept(patches):
    soft, threshold = patches[3:4], 1.0
    scores = [float(fqpath(unsharp(soft[0], radius), precision="float32")) for radius in RADII]
    last = sharpen_adaptively(soft, SharpenSettings(threshold))
    best = sharpen_adaptively(soft, SharpenSettings(threshold, keep="best"))
    assert (last.radius_px[0], last.score_after[0]) == (17, scores[-1])
    assert (best.radius_px[0], best.score_after[0]) == (RADII[int(np.argmin(scores))], min(scores))
    assert sharpen_adaptively(soft, SharpenSettings(threshold, tries=2)).radius_px.tolist() == [3]


def test_an_empty_batch_stays_empty(patches):
    assert sharpen_adaptively(patches[:0], SharpenSettings(7.0)).images.shape == (0, 256, 256, 3)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"threshold": float("nan")}, "threshold"),
        ({"threshold": 7.0, "amount": 0.0}, "amount"),
        ({"threshold": 7.0, "tries": 0}, "1 to 128"),
        ({"threshold": 7.0, "keep": "first"}, "first"),
    ],
)
def test_settings_out_of_range_are_refused(settings, words):
    with pytest.raises(UsageError, match=words):
        SharpenSettings(**settings)


def test_other_images_are_refused():
    with pytest.raises(UsageError, match="RGB"):
        unsharp(np.zeros((8, 8), np.uint8), 1)
    with pytest.raises(UsageError, match="uint16"):
        unsharp(np.zeros((8, 8, 3), np.uint16), 1)
    with pytest.raises(UsageError, match="radius"):
        unsharp(np.zeros((8, 8, 3), np.uint8), 0)
    with pytest.raises(UsageError, match="RGB patches"):
        sharpen_adaptively(np.zeros((8, 8, 3), np.uint8), SharpenSettings(7.0))
    with pytest.raises(UsageError, match="uint16"):
        sharpen_adaptively(np.zeros((2, 8, 8, 3), np.uint16), SharpenSettings(7.0))
