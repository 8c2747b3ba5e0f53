"""A network that sees the darkest channel alone does not see lamp, hue or saturation."""

import cv2
import numpy as np
import pytest
import torch

from wsi_patches.models.colour_input import DarkestChannel
from wsi_patches.models.efficientnet_lite0 import EfficientNetLite0
from wsi_patches.train.jitter import jitter_hue, jitter_light

SIDE = 90


@pytest.fixture
def field():
    """A purple nucleus in pink plasma on bluish glass, of 0 to 1."""
    image = np.full((SIDE, SIDE, 3), (176, 180, 184), np.uint8)
    cv2.circle(image, (45, 45), 20, (168, 130, 160), -1)
    cv2.circle(image, (45, 42), 13, (112, 60, 140), -1)
    return torch.tensor(cv2.GaussianBlur(image, (0, 0), 1.2) / np.float32(255)).permute(2, 0, 1)[None]


def seen(image):
    return DarkestChannel()(image * 2 - 1)


def test_images_come_out_grey_with_mean_0_and_one_spread(field):
    out = seen(torch.cat([field, field * 0.5]))

    assert out.shape == (2, 3, SIDE, SIDE)
    assert torch.equal(out[:, 0], out[:, 2])
    np.testing.assert_allclose(out.mean(dim=(1, 2, 3)).numpy(), 0, atol=1e-5)
    np.testing.assert_allclose(out[:, 0].std(dim=(1, 2)).numpy(), 0.5, atol=0.06)
    assert float(out[0, 0, 42, 45]) < float(out[0, 0, 5, 5])


@pytest.mark.parametrize("gain", [(1.3, 1.3, 1.3), (0.7, 1.2, 1.0), (1.2, 0.7, 1.3)])
def test_the_lamp_is_not_seen(field, gain):
    one = torch.ones(1)

    lit = jitter_light(field, torch.tensor([gain]), one, one)

    torch.testing.assert_close(seen(lit), seen(field), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("turn", "saturation"), [(1 / 6, 1.0), (-1 / 6, 1.0), (0.1, 1.2), (0.0, 0.6)])
def test_hue_is_not_seen_and_saturation_hardly(field, turn, saturation):
    grey_glass = field / field[..., :1, :1] * 0.7

    stained = jitter_hue(grey_glass, torch.tensor([turn]), torch.tensor([saturation]))

    apart = (seen(stained) - seen(grey_glass)).abs().mean()
    assert float(apart) < (1e-3 if saturation == 1 else 0.1)


def test_a_blank_image_stays_finite():
    for level in (0.0, 0.5, 1.0):
        assert torch.equal(seen(torch.full((1, 3, SIDE, SIDE), level)), torch.zeros(1, 3, SIDE, SIDE))


def test_a_network_of_the_darkest_channel_answers_alike_under_other_lamps(field):
    torch.manual_seed(0)
    network = EfficientNetLite0(3, colour="darkest").eval()

    with torch.inference_mode():
        plain, lit = (network(image * 2 - 1) for image in (field, field * torch.tensor([0.8, 1.2, 1.0]).view(3, 1, 1)))

    torch.testing.assert_close(lit, plain, atol=1e-3, rtol=1e-3)
    assert network.state_dict().keys() == EfficientNetLite0(3).state_dict().keys()
    with pytest.raises(TypeError, match="choose from rgb, darkest"):
        EfficientNetLite0(3, colour="grey")
