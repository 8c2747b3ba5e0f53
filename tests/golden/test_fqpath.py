"""FQPath against the scores of its authors' own code."""

import hashlib

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from tests.golden import shared_rows
from wsi_patches.imaging.focus import FLAT_SCORE, PlaneScorer, fqpath, grey

pytestmark = pytest.mark.golden

Y, X = np.mgrid[:256, :256]
SINCOS = np.floor(127.5 + 100 * np.sin(2 * np.pi * X / 8) * np.cos(2 * np.pi * Y / 11) + 0.5).astype(np.uint8)
NOISE = np.random.Generator(np.random.PCG64(0)).integers(0, 256, (256, 256), np.uint8)
PAINTED = {"sincos": (SINCOS, "30d17606c3c007cd"), "noise": (NOISE, "99010c74fb3633c7")}
PAINTED_SCORES = [
    *(("sincos", sigma, score) for sigma, score in ((0, 6.593118), (1, 7.384840), (2, 7.641642), (4, 10.556243))),
    *(("noise", sigma, score) for sigma, score in ((0, 5.528041), (1, 6.551836), (2, 8.170352), (4, 10.863119))),
]
ROWS = [row for row in shared_rows("fqpath_golden.csv") if row["portable"] == "yes" and ":" not in row["image"]]


def check(levels, sigma, score):
    """Compare with a score that was printed with six digits."""
    levels = levels.astype(float)
    blurred = gaussian_filter(levels, sigma, mode="reflect", truncate=4.0) if sigma else levels
    assert PlaneScorer(*blurred.shape).score(blurred) == pytest.approx(score, abs=1e-6)
    assert PlaneScorer(*blurred.shape, "float32").score(blurred) == pytest.approx(score, abs=0.02)


@pytest.mark.parametrize(("name", "sigma", "score"), PAINTED_SCORES)
def test_painted_images_score_as_by_the_authors(name, sigma, score):
    levels, sha256 = PAINTED[name]
    assert hashlib.sha256(levels.tobytes()).hexdigest().startswith(sha256)
    check(levels, sigma, score)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['image']}-{row['crop_rows_cols']}-{row['blur_sigma']}")
def test_real_images_score_as_by_the_authors(shared_data, row):
    folder = "focus" if row["image"].startswith("sample") else "bccd/images"
    crop = tuple(slice(*map(int, part.split(":"))) for part in row["crop_rows_cols"].split(","))
    colour = np.asarray(Image.open(shared_data / folder / row["image"]).convert("RGB"))[crop]
    levels = grey(colour)
    # Decoders of JPEG may differ by a level: a wrong hash is not a wrong score.
    assert hashlib.sha256(levels.tobytes()).hexdigest().startswith(row["gray_sha256_first16"])
    sigma, score = float(row["blur_sigma"]), float(row["score"])
    check(levels, sigma, score)
    if not sigma:
        assert fqpath(colour) == pytest.approx(score, abs=1e-6)


def test_a_flat_image_scores_as_by_the_authors():
    assert fqpath(np.full((256, 256), 128, np.uint8)) == FLAT_SCORE
