"""DSS-XAI's network, and how far from orthogonal its convolutions are."""

import pytest
import torch
from torch import nn

from wsi_patches.errors import ModelError
from wsi_patches.models.dss_xai import DssNet, orthogonality
from wsi_patches.models.systems import SYSTEMS


@pytest.mark.parametrize(("depth", "parameters"), [(18, 11_178_564), (34, 21_286_724)])
def test_parameters_are_those_of_a_resnet_with_four_outputs(depth, parameters):
    assert sum(one.numel() for one in DssNet(4, depth).parameters()) == parameters


def test_it_tells_logits_the_last_map_and_its_average():
    network = DssNet(4).eval()
    with torch.no_grad():
        images = torch.rand(2, 3, 224, 224)
        said = network.describe(images)
        assert (said.logits.shape, said.last_map.shape, said.features.shape) == ((2, 4), (2, 512, 7, 7), (2, 512))
        torch.testing.assert_close(said.features, said.last_map.mean(dim=(2, 3)))
        torch.testing.assert_close(network(images), said.logits)


def test_layers_are_named_as_torchvision_names_them():
    resnet18 = SYSTEMS["resnet18"].build(4)
    network = DssNet(4)
    network.load_state_dict(resnet18.state_dict())
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(network.eval()(images), resnet18.eval()(images))


def test_another_depth_is_refused():
    with pytest.raises(ModelError, match="depth 50"):
        DssNet(2, 50)


class Block(nn.Module):
    def __init__(self, into, out, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(into, out, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.downsample = nn.Sequential(nn.Conv2d(into, out, 1, stride, bias=False), nn.BatchNorm2d(out))


class Small(nn.Module):
    """The layers of a ResNet that the loss looks at, of two channels, a block a stage."""

    def __init__(self):
        super().__init__()
        for number in range(1, 5):
            self.add_module(f"layer{number}", nn.Sequential(Block(2, 2, 1 if number == 1 else 2)))
        with torch.no_grad():
            for part in self.modules():
                if isinstance(part, nn.Conv2d):
                    part.weight.copy_(identity(part.kernel_size[0]))


def off(network, overlaps):
    with torch.no_grad():
        return float(orthogonality(network, overlaps))


def identity(side):
    kernel = torch.zeros(2, 2, side, side)
    kernel[:, :, side // 2, side // 2] = torch.eye(2)
    return kernel


def test_orthogonal_convolutions_cost_nothing():
    assert off(Small(), "all") == 0


def test_the_released_overlaps_of_stride_two_hold_no_kernel_in_its_place():
    # Three kernels of two channels that are orthogonal, and yet no 1 is where it is looked for: sqrt(2) each.
    assert off(Small(), "released") == pytest.approx(3 * 2**0.5)


def test_orthogonality_by_hand():
    network = Small()
    with torch.no_grad():
        network.layer1[0].conv1.weight[0] *= 2  # W W' is diag(4, 1): 3 off
        network.layer3[0].downsample[0].weight[:] = torch.tensor([[3.0, 0], [0, 1]])[..., None, None]  # 8 off
        network.layer1[0].downsample[0].weight *= 7  # stage 1 has none in a ResNet, and is not looked at
        network.layer2[0].conv2.weight *= 7  # second convolutions are left out
    assert off(network, "all") == pytest.approx(3 + 8)


def test_kernels_that_are_alike_one_place_further_are_not_orthogonal():
    network = Small()
    with torch.no_grad():
        kernel = torch.zeros(2, 2, 3, 3)
        kernel[0, 0, 1, 0] = kernel[1, 0, 1, 1] = 1  # the second is the first, moved by one
        network.layer1[0].conv1.weight.copy_(kernel)
    assert off(network, "all") == pytest.approx(2**0.5)


def test_a_wide_and_a_tall_matrix_are_looked_at_from_their_short_side():
    for shape in ((4, 2), (2, 4)):
        network = Small()
        network.layer2[0].downsample[0] = nn.Conv2d(shape[1], shape[0], 1, bias=False)
        with torch.no_grad():
            network.layer2[0].downsample[0].weight[:] = torch.eye(*shape)[..., None, None]
        assert off(network, "all") == 0
