"""The frozen ResNet-50 and its dense layers: parameters, batch norms at rest, no gradients, torchvision's file."""

import hashlib
from dataclasses import replace

import pytest
import torch
from torch import nn
from torchvision.models import resnet50

from wsi_patches.errors import UsageError
from wsi_patches.models.aml_resnet50 import SYSTEM, AmlResNet50
from wsi_patches.models.start import load_start
from wsi_patches.models.weights import build_model, save_weights
from wsi_patches.train.classifier_settings import ClassifierSettings

KERAS_BACKBONE, TRAINABLE = 23_587_712, 12_845_313
"""As the paper's summary of its network has them."""
BATCH_NORM_CHANNELS = 26_560


def small(**settings):
    torch.manual_seed(0)
    return AmlResNet50(2, image_px=32, hidden=8, **settings)


def test_parameters_are_the_published_ones_but_for_what_keras_counts_otherwise():
    with torch.device("meta"):
        network = AmlResNet50(2)
    trained = sum(one.numel() for one in network.parameters() if one.requires_grad)
    frozen = sum(one.numel() for one in network.parameters() if not one.requires_grad)
    running = sum(one.numel() for name, one in network.named_buffers() if name.endswith(("mean", "var")))
    assert trained == TRAINABLE == 7 * 7 * 2048 * 128 + 128 + 129
    assert frozen == 23_508_032
    assert running == 2 * BATCH_NORM_CHANNELS
    assert frozen + running + BATCH_NORM_CHANNELS == KERAS_BACKBONE  # a bias for each channel that is convolved


def test_backbone_stays_as_it_is_through_training_steps():
    network = small().train()
    before = {name: one.clone() for name, one in network.state_dict().items()}
    optimizer = torch.optim.Adam([one for one in network.parameters() if one.requires_grad], lr=1e-2)
    for _ in range(3):
        loss = nn.functional.cross_entropy(network(torch.rand(4, 3, 32, 32)), torch.tensor([0, 1, 0, 1]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    changed = {name for name, one in network.state_dict().items() if not torch.equal(one, before[name])}
    assert changed == {"fc.1.weight", "fc.1.bias", "fc.3.weight", "fc.3.bias"}
    assert all(one.grad is None for name, one in network.named_parameters() if not name.startswith("fc."))


def test_an_image_gives_the_same_whatever_else_is_in_a_training_batch():
    network, images = small().train(), torch.rand(4, 3, 32, 32)
    torch.testing.assert_close(network(images)[:1], network(images[:1]), atol=1e-5, rtol=1e-4)


def test_logits_are_0_and_the_published_output():
    logits = small().eval()(torch.rand(2, 3, 32, 32))
    assert logits.shape == (2, 2)
    assert torch.equal(logits[:, 0], torch.zeros(2))


def test_torchvisions_file_gives_the_backbone_and_leaves_the_dense_layers(tmp_path):
    torch.manual_seed(1)
    published = resnet50().state_dict()
    torch.save(published, tmp_path / "whole")
    digits = hashlib.sha256((tmp_path / "whole").read_bytes()).hexdigest()[:8]
    network = small()
    before = network.fc[1].weight.clone()
    load_start(network, SYSTEM.head, (tmp_path / "whole").rename(tmp_path / f"resnet50-{digits}.pth"))
    assert torch.equal(network.fc[1].weight, before)
    for name, one in published.items():
        assert name.startswith("fc.") or torch.equal(network.state_dict()[name], one), name


def test_a_file_of_ours_brings_all_of_it_back(tmp_path, card):
    network = small()
    settings = {"image_px": 32, "hidden": 8, "backbone": "random"}
    save_weights(tmp_path / "a.safetensors", network, replace(card, architecture="aml_resnet50", settings=settings))
    again, _, _ = build_model(tmp_path / "a.safetensors")
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(again(images), network.eval()(images))


def test_a_training_without_weights_for_the_frozen_part_is_refused_unless_asked_for():
    with pytest.raises(UsageError, match="give their file, by --start or start:"):
        ClassifierSettings(architecture="aml_resnet50", input_px=224)
    asked = ClassifierSettings(architecture="aml_resnet50", input_px=224, network={"backbone": "random"})
    assert asked.start is None


@pytest.mark.parametrize("settings", [{"image_px": 33}, {"image_px": 0}, {"backbone": "imagenet"}])
def test_settings_that_cannot_be_are_refused(settings):
    with pytest.raises(UsageError, match="aml_resnet50 takes an image_px of 32, 64"):
        AmlResNet50(2, **settings)
