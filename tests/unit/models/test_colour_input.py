"""A network that is shown all stains as one sees neither lamp nor hue nor saturation, but how colours differ."""

import cv2
import numpy as np
import pytest
import torch

from wsi_patches.models.colour_input import OneStain, turn_hue
from wsi_patches.models.efficientnet_lite0 import EfficientNetLite0
from wsi_patches.train.jitter import jitter_light

SIDE = 90
NUCLEUS, PLASMA = (112, 60, 140), (168, 130, 160)


def painted(nucleus=NUCLEUS, plasma=PLASMA):
    """A nucleus in plasma on grey glass, of 0 to 1."""
    image = np.full((SIDE, SIDE, 3), 180, np.uint8)
    cv2.circle(image, (45, 45), 20, plasma, -1)
    cv2.circle(image, (45, 42), 13, nucleus, -1)
    return torch.tensor(cv2.GaussianBlur(image, (0, 0), 1.2) / np.float32(255)).permute(2, 0, 1)[None]


@pytest.fixture
def field():
    return painted()


def ready(field, **settings):
    """A network whose normalisation fits such fields: untrained, it would answer alike whatever it is shown."""
    torch.manual_seed(0)
    network = EfficientNetLite0(3, **settings)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network.train()(torch.cat([field, field.flip(1), torch.rand_like(field)]) * 2 - 1)
    return network.eval()


def seen(image):
    return OneStain()(image * 2 - 1)


def test_images_come_out_with_mean_0_and_one_spread_each(field):
    out = seen(torch.cat([field, field * 0.5]))

    assert out.shape == (2, 3, SIDE, SIDE)
    np.testing.assert_allclose(out.mean(dim=(1, 2, 3)).numpy(), 0, atol=1e-5)
    np.testing.assert_allclose(out.std(dim=(1, 2, 3)).numpy(), 0.5, atol=0.08)
    assert float(out[0, :, 42, 45].mean()) < float(out[0, :, 5, 5].mean())


@pytest.mark.parametrize("gain", [(1.3, 1.3, 1.3), (0.7, 1.2, 1.0), (1.2, 0.7, 1.3)])
def test_the_lamp_is_not_seen(field, gain):
    one = torch.ones(1)

    lit = jitter_light(field, torch.tensor([gain]), one, one)

    torch.testing.assert_close(seen(lit), seen(field), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("turn", "saturation"), [(1 / 6, 1.0), (-1 / 6, 1.0), (0.1, 1.2), (0.0, 0.6), (0.5, 1.0)])
def test_hue_and_saturation_are_not_seen(field, turn, saturation):
    stained = turn_hue(field, torch.tensor([turn]), torch.tensor([saturation]))

    apart = (seen(stained) - seen(field)).abs()
    assert float(apart.mean()) < 0.02
    assert float((stained - field).abs().mean()) > float(apart.mean())


def test_how_colours_differ_within_a_field_is_seen(field):
    other_plasma = painted(plasma=(130, 160, 168))

    change = (seen(other_plasma) - seen(field))[0, :, 62, 45]  # below the nucleus
    assert float(change.abs().max()) > 0.1


def test_nuclei_come_out_violet_whatever_their_stain():
    for nucleus in (NUCLEUS, (140, 60, 80), (40, 100, 120)):
        red, green, blue = seen(painted(nucleus, (170, 160, 165)))[0, :, 42, 45].tolist()
        assert green < red < blue


def test_a_blank_image_stays_finite():
    for level in (0.0, 0.5, 1.0):
        assert torch.equal(seen(torch.full((1, 3, SIDE, SIDE), level)), torch.zeros(1, 3, SIDE, SIDE))


def test_a_network_that_sees_one_stain_answers_alike_under_other_lamps(field):
    other_lamp = field * torch.tensor([0.8, 1.2, 1.0]).view(3, 1, 1)

    def apart(colour):
        network = ready(field, colour=colour)
        with torch.inference_mode():
            plain, lit = (network(image * 2 - 1) for image in (field, other_lamp))
        return float((plain - lit).abs().max())

    assert apart("one_stain") < 0.01 * apart("rgb")
    with pytest.raises(TypeError, match="choose from rgb, one_stain"):
        EfficientNetLite0(3, colour="grey")


def test_the_mean_of_four_views_does_not_depend_on_how_a_field_was_laid_under_the_lens(field):
    network, single = ready(field, views=4), ready(field)
    leaning = torch.cat([field[..., 20:], torch.rand(1, 3, SIDE, 20)], dim=3) * 2 - 1

    with torch.inference_mode():
        turned, views = (
            torch.stack([one(leaning.rot90(turn, (2, 3))) for turn in range(4)]) for one in (network, single)
        )

    torch.testing.assert_close(turned[0], views.mean(dim=0))
    torch.testing.assert_close(turned[1], turned[0])
    assert float(views.std(dim=0).max()) > 0.01
    with pytest.raises(TypeError, match="1 to 4"):
        EfficientNetLite0(3, views=5)
