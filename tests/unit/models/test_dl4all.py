"""Two last layers on one network: shapes, numbers of parameters, and the way back to one."""

import pytest
import torch
from torch import nn

from wsi_patches.errors import ModelError
from wsi_patches.models.dl4all import TwoHeads, UncertaintyWeights, single_headed, with_two_heads
from wsi_patches.models.systems import find_system

ADP_LABELS, CLASSES = 38, 2
RESNET18, VIT_B_16 = 11_176_512, 85_798_656
"""Parameters before the last layer, at 224 px."""
PLACES_OF_384 = (24**2 - 14**2) * 768


def parameters(network):
    return sum(one.numel() for one in network.parameters())


def built(name, **settings):
    system = find_system(name)
    return with_two_heads(system.build(CLASSES, **settings), system.head, ADP_LABELS), system.head


@pytest.mark.parametrize(
    ("name", "settings", "expected"),
    [
        ("resnet18", {}, RESNET18 + (512 + 1) * (ADP_LABELS + CLASSES)),
        ("vit_b_16", {}, VIT_B_16 + (768 + 1) * (ADP_LABELS + CLASSES)),
        ("vit_b_16", {"image_px": 384}, VIT_B_16 + PLACES_OF_384 + (768 + 1) * (ADP_LABELS + CLASSES)),
    ],
)
def test_parameters_are_those_of_the_network_and_of_two_heads(name, settings, expected):
    with torch.device("meta"):
        network, _ = built(name, **settings)
        assert parameters(network) == expected


@pytest.mark.parametrize(("name", "settings", "side"), [("resnet18", {}, 64), ("vit_b_16", {"image_px": 32}, 32)])
def test_both_heads_see_the_same_features_and_one_of_them_can_be_had_alone(name, settings, side):
    torch.manual_seed(0)
    network, head = built(name, **settings)
    for one in network.get_submodule(head).parameters():  # ViT's own begins as zeros
        nn.init.normal_(one)
    images = torch.rand(2, 3, side, side)
    network.eval()

    with torch.no_grad():
        source, target = network(images)
        plain = single_headed(network, head)
        alone = plain(images)

    assert source.shape == (2, ADP_LABELS)
    assert target.shape == (2, CLASSES)
    assert torch.equal(alone, target)
    assert set(plain.state_dict()) == set(find_system(name).build(CLASSES, **settings).state_dict())
    assert isinstance(network.get_submodule(head), TwoHeads)  # a copy was taken
    assert plain.get_submodule(head).weight.data_ptr() != network.get_submodule(head).target.weight.data_ptr()


def test_a_network_whose_last_layer_is_not_linear_is_refused():
    with pytest.raises(ModelError, match="fc is Conv2d"):
        with_two_heads(nn.ModuleDict({"fc": nn.Conv2d(1, 2, 1)}), "fc", 3)


def test_learned_weights_are_the_published_formula():
    weights = UncertaintyWeights()
    with torch.no_grad():
        weights.spread.copy_(torch.tensor([1.0, 2.0]))
    loss = torch.tensor(3.0, requires_grad=True)

    assert float(weights(0, loss).detach()) == pytest.approx(0.5 * 3 + 0.6931472)
    assert float(weights(1, loss).detach()) == pytest.approx(0.5 / 4 * 3 + 1.6094379)
    weights(1, loss).backward()
    assert float(loss.grad) == pytest.approx(0.125)
    assert weights.spread.grad.tolist() == pytest.approx([0, -3 / 8 + 4 / 5])  # d/dp of 1.5 / p^2 + ln(1 + p^2)
