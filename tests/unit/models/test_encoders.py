"""Encoders: features of patches, whatever their side and the batch that they come in."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from wsi_patches.errors import ModelError, UsageError
from wsi_patches.models.encoders import ENCODERS, FrozenEncoder, find_encoder


@pytest.fixture(scope="module")
def lite0():
    return FrozenEncoder.load("lite0", "cpu")


@pytest.fixture
def images(rng):
    return rng.integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)


def test_features_are_those_of_the_network(lite0, images):
    features = lite0.features(images)

    pixels = torch.tensor(images).permute(0, 3, 1, 2) / 255
    resized = torch.nn.functional.interpolate(pixels, (224, 224), mode="bilinear", antialias=True)
    with torch.inference_mode():
        expected = lite0.network((resized - 0.5) / 0.5)
    assert features.dtype == np.float32
    assert features.shape == (3, ENCODERS["lite0"].dim)
    np.testing.assert_allclose(features, expected.numpy(), atol=1e-4)


def test_the_same_patches_have_the_same_features_to_the_bit(lite0, images):
    assert np.array_equal(lite0.features(images), lite0.features(images))


def test_batches_do_not_change_the_answer(lite0, images):
    np.testing.assert_allclose(
        lite0.features(images), replace(lite0, batch_size=2).features(images), rtol=1e-3, atol=1e-4
    )


def test_no_patch_is_no_row(lite0):
    assert lite0.features(np.zeros((0, 8, 8, 3), np.uint8)).shape == (0, 1280)


def test_arrays_of_another_kind_are_refused(lite0):
    with pytest.raises(UsageError, match="patches must be uint8"):
        lite0.features(np.zeros((2, 8, 9, 3), np.uint8))


def test_an_unknown_name_lists_the_known():
    with pytest.raises(ModelError, match="no encoder 'best': choose from lite0"):
        find_encoder("best")


@pytest.mark.gpu
def test_a_gpu_agrees_with_the_processor(lite0, images):
    on_gpu = FrozenEncoder.load("lite0", "cuda").features(images)

    np.testing.assert_allclose(lite0.features(images), on_gpu, atol=2e-2)
