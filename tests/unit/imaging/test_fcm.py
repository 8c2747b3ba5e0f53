"""Fuzzy c-means on a histogram against all values one by one."""

import numpy as np
import pytest

from wsi_patches.errors import UsageError
from wsi_patches.imaging.fcm import fuzzy_c_means


def by_all_values(values, clusters, fuzziness):
    """Bezdek's two formulas on every value."""
    centres = np.linspace(values.min(), values.max(), clusters)
    for _ in range(500):
        distance = np.abs(values[:, None] - centres) + 1e-12
        member = 1 / ((distance[:, :, None] / distance[:, None, :]) ** (2 / (fuzziness - 1))).sum(axis=2)
        weight = member**fuzziness
        centres = (weight * values[:, None]).sum(axis=0) / weight.sum(axis=0)
    return centres


@pytest.mark.parametrize("clusters", [2, 3])
@pytest.mark.parametrize("fuzziness", [1.5, 2.0])
def test_a_histogram_gives_the_centres_of_all_values(rng, clusters, fuzziness):
    values = np.clip(rng.normal([[40], [120], [210]], 14, (3, 150)), 0, 255).astype(np.uint8)
    found = fuzzy_c_means(values, clusters, fuzziness)
    assert np.allclose(found.centres, by_all_values(values.ravel().astype(float), clusters, fuzziness), atol=0.05)


def test_memberships_sum_to_one_and_a_centre_is_its_own(rng):
    found = fuzzy_c_means(rng.integers(0, 256, 1000, dtype=np.uint8))
    assert np.allclose(found.membership.sum(axis=1), 1)
    assert (np.diff(found.centres) > 0).all()
    nearest = np.rint(found.centres).astype(int)
    assert (found.membership[nearest, np.arange(3)] > 0.95).all()


def test_a_flat_image_has_finite_clusters():
    found = fuzzy_c_means(np.full((4, 4), 90, np.uint8))
    assert np.isfinite(found.centres).all()
    assert np.isfinite(found.membership).all()


@pytest.mark.parametrize(
    ("values", "clusters", "fuzziness"),
    [
        (np.zeros(4, np.uint8), 1, 2.0),
        (np.zeros(0, np.uint8), 3, 2.0),
        (np.zeros(4), 3, 2.0),
        (np.zeros(4, np.uint8), 3, 1.0),
    ],
)
def test_impossible_clusters_are_refused(values, clusters, fuzziness):
    with pytest.raises(UsageError, match="fuzzy c-means needs"):
        fuzzy_c_means(values, clusters, fuzziness)
