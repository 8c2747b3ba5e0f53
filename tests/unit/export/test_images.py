"""Encoded pictures, decoded by libraries that other people use."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from tifffile import imread, imwrite

from wsi_patches.errors import UsageError
from wsi_patches.export.images import ImageSettings, encode


@pytest.fixture(params=[(64, 64), (5, 7)])
def image(request):
    return np.random.default_rng(2).integers(0, 256, (*request.param, 3), np.uint8)


@pytest.mark.parametrize("kind", ["png", "webp", "tiff"])
def test_pillow_decodes_equal_pixels_without_loss(image, kind):
    assert np.array_equal(Image.open(BytesIO(encode(image, ImageSettings(kind)))), image)


def test_a_tiff_is_what_tifffile_writes(image):
    for picture in (image, np.zeros_like(image), image[:, ::-1]):
        wanted = BytesIO()
        imwrite(wanted, picture, photometric="rgb", metadata=None)
        found = encode(picture, ImageSettings("tiff"))
        assert found == wanted.getvalue()
        assert np.array_equal(imread(BytesIO(found)), picture)


def test_jpeg_of_higher_quality_is_nearer(image):
    off = [
        np.abs(np.array(Image.open(BytesIO(encode(image, ImageSettings("jpeg", quality)))), int) - image).mean()
        for quality in (30, 70, 95)
    ]
    assert off[0] > off[1] > off[2]


def test_other_kinds_and_qualities_are_refused():
    with pytest.raises(UsageError, match="found 'gif'"):
        ImageSettings("gif")
    with pytest.raises(UsageError, match="found 101"):
        ImageSettings("jpeg", 101)
