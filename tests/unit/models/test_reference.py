"""Slides that look unlike those of a training are told from those that do."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from wsi_patches.errors import ModelError
from wsi_patches.models.reference import InputReference, UsualLook, look_of, patch_looks

USUAL = {"centre": (0.0, 0.0), "inverse": ((1.0, 0.0), (0.0, 1.0)), "limit": 3.0}


def test_most_slides_of_the_same_kind_are_known(rng):
    mixed = rng.normal(size=(6, 6))
    usual = UsualLook.fit(rng.normal(size=(80, 6)) @ mixed + 5)
    far = [usual.unlike(look) > 1 for look in rng.normal(size=(500, 6)) @ mixed + 5]
    assert np.mean(far) < 0.06
    other = [usual.unlike(look) > 1 for look in rng.normal(size=(100, 6)) @ mixed + 5 + 8 * mixed[0]]
    assert np.mean(other) > 0.95


def test_what_is_odd_is_named(rng):
    reference = InputReference.fit(rng.normal(size=(60, 11)))
    look = np.zeros(11)
    assert reference.unlike(look)[0] < 1
    look[1] = -20
    assert reference.unlike(look) == (pytest.approx(20 / reference.sharpness.limit, rel=0.3), "sharpness")
    look[10] = 200
    assert reference.unlike(look)[1] == "the blue of the nuclei"


def test_too_few_slides_say_nothing_of_what_is_usual(rng):
    assert InputReference.fit(rng.normal(size=(11, 11))) is None
    assert InputReference.fit(rng.normal(size=(12, 11))).slides == 12


def test_blur_lowers_the_first_look_and_stain_raises_the_others(rng):
    patch = cv2.GaussianBlur(rng.integers(0, 256, (128, 128, 3)).astype(np.uint8), (0, 0), 1.5)
    blurred = cv2.GaussianBlur(patch, (0, 0), 2.0)
    darker = (patch * 0.7).astype(np.uint8)
    looks = patch_looks(np.stack([patch, blurred, darker]))
    assert looks.shape == (3, 11)
    assert (looks[1, :2] < looks[0, :2] - 0.3).all()
    assert (looks[2, 2:] > looks[0, 2:]).all()


def test_a_slide_looks_like_the_median_of_some_of_its_patches(rng):
    patches, asked = rng.integers(0, 256, (200, 24, 24, 3), dtype=np.uint8), []

    def read(rows):
        asked.append(rows.tolist())
        return patches[rows]

    np.testing.assert_allclose(look_of(range(40, 80), read), np.median(patch_looks(patches[40:80]), axis=0))
    look_of(np.arange(200)[::-1], read)
    assert asked[0] == list(range(40, 80))
    assert (len(asked[1]), asked[1][0], asked[1][-1]) == (64, 199, 0)
    assert np.diff(asked[1]).max() < 0


def test_a_look_does_not_hang_on_the_size_of_the_patch(rng):
    small = cv2.GaussianBlur(rng.integers(0, 256, (96, 96, 3)).astype(np.uint8), (0, 0), 2.0)
    large = cv2.resize(small, (192, 192), interpolation=cv2.INTER_LINEAR)
    one, other = patch_looks(small[None])[0], patch_looks(large[None])[0]
    np.testing.assert_allclose(one, other, atol=0.25)


def test_pixel_sizes_are_known_within_half_again():
    usual = UsualLook(**USUAL)
    reference = InputReference(sharpness=usual, stain=usual, slides=20, mpp=(0.2, 0.25))
    assert [reference.knows(mpp) for mpp in (0.2, 0.3, None, 0.5, 0.1)] == [True, True, True, False, False]
    assert replace(reference, mpp=None).knows(4.0)


@pytest.mark.parametrize("fault", [{"inverse": ((1.0, 0.0),)}, {"limit": 0.0}, {"centre": (1.0,)}])
def test_numbers_that_do_not_fit_are_refused(fault):
    with pytest.raises(ModelError, match="usual look"):
        UsualLook(**{**USUAL, **fault})
