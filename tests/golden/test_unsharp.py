"""Unsharp masking against Octave's imsharpen."""

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from tests.golden import shared_rows
from wsi_patches.imaging.focus import fqpath
from wsi_patches.imaging.sharpen import unsharp

pytestmark = pytest.mark.golden


def blurred(image, sigma):
    """Blur each channel and round, as the golden images were made."""
    if not sigma:
        return image
    soft = gaussian_filter(image.astype(float), (sigma, sigma, 0), mode="reflect", truncate=4.0)
    return np.clip(np.floor(soft + 0.5), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("row", shared_rows("unsharp_golden.csv"), ids=lambda row: f"{row['image']}-{row['radius']}")
def test_sharpened_images_score_as_by_octave(shared_data, row):
    crop = tuple(slice(*map(int, part.split(":"))) for part in row["crop_rows_cols"].split(","))
    original = np.asarray(Image.open(shared_data / "bccd/images" / row["image"]).convert("RGB"))[crop]
    image = blurred(original, float(row["blur_sigma"]))
    if row["radius"] != "0":
        image = unsharp(image, int(row["radius"]))
    assert fqpath(image) == pytest.approx(float(row["score_after"]), abs=0.002)
    assert fqpath(image, precision="float32") == pytest.approx(float(row["score_after"]), abs=0.002)
    assert image.mean() == pytest.approx(float(row["mean_rgb_after"]), abs=0.001)
    assert image.std() == pytest.approx(float(row["std_rgb_after"]), abs=0.001)
