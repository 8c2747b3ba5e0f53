"""The table of networks: each is built for any classes, and each ends in the layer that it says is its last."""

import numpy as np
import pytest
import torch

from wsi_patches.errors import ModelError
from wsi_patches.models.systems import SYSTEMS, find_system

PUBLISHED = {
    "alexnet": 61_100_840,
    "convnext_tiny": 28_589_128,
    "densenet201": 20_013_928,
    "efficientnet_b0": 5_288_548,
    "efficientnet_b1": 7_794_184,
    "efficientnet_b3": 12_233_232,
    "efficientnet_lite0": 4_652_008,
    "mobilenet_v2": 3_504_872,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "vgg16": 138_357_544,
    "vgg19": 143_667_240,
    "vit_b_16": 86_567_656,
    "vit_s_16": 22_050_664,
}
"""Parameters with ImageNet's 1,000 classes, as torchvision and timm state them."""
OF_ITS_OWN = [name for name in SYSTEMS if name != "one_against_control"]
"""Those that are built of layers; the other one is built of trained networks, by their cards."""

GRU = dict.fromkeys(("inception_v3_gru", "efficientnet_b3_gru", "mobilenet_v2_gru"), ".linear")
LAST_OF_HEAD = {"aml_resnet50": ".3", **GRU}
"""Where a head is several layers: the last one of them."""


def built(name, classes):
    if name == "allnet":  # draws its kernels
        return SYSTEMS[name].build(classes)
    with torch.device("meta"):
        return SYSTEMS[name].build(classes)


@pytest.mark.parametrize("name", PUBLISHED)
def test_networks_of_imagenet_have_their_published_size(name):
    assert sum(one.numel() for one in built(name, 1000).parameters()) == PUBLISHED[name]


@pytest.mark.parametrize("name", OF_ITS_OWN)
def test_the_last_layer_is_all_that_the_number_of_classes_changes(name):
    two, five = ({key: tuple(one.shape) for key, one in built(name, n).state_dict().items()} for n in (2, 5))
    changed = {key for key in two if two[key] != five[key]}
    layer = next(iter(changed)).rpartition(".")[0]
    assert changed == {f"{layer}.weight", f"{layer}.bias"}
    assert layer == SYSTEMS[name].head + LAST_OF_HEAD.get(name, "")
    assert two.keys() == five.keys()


@pytest.mark.parametrize("name", SYSTEMS)
def test_each_says_where_it_was_published(name):
    assert SYSTEMS[name].name == name
    assert SYSTEMS[name].paper


@pytest.mark.parametrize("name", ["allnet", "six_conv", "resnet18", "efficientnet_lite0"])
def test_equal_seeds_build_equal_networks(name):
    def weights(seed):
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            return np.concatenate([one.numpy().ravel() for one in SYSTEMS[name].build(2).state_dict().values()])

    assert np.array_equal(weights(3), weights(3))
    assert not np.array_equal(weights(3), weights(4))


def test_a_name_that_is_not_there_is_answered_with_those_that_are():
    with pytest.raises(ModelError, match=r"no architecture 'abacus': choose from .*allnet"):
        find_system("abacus")
