"""A small untrained model on disk."""

from pathlib import Path

import pytest

from wsi_patches.models.allnet import ALLNet
from wsi_patches.models.card import ModelCard
from wsi_patches.models.weights import save_weights


@pytest.fixture
def card() -> ModelCard:
    return ModelCard(
        name="tiny",
        title="A test's network",
        architecture="allnet",
        settings={"widths": [4, 8]},
        classes=("blast", "other"),
        input_px=32,
        mean=(0.8, 0.7, 0.8),
        std=(0.2, 0.25, 0.1),
        trained_on="nothing",
        limits="knows nothing",
        licence="Apache-2.0",
        patch_cell_diameters=2.0,
        scores={"auc": 0.5},
    )


@pytest.fixture
def network() -> ALLNet:
    return ALLNet(widths=(4, 8), seed=11)


@pytest.fixture
def weight_file(tmp_path, network, card) -> Path:
    save_weights(tmp_path / "tiny.safetensors", network, card)
    return tmp_path / "tiny.safetensors"
