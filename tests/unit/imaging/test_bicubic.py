"""Bicubic resizing against Pillow's, which is the same but at the border."""

import numpy as np
import pytest
from PIL import Image

from wsi_patches.errors import UsageError
from wsi_patches.geometry import Size
from wsi_patches.imaging.bicubic import resize_bicubic
from wsi_patches.synthetic import paint_cell_patches


@pytest.mark.parametrize("size", [Size(128, 128), Size(64, 200), Size(300, 257), Size(400, 50)])
def test_inside_it_is_what_pillow_makes(size):
    images, _ = paint_cell_patches(3, 4, 257)
    resized = resize_bicubic(images, size)
    others = [np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC)) for image in images]
    assert resized.shape == (3, size.height, size.width, 3)
    # Pillow rounds between its two passes.
    assert np.abs(resized.astype(int) - np.stack(others))[:, 4:-4, 4:-4].max() <= 1


def test_a_ramp_stays_a_ramp():
    ramp = np.tile(np.arange(0, 200, 2, dtype=np.uint8), (1, 40, 1))
    assert np.array_equal(np.diff(resize_bicubic(ramp, Size(50, 20))[0, 5, 3:-3].astype(int)), np.full(43, 4))


def test_grey_is_resized_as_each_channel_of_colour():
    images, _ = paint_cell_patches(2, 4, 60)
    colour = resize_bicubic(images, Size(31, 90))
    assert np.array_equal(resize_bicubic(images[..., 2], Size(31, 90)), colour[..., 2])


def test_edges_are_mirrored_so_that_a_flat_image_stays_flat():
    for size in (Size(3, 3), Size(1, 1), Size(7, 20)):
        assert (resize_bicubic(np.full((2, 5, 6), 200, np.uint8), size) == 200).all()


def test_images_of_the_size_are_returned_as_they_are():
    images = np.zeros((2, 5, 6, 3), np.uint8)
    assert resize_bicubic(images, Size(6, 5)) is images


@pytest.mark.parametrize(
    ("images", "size"),
    [
        (np.zeros((5, 6), np.uint8), Size(3, 3)),
        (np.zeros((1, 5, 6), np.float32), Size(3, 3)),
        (np.zeros((1, 0, 6), np.uint8), Size(3, 3)),
        (np.zeros((1, 5, 6), np.uint8), Size(0, 3)),
    ],
)
def test_what_cannot_be_resized_is_refused(images, size):
    with pytest.raises(UsageError, match="images to resize"):
        resize_bicubic(images, size)
