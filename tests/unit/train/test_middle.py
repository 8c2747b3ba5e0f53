"""What of a picture is shown: what fits, a middle square, or such a square with black around a smaller picture."""

import numpy as np
import pytest
import torch
from torchvision.transforms.functional import center_crop

from tests.painted_sets import write_all_idb2
from wsi_patches.datasets import find_inputs
from wsi_patches.errors import UsageError
from wsi_patches.recipe import settings_from
from wsi_patches.slides import ArraySlide
from wsi_patches.train.fields import FieldSettings, field_patches
from wsi_patches.train.middle import middle_px, middle_square


def picture(width, height):
    return np.random.default_rng(width * height).integers(1, 255, (height, width, 3)).astype(np.uint8)


@pytest.mark.parametrize("size", [(257, 253), (253, 257), (250, 251), (256, 256), (257, 257), (300, 259), (120, 301)])
def test_black_around_a_smaller_picture_is_where_torchvision_puts_it(size):
    pixels = picture(*size)
    theirs = center_crop(torch.from_numpy(pixels).permute(2, 0, 1), [256, 256]).permute(1, 2, 0).numpy()

    assert np.array_equal(middle_square(ArraySlide(pixels), 256, 256, "black"), theirs)


def test_a_picture_of_257_by_253_px_gets_three_black_columns_or_shows_253_px_of_itself():
    pixels = picture(253, 257)
    slide = ArraySlide(pixels)
    padded = middle_square(slide, 256, 256, "black")
    plain = middle_square(slide, 253, 256)

    assert np.flatnonzero(padded.max(axis=(0, 2)) == 0).tolist() == [0, 254, 255]
    assert np.array_equal(plain, pixels[2:255])
    assert (middle_px(slide, 256, "black"), middle_px(slide, 256), middle_px(slide, None)) == (256, 253, 253)


def test_a_larger_picture_loses_its_border_whatever_the_padding():
    pixels = picture(300, 280)
    slide = ArraySlide(pixels)

    assert np.array_equal(middle_square(slide, 256, 256), pixels[12:268, 22:278])
    assert np.array_equal(middle_square(slide, 256, 256, "black"), pixels[12:268, 22:278])
    assert middle_square(slide, 32, 256).shape == middle_square(slide, 32, 400, "black").shape == (32, 32, 3)


@pytest.mark.parametrize(("asked", "corner"), [({}, False), ({"crop_px": 80, "padding": "black"}, True)])
def test_a_training_of_fields_learns_from_what_its_settings_show(tmp_path, asked, corner):
    items = find_inputs([write_all_idb2(tmp_path / "cells", count=4)]).items
    patches = field_patches(items, FieldSettings(input_px=80, **asked), tmp_path / "out")

    assert patches.images.shape == (4, 80, 80, 3)
    assert all((image[:8].max() == 0) == corner for image in patches.images)
    assert all(image[40, 40].max() > 0 for image in patches.images)


def test_by_default_all_that_fits_is_shown():
    settings = settings_from(FieldSettings, {}, {"task": "fields"}, "recipe")

    assert (settings.crop_px, settings.padding) == (None, "none")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"crop_px": 0}, r"crop_px of a training must lie in 1\.\.4096, got 0"),
        ({"crop_px": 256, "padding": "zero"}, "padding"),
        ({"padding": "black"}, "say crop_px too"),
    ],
)
def test_what_cannot_be_is_told(values, message):
    with pytest.raises(UsageError, match=message):
        settings_from(FieldSettings, {}, values, "recipe")
    with pytest.raises(UsageError, match=message):
        FieldSettings(**values)
