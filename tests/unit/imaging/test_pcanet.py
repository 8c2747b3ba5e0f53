"""PCANet against its definition, patch by patch and block by block, and what its features are invariant to."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

from wsi_patches.errors import UsageError
from wsi_patches.imaging.pcanet import MOST_FILTERS, PCANet, _patch_products
from wsi_patches.synthetic import paint_cell_patches


def cells(count, seed=5, side=128):
    return paint_cell_patches(count, seed, side)[0][..., 1]


def patches_less_their_means(image, pad=0):
    patches = sliding_window_view(np.pad(image.astype(np.float64), pad), (15, 15)).reshape(-1, 225)
    return patches - patches.mean(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def learnt():
    images = cells(6)
    return images, PCANet.fit(images)


def test_filters_are_the_principal_components_of_all_patches(learnt):
    images, net = learnt
    patches = np.concatenate([patches_less_their_means(image) for image in images])
    values, vectors = (part.T[::-1] for part in np.linalg.eigh(patches.T @ patches))
    share = np.cumsum(values) / values.sum()
    count = len(net.filters)
    assert share[count - 2] < 0.92 <= share[count - 1]
    assert net.retained_variance == pytest.approx(share[count - 1], abs=1e-9)
    alignment = np.abs(net.filters.reshape(count, 225) @ vectors[:count].T)
    assert np.allclose(alignment, np.eye(count), atol=1e-5)


@settings(max_examples=10)
@given(st.integers(23, 60), st.integers(23, 60), st.integers(1, 3))
def test_products_of_patches_are_exact(height, width, count):
    images = np.random.default_rng(height * width).integers(0, 256, (count, height, width), np.uint8)
    patches = sliding_window_view(images, (15, 15), axis=(1, 2)).reshape(-1, 225).astype(np.float64)
    assert np.array_equal(_patch_products(images), patches.T @ patches)


def test_filters_are_orthonormal_have_no_mean_and_one_sign(learnt):
    flat = learnt[1].filters.reshape(-1, 225)
    assert np.allclose(flat @ flat.T, np.eye(len(flat)), atol=1e-9)
    assert np.allclose(flat.sum(axis=1), 0, atol=1e-9)
    assert (flat.max(axis=1) == np.abs(flat).max(axis=1)).all()


def test_the_way_images_are_batched_changes_nothing(learnt, monkeypatch):
    images, net = learnt
    monkeypatch.setattr("wsi_patches.imaging.pcanet.IMAGES_AT_ONCE", 4)
    assert np.array_equal(PCANet.fit(images).filters, net.filters)
    one_by_one = [net.features(image[None]).toarray() for image in images]
    assert np.array_equal(np.concatenate(one_by_one), net.features(images).toarray())


def test_features_are_block_histograms_of_hashed_signs(learnt):
    images, net = learnt
    count = len(net.filters)
    responses = patches_less_their_means(images[3], pad=7) @ net.filters.reshape(count, 225).T
    codes = ((responses > 0) @ (2 ** np.arange(count)[::-1])).reshape(128, 128)
    expected = []
    for top in range(0, 115, 23):
        for left in range(0, 115, 23):
            block = codes[top : top + 23, left : left + 23]
            expected.append(np.bincount(block.ravel(), minlength=2**count) * 2**count / 529)
    features = net.features(images[3:4])
    assert features.dtype == np.float32
    assert features.shape == (1, 25 * 2**count)
    # A response so near 0 that its sign is rounding may move a pixel or two to another bin.
    moved = np.abs(features.toarray()[0] - np.concatenate(expected)).sum() / (2**count / 529) / 2
    assert moved <= 3


def test_signs_of_filters_do_not_change_distances(learnt):
    images, net = learnt
    turned = PCANet(-net.filters, net.retained_variance)
    gram = [(features @ features.T).toarray() for features in (net.features(images[:4]), turned.features(images[:4]))]
    assert np.allclose(gram[0], gram[1], rtol=0.01)


def test_brightness_and_contrast_leave_the_inside_of_an_image_alone(learnt):
    images, net = learnt
    # Blocks at the border see the 0 outside of the image, so only the nine inside are compared.
    inside = np.arange(25).reshape(5, 5)[1:4, 1:4].ravel()
    dim = (images[:2] // 4).astype(np.uint8)
    plain, changed = (net.features(batch).toarray().reshape(2, 25, -1)[:, inside] for batch in (dim, dim * 2 + 7))
    assert np.array_equal(plain, changed)


def test_pixels_without_contrast_have_code_0(learnt):
    white = np.full((1, 60, 60), 255, np.uint8)
    features = learnt[1].features(white).toarray().reshape(4, -1)
    black = learnt[1].features(np.zeros_like(white)).toarray().reshape(4, -1)
    assert (black[:, 0] == features.shape[1]).all()
    assert features[3, 0] > features[0, 0] > 0


@settings(max_examples=20)
@given(st.integers(23, 70), st.integers(23, 70), st.integers(1, 57))
def test_every_whole_block_sums_to_the_number_of_codes(height, width, count):
    rng = np.random.default_rng(height * width)
    net = PCANet(rng.normal(size=(count, 15, 15)), 0.9)
    features = net.features(rng.integers(0, 256, (2, height, width), np.uint8))
    blocks = (height // 23) * (width // 23)
    assert features.shape == (2, blocks << count)
    assert np.allclose(features.sum(axis=1) / 2.0**count, blocks, rtol=1e-4)
    assert features.nnz <= 2 * blocks * 529


def test_it_survives_json(learnt):
    net = learnt[1]
    copy = PCANet.from_dict(json.loads(json.dumps(net.to_dict())))
    assert np.array_equal(copy.filters, net.filters)
    assert copy.retained_variance == net.retained_variance


def test_more_variance_needs_more_filters(learnt):
    images, net = learnt
    counts = [len(PCANet.fit(images, share).filters) for share in (1e-9, 0.5, 0.8, 0.92)]
    assert counts == sorted(counts)
    assert counts[0] == 1
    assert counts[-1] == len(net.filters)


def test_noise_is_refused(rng):
    with pytest.raises(UsageError, match=f"at most {MOST_FILTERS} are possible"):
        PCANet.fit(rng.integers(0, 256, (8, 40, 40), np.uint8))


def test_images_without_contrast_are_refused():
    with pytest.raises(UsageError, match="some contrast"):
        PCANet.fit(np.full((3, 40, 40), 200, np.uint8))


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((0, 40, 40), np.uint8),
        np.zeros((2, 22, 40), np.uint8),
        np.zeros((40, 40), np.uint8),
        np.zeros((2, 40, 40), np.float32),
    ],
)
def test_other_than_batches_of_grey_images_is_refused(images, learnt):
    for ask in (PCANet.fit, learnt[1].features):
        with pytest.raises(UsageError, match="grey uint8"):
            ask(images)


@pytest.mark.parametrize("share", [0, -0.1, 1.01, float("nan")])
def test_a_share_of_variance_lies_in_0_to_1(share, learnt):
    with pytest.raises(UsageError, match="retained_variance"):
        PCANet.fit(learnt[0], share)


@pytest.mark.parametrize("shape", [(0, 15, 15), (58, 15, 15), (3, 14, 15), (15, 15)])
def test_filters_have_a_shape(shape):
    with pytest.raises(UsageError, match="filters of shape"):
        PCANet(np.ones(shape), 0.9)
