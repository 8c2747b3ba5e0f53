"""A map in two dimensions: what is near stays near, and points lie where they are said to."""

import cv2
import numpy as np
import pytest

from wsi_patches.errors import UsageError
from wsi_patches.evaluate.latent_map import draw_latent_map, latent_positions
from wsi_patches.report.explained import SHAPES


def clusters(rng, count=20):
    """Return three clusters that lie far from each other in eight dimensions."""
    centres = 20 * np.eye(3, 8)
    classes = np.repeat(np.arange(3), count)
    return (centres[classes] + rng.normal(size=(3 * count, 8))).astype(np.float32), classes


@pytest.mark.parametrize("method", ["tsne", pytest.param("umap", marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore:n_jobs value:UserWarning", "ignore:Tensorflow:ImportWarning")
def test_what_is_near_stays_near(method, rng):
    vectors, classes = clusters(rng)
    positions = latent_positions(vectors, method)
    apart = np.linalg.norm(positions[:, None] - positions[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    assert (classes[apart.argmin(axis=1)] == classes).all()
    np.testing.assert_array_equal(positions, latent_positions(vectors, method))


def test_too_few_points_make_no_map():
    with pytest.raises(UsageError, match="--map none"):
        latent_positions(np.zeros((3, 4), np.float32))


def test_points_lie_where_they_are_said_to(rng):
    positions = rng.uniform(-5, 5, (12, 2))
    drawn = draw_latent_map(positions, np.repeat([0, 1], 6), ("blast", "other"))
    pixels = cv2.imdecode(np.frombuffer(drawn.png, np.uint8), cv2.IMREAD_COLOR)
    for x, y in drawn.positions * pixels.shape[0]:
        assert (pixels[int(y), int(x)] < 255).any()
    assert [name for name, _, _ in drawn.legend] == ["blast", "other"]
    assert drawn.positions.min() >= 0
    assert drawn.positions.max() <= 1
    assert drawn.positions[positions[:, 1].argmax(), 1] == drawn.positions[:, 1].min()  # high is at the top


def test_of_many_classes_each_looks_otherwise_and_the_page_knows_its_marker(rng):
    drawn = draw_latent_map(rng.uniform(size=(33, 2)), np.arange(33), [str(number) for number in range(33)])
    looks = {(colour, marker) for _, colour, marker in drawn.legend}
    assert len(looks) == 33
    assert {marker for _, marker in looks} == set(SHAPES)
