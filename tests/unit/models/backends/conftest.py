"""Networks whose batch norms have seen images, and patches."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from wsi_patches.models.torchvision_networks import resnet18


def with_statistics(network: nn.Module, seed: int = 5) -> nn.Module:
    """Give every batch norm statistics of its own, as training would."""
    generator = torch.Generator().manual_seed(seed)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.3, generator=generator)
            layer.running_var.uniform_(0.5, 2, generator=generator)
            layer.weight.data.uniform_(0.5, 1.5, generator=generator)
            layer.bias.data.normal_(0, 0.2, generator=generator)
    return network.eval()


@pytest.fixture(scope="session")
def resnet() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return with_statistics(resnet18(2))


@pytest.fixture(scope="session")
def frame():
    return SimpleNamespace(input_px=64, mean=(0.8, 0.7, 0.75), std=(0.2, 0.25, 0.1))


@pytest.fixture
def patches(rng) -> torch.Tensor:
    return torch.from_numpy(rng.integers(0, 256, (5, 64, 64, 3), "uint8"))
