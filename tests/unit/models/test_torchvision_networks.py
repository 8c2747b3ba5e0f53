"""A card may name torchvision's residual networks."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from wsi_patches.errors import ModelError
from wsi_patches.models import CellClassifier
from wsi_patches.models.torchvision_networks import resnet18, resnet50
from wsi_patches.models.weights import save_weights


@pytest.mark.parametrize(("build", "parameters"), [(resnet18, 11_177_538), (resnet50, 23_512_130)])
def test_they_have_the_published_layers(build, parameters):
    with torch.device("meta"):
        network = build(classes=2)

    assert sum(one.numel() for one in network.parameters()) == parameters


def test_a_weight_file_of_ours_is_loaded_into_one(tmp_path, card, rng):
    network = resnet18(classes=2).eval()
    save_weights(tmp_path / "r.safetensors", network, replace(card, architecture="resnet18", settings={}))
    images = rng.integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)

    loaded = CellClassifier.load(tmp_path / "r.safetensors", "cpu")

    pixels = (images / 255 - np.array(card.mean)) / np.array(card.std)
    expected = network(torch.tensor(pixels.transpose(0, 3, 1, 2), dtype=torch.float32)).softmax(1)
    np.testing.assert_allclose(loaded.probabilities(images), expected.detach(), atol=1e-4)


def test_settings_that_it_does_not_have_are_refused(tmp_path, card):
    odd = replace(card, architecture="resnet18", settings={"weights": "IMAGENET1K_V1"})
    save_weights(tmp_path / "r.safetensors", resnet18(classes=2), odd)

    with pytest.raises(ModelError, match="are not those of resnet18"):
        CellClassifier.load(tmp_path / "r.safetensors", "cpu")
