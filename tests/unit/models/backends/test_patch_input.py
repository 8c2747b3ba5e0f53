"""Patches as a network takes them."""

import numpy as np
import pytest
import torch

from wsi_patches.models.backends import PatchInput, as_tensor
from wsi_patches.models.classifier import normalised

CPU = torch.device("cpu")


@pytest.mark.parametrize("side", [64, 40, 100])
def test_patches_are_resized_and_normalised(frame, rng, side):
    patches = rng.integers(0, 256, (3, side, side, 3), dtype=np.uint8)

    shown = PatchInput(frame, CPU)(torch.from_numpy(patches))

    expected = normalised(torch.tensor(patches).permute(0, 3, 1, 2) / 255, frame)
    assert shown.shape == (3, 3, 64, 64)
    assert shown.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_allclose(shown, expected, atol=1e-5)


def test_patches_are_not_copied(rng):
    patches = rng.integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)

    tensor = as_tensor(patches)
    patches[1, 2, 3] = (1, 2, 3)

    assert tensor[1, 2, 3].tolist() == [1, 2, 3]


def test_patches_that_may_not_be_written_to_are_copied(rng):
    patches = rng.integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    patches.flags.writeable = False

    assert np.array_equal(as_tensor(patches), patches)
