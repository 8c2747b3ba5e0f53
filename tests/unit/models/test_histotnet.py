"""HistoTNet's own network and the labels that it learnt, against specs of the released code."""

import pytest
import torch
from torch import nn

from wsi_patches.errors import UsageError
from wsi_patches.models.histotnet import ADP_LEVELS, SixConvNet
from wsi_patches.models.systems import find_system
from wsi_patches.train.label_settings import LabelSettings


@pytest.mark.parametrize(("classes", "parameters"), [(2, 2_988_578), (9, 2_992_169), (26, 3_000_890), (38, 3_007_046)])
def test_it_has_as_many_parameters_as_the_released_network(classes, parameters):
    assert sum(one.numel() for one in SixConvNet(classes).parameters()) == parameters


def test_sizes_on_the_way_are_those_of_the_released_network():
    x, sizes = torch.zeros(1, 3, 224, 224), []
    for layer in SixConvNet(2).eval().features:
        x = layer(x)
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d):
            sizes.append(x.shape[-1])
    assert sizes == [220, 111, 109, 55, 53, 27, 25, 13, 9, 5, 5, 1]
    assert x.shape == (1, 256)


def test_relu_comes_before_batch_norm():
    kinds = [type(layer) for layer in SixConvNet(2).features]
    assert kinds == 6 * [nn.Conv2d, nn.ReLU, nn.BatchNorm2d, nn.MaxPool2d] + [nn.Flatten]


def test_weights_begin_as_xaviers_and_biases_as_nothing():
    first = SixConvNet(2).features[0]
    limit = (6 / (49 * (3 + 32))) ** 0.5
    assert first.bias.abs().max() == 0
    assert 0.98 * limit < first.weight.abs().max() <= limit


def test_each_level_holds_its_parents_and_nothing_undifferentiated():
    assert [len(level) for level in ADP_LEVELS] == [9, 26, 38]
    assert set(ADP_LEVELS[0]) < set(ADP_LEVELS[1]) < set(ADP_LEVELS[2])
    for level in ADP_LEVELS:
        assert len(set(level)) == len(level)
        assert not [label for label in level if label.endswith(".X")]
        assert {label.rsplit(".", 1)[0] for label in level} <= set(level)


@pytest.mark.parametrize(
    ("classes", "parameters"), [(2, 11_177_538), (9, 11_181_129), (26, 11_189_850), (38, 11_196_006)]
)
def test_its_resnet_is_torchvisions_with_another_last_layer(classes, parameters):
    assert sum(one.numel() for one in find_system("resnet18").build(classes).parameters()) == parameters


def test_other_sides_than_224_px_are_refused_before_anything_is_read():
    with pytest.raises(UsageError, match="six_conv takes images of 224 px alone, and input_px is 256"):
        LabelSettings(architecture="six_conv", input_px=256)
