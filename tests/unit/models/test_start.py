"""Weights to start from: ours and torchvision's, with another last layer, and nothing but tensors."""

import hashlib
from dataclasses import replace

import pytest
import torch

from wsi_patches.errors import ModelError
from wsi_patches.models.allnet import ALLNet
from wsi_patches.models.card import LabelCard
from wsi_patches.models.classifier import CellClassifier
from wsi_patches.models.start import colours_of, load_start
from wsi_patches.models.system import Colours
from wsi_patches.models.systems import SYSTEMS
from wsi_patches.models.weights import save_weights


def published(tmp_path, value, name="resnet18", digits=None):
    """Write a file as torchvision publishes them; return where."""
    whole = tmp_path / "whole"
    torch.save(value, whole)
    digits = digits or hashlib.sha256(whole.read_bytes()).hexdigest()[:8]
    return whole.rename(tmp_path / f"{name}-{digits}.pth")


def resnet(classes, seed=0):
    torch.manual_seed(seed)
    return SYSTEMS["resnet18"].build(classes)


def assert_body_of(network, other):
    for name, value in other.state_dict().items():
        if not name.startswith("fc."):
            assert torch.equal(network.state_dict()[name], value), name


def test_torchvisions_file_gives_all_but_the_last_layer(tmp_path):
    imagenet, network = resnet(1000), resnet(2, seed=1)
    before = network.fc.weight.clone()
    load_start(network, "fc", published(tmp_path, imagenet.state_dict()))
    assert_body_of(network, imagenet)
    assert torch.equal(network.fc.weight, before)


def test_a_file_of_ours_gives_its_colours_and_the_last_layer_where_it_fits(tmp_path, card):
    ours = resnet(2)
    path = tmp_path / "ours.safetensors"
    save_weights(path, ours, replace(card, architecture="resnet18", settings={}))
    network = resnet(2, seed=1)
    load_start(network, "fc", path)
    assert_body_of(network, ours)
    assert torch.equal(network.fc.weight, ours.fc.weight)
    assert colours_of(path) == Colours(card.mean, card.std)
    assert colours_of(None) is None


def test_a_file_that_is_not_what_its_name_says_is_not_opened(tmp_path):
    with pytest.raises(ModelError, match="is not the file that its name says"):
        load_start(resnet(2), "fc", published(tmp_path, resnet(2).state_dict(), digits="00c0ffee"))


def test_a_file_without_a_hash_in_its_name_is_not_opened(tmp_path):
    torch.save(resnet(2).state_dict(), tmp_path / "resnet18.pth")
    with pytest.raises(ModelError, match=r"named as torchvision names its files \(NAME-HASH.pth\)"):
        load_start(resnet(2), "fc", tmp_path / "resnet18.pth")


class Evil:
    def __reduce__(self):
        return (open, ("evil.txt", "w"))


def test_code_in_a_pickle_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match="holds more than tensors, or is damaged"):
        load_start(resnet(2), "fc", published(tmp_path, {"fc.weight": Evil()}))
    assert not (tmp_path / "evil.txt").exists()


def test_weights_of_another_network_are_refused_with_the_name_of_one(tmp_path):
    path = published(tmp_path, SYSTEMS["resnet34"].build(2).state_dict(), "resnet34")
    with pytest.raises(ModelError, match=r"another network: \d+ tensors do not fit, such as layer1.2.bn1.bias"):
        load_start(resnet(2), "fc", path)


def test_the_old_names_of_densenets_file_are_understood(tmp_path):
    torch.manual_seed(0)
    network = SYSTEMS["densenet201"].build(2)
    old = {
        name.replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): one
        for name, one in network.state_dict().items()
    }
    assert old.keys() != network.state_dict().keys()
    other = SYSTEMS["densenet201"].build(2)
    load_start(other, "classifier", published(tmp_path, old, "densenet201"))
    assert all(torch.equal(one, other.state_dict()[name]) for name, one in network.state_dict().items())


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ModelError, match="cannot be read: No such file"):
        load_start(resnet(2), "fc", tmp_path / "resnet18-f37072fd.pth")


def test_a_training_may_start_from_a_network_that_tells_labels_which_no_slide_is_counted_with(tmp_path):
    path, network = tmp_path / "tissue.safetensors", ALLNet(3, widths=(4,))
    card = LabelCard(
        name="tissue", title="A test's", architecture="allnet", settings={"widths": [4]}, classes=("E", "C", "H"),
        trained_on="nothing", limits="none", licence="Apache-2.0", input_px=32, mean=(0.5,) * 3, std=(0.2,) * 3,
        split="slides",
    )  # fmt: skip
    save_weights(path, network, card)
    begun = ALLNet(2, widths=(4,), seed=4)
    load_start(begun, "fc", path)

    assert torch.equal(begun.state_dict()["layer1.0.conv1.1.weight"], network.state_dict()["layer1.0.conv1.1.weight"])
    assert begun.fc.weight.shape == (2, 4)
    assert colours_of(path) == Colours((0.5,) * 3, (0.2,) * 3)
    with pytest.raises(ModelError, match="tells the labels of tissue, and no cells"):
        CellClassifier.load(path)
