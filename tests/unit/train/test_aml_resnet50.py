"""The dense layers of the frozen ResNet-50 learn painted cells, and nothing of labels that were dealt by chance."""

import hashlib
from pathlib import Path

import pytest
import torch
from torchvision.models import resnet50

from tests.painted_patients import balanced_accuracy, cells_of, write_patients
from wsi_patches.datasets import find_inputs
from wsi_patches.models.system import IMAGENET
from wsi_patches.models.weights import load_weights
from wsi_patches.recipe import read_recipe, settings_from
from wsi_patches.train.fields import FieldSettings, train_fields

ROOT = Path(__file__).parents[3]
SMALLER = {
    "input_px": 64,
    "network": {"image_px": 64, "hidden": 64},
    "shares": {"train": 0.5, "validation": 0.25, "test": 0.25},
    "batch_size": 8,
    "most_per_class": 36,
}


pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


@pytest.fixture
def start(tmp_path):
    """A backbone drawn by chance, its batch norms measured on cells, as torchvision publishes weights."""
    torch.manual_seed(0)
    network = resnet50(zero_init_residual=True)  # of random blocks in full nothing comes through
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the plain mean over all that is shown
    pixels = torch.tensor(cells_of(3)[::6]).permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (IMAGENET.mean, IMAGENET.std))
    with torch.no_grad():
        network((pixels - mean) / std)
    torch.save(network.state_dict(), tmp_path / "whole")
    digits = hashlib.sha256((tmp_path / "whole").read_bytes()).hexdigest()[:8]
    return (tmp_path / "whole").rename(tmp_path / f"resnet50-{digits}.pth")


@pytest.fixture
def settings(start):
    """The recipe's, small."""
    values = read_recipe(ROOT / "configs" / "aml_resnet50.yaml")
    del values["command"]
    training = {**values["training"], "epochs": 8, "learning_rate": 0.0003, "device": "cpu"}
    return settings_from(FieldSettings, {}, {**values, **SMALLER, "training": training, "start": start}, "aml_resnet50")


def trained(settings, folder, **how):
    return train_fields(settings, find_inputs([write_patients(folder / "data", **how)]).items, folder / "out")


def test_painted_classes_are_learnt_and_shuffled_ones_are_not(settings, tmp_path):
    done = trained(settings, tmp_path / "true")
    assert done.test.class_names == ("AML", "control")
    learnt = balanced_accuracy(done.test)
    shuffled = balanced_accuracy(trained(settings, tmp_path / "dealt", shuffled=True).test)
    assert learnt > 0.8
    assert learnt > shuffled + 0.2
    state, card, _ = load_weights(done.weights)
    assert card.mean == (0.485, 0.456, 0.406)
    frozen = torch.load(settings.start, weights_only=True)
    assert all(torch.equal(state[name], value) for name, value in frozen.items() if not name.startswith("fc."))
