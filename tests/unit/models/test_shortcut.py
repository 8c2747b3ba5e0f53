"""Strided 1x1 convolutions against torch's own, and in the networks whose width may be set small."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from wsi_patches.models.allnet import ALLNet
from wsi_patches.models.dss_xai import DssNet
from wsi_patches.models.shortcut import StridedShortcut


@given(side=st.integers(1, 9), stride=st.integers(1, 3), channels=st.integers(1, 20))
def test_it_computes_what_a_strided_convolution_does(side, stride, channels):
    ours, theirs = StridedShortcut(channels, 5, stride), nn.Conv2d(channels, 5, 1, stride, bias=False)
    theirs.load_state_dict(ours.state_dict())
    images = torch.rand(2, channels, side, side)

    torch.testing.assert_close(ours(images), theirs(images))


@pytest.mark.parametrize(
    "make", [lambda: ALLNet(3, widths=(4, 8), seed=1), lambda: DssNet(3, width=4)], ids=["ALLNet", "DSS"]
)
def test_narrow_networks_learn_the_same_whatever_the_order_in_memory(make):
    """Given channels few and last, a strided convolution of torch kills the process or gives wrong gradients."""
    contiguous, last = make(), make()
    last.load_state_dict(contiguous.state_dict())
    last = last.to(memory_format=torch.channels_last)
    images = torch.rand(7, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    contiguous(images).square().mean().backward()
    last(images.contiguous(memory_format=torch.channels_last)).square().mean().backward()

    for (name, one), other in zip(contiguous.named_parameters(), last.parameters(), strict=True):
        torch.testing.assert_close(other.grad, one.grad, rtol=1e-3, atol=1e-4, msg=name)
