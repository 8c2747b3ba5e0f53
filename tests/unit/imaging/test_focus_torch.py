"""The torch twin of the focus score."""

import numpy as np
import pytest
import torch

from wsi_patches.errors import UsageError
from wsi_patches.geometry import Box, Size
from wsi_patches.imaging.focus import FLAT_SCORE, fqpath
from wsi_patches.imaging.focus_torch import fqpath_torch
from wsi_patches.synthetic import Smear, SmearSettings


@pytest.fixture(scope="module")
def patches():
    """Painted patches, noise, one flat and one half white."""
    smear = Smear(Size(512, 512), SmearSettings(seed=3)).paint_window(Box(0, 0, 512, 512))
    quarters = smear.reshape(2, 256, 2, 256, 3).swapaxes(1, 2).reshape(4, 256, 256, 3)
    rest = np.random.default_rng(5).integers(0, 256, (3, 256, 256, 3), np.uint8)
    rest[1], rest[2, :, 128:] = 200, 255
    return np.concatenate([quarters, rest])


def agree(patches, device):
    for dtype, precision, tolerance in ((torch.float32, "float32", 0.02), (torch.float64, "float64", 1e-6)):
        scores = fqpath_torch(patches, device, dtype).cpu().numpy()
        assert np.abs(scores - fqpath(patches, precision=precision)).max() < tolerance


def test_the_twins_agree(patches):
    agree(patches, "cpu")
    agree(patches[..., 1], "cpu")
    agree(patches[:, :40, :33], "cpu")


@pytest.mark.gpu
def test_the_twins_agree_on_a_gpu(patches):
    agree(patches, "cuda")
    agree(np.concatenate([patches] * 100), "cuda")
    assert fqpath_torch(torch.as_tensor(patches, device="cuda")).device.type == "cuda"


def test_shapes_are_those_of_the_images(patches):
    assert fqpath_torch(patches[0]).shape == ()
    assert fqpath_torch(patches[0, ..., 0]).shape == ()
    assert fqpath_torch(patches[:0]).shape == (0,)
    assert fqpath_torch(patches[:1, :1, :1]).tolist() == [FLAT_SCORE]
    assert fqpath_torch(torch.as_tensor(patches)).tolist() == fqpath_torch(patches).tolist()


def test_images_in_several_goes_score_the_same(patches, monkeypatch):
    together = fqpath_torch(patches).tolist()
    monkeypatch.setitem(fqpath_torch.__globals__["_PIXELS_AT_ONCE"], "cpu", 2 * 256 * 256)
    assert fqpath_torch(patches).tolist() == pytest.approx(together, abs=1e-5)


def test_what_cannot_be_scored_is_refused(patches):
    with pytest.raises(UsageError, match="float32"):
        fqpath_torch(torch.as_tensor(patches).float())
    with pytest.raises(UsageError, match="float16"):
        fqpath_torch(patches, dtype=torch.float16)
