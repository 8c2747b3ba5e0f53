"""The network that a classifier starts as."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from wsi_patches.errors import ModelError, UsageError
from wsi_patches.models.card import ModelCard
from wsi_patches.models.weights import save_weights
from wsi_patches.train.classifier_network import first_network
from wsi_patches.train.classifier_settings import ClassifierSettings

PLAIN = ClassifierSettings(architecture="allnet", network={"widths": (4, 8)}, input_px=32)
CARD = ModelCard(
    name="one", title="A test's", architecture="allnet", settings={"widths": [4, 8]}, classes=("blast", "other"),
    input_px=32, mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2), trained_on="nothing", limits="none", licence="Apache-2.0",
    patch_um=None, patch_cell_diameters=1.5,
)  # fmt: skip


def weights_of(settings, classes=2):
    return first_network(settings, classes).state_dict()


def test_the_seed_of_the_training_draws_the_first_weights_and_the_fixed_kernels():
    first, again = weights_of(PLAIN), weights_of(PLAIN)
    other = weights_of(replace(PLAIN, training=replace(PLAIN.training, seed=9)))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["fc.weight"], other["fc.weight"])
    fixed = "layer1.0.conv1.1.weight"
    assert not torch.equal(first[fixed], other[fixed])


def test_a_training_may_start_from_another_ones_weights(tmp_path):
    trained = first_network(replace(PLAIN, training=replace(PLAIN.training, seed=5)), 2)
    save_weights(tmp_path / "one.safetensors", trained, CARD)
    started = weights_of(replace(PLAIN, start=tmp_path / "one.safetensors"), classes=3)
    assert torch.equal(started["layer2.0.conv1.1.weight"], trained.state_dict()["layer2.0.conv1.1.weight"])
    assert started["fc.weight"].shape == (3, 8)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "abacus"}, "architecture must be one of allnet, .*six_conv.*, found 'abacus'"),
        ({"architecture": "six_conv", "network": {}}, "six_conv takes images of 224 px alone, and input_px is 32"),
        ({"architecture": "vit_b_16", "network": {"image_px": 64}}, "takes images of 64 px alone, and input_px is 32"),
        ({"network": {"beads": 3}}, "allnet does not know these settings"),
    ],
)
def test_settings_that_cannot_be_are_answered_with_what_can(changes, message):
    with pytest.raises(UsageError, match=message):
        first_network(replace(PLAIN, **changes), 2)


def test_a_start_that_is_not_there_is_told():
    with pytest.raises(ModelError, match=r"gone.safetensors cannot be read"):
        first_network(replace(PLAIN, start=Path("gone.safetensors")), 2)
