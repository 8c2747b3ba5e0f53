"""Jitter of colours is what its words say, held against other people's code."""

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional

from wsi_patches.imaging.stain import separate_stains
from wsi_patches.models.colour_input import turn_hue
from wsi_patches.train.jitter import jitter_blur, jitter_jpeg, jitter_light, jitter_stain


@pytest.fixture
def images(rng):
    return torch.tensor(rng.random((5, 3, 12, 16)), dtype=torch.float32)


ONE = torch.ones(5)


@pytest.mark.parametrize("turn", [-0.5, -1 / 6, 0.0, 0.1, 0.5])
def test_hue_turns_as_torchvision_turns_it(images, turn):
    expected = functional.adjust_hue(images, turn)

    assert torch.allclose(turn_hue(images, torch.full((5,), turn), ONE), expected, atol=1e-4)


def test_saturation_is_that_of_hsv(images):
    out = turn_hue(images, torch.zeros(5), torch.tensor([0.0, 0.5, 1.0, 1.5, 100.0]))

    value = images.amax(1)
    saturation = (value - images.amin(1)) / value
    assert torch.allclose(out.amax(1), value, atol=1e-6)
    assert torch.allclose(out[0], value[0].expand(3, -1, -1), atol=1e-6)
    assert torch.allclose(out[2], images[2], atol=1e-5)
    now = (out.amax(1) - out.amin(1)) / value
    expected = (saturation * torch.tensor([0, 0.5, 1, 1.5, 100]).view(5, 1, 1)).clamp(0, 1)
    assert torch.allclose(now, expected, atol=1e-5)


def test_grey_stays_grey():
    grey = torch.rand(2, 1, 6, 6).expand(2, 3, 6, 6)

    assert torch.equal(turn_hue(grey, torch.tensor([0.1, 0.3]), torch.tensor([1.5, 0.5])), grey)


@pytest.mark.parametrize("basis", ["giemsa", "hed"])
def test_stain_scales_the_amounts_that_deconvolution_finds(basis):
    mixed = np.array([[[150, 110, 190], [120, 60, 160], [200, 130, 140]]], np.uint8)
    images = torch.tensor(mixed / 255, dtype=torch.float32).permute(2, 0, 1)[None]

    stained = jitter_stain(images, torch.tensor([[1.3, 1.0, 1.0]]), basis)
    back = (stained[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)

    before, after = separate_stains(mixed, basis), separate_stains(back, basis)
    assert after[..., 0] == pytest.approx(1.3 * before[..., 0], abs=2e-3)
    assert after[..., 1] == pytest.approx(before[..., 1], abs=2e-3)


def test_glass_takes_no_stain_and_factors_of_one_change_nothing(images):
    factors = torch.full((5, 3), 1.5)

    assert torch.allclose(jitter_stain(torch.ones(5, 3, 4, 4), factors, "giemsa"), torch.ones(()))
    assert torch.allclose(jitter_stain(images, torch.ones(5, 3), "giemsa"), images.clamp_min(1 / 255), atol=1e-5)


def test_light_is_gain_then_contrast_then_gamma(images):
    gain = torch.tensor([[1.0, 1, 1], [0.5, 1, 1], [1, 1, 1], [1, 1, 1], [2, 2, 2]])
    contrast, gamma = torch.tensor([1, 1, 0.0, 1, 1]), torch.tensor([1, 1, 1, 2.0, 1])

    out = jitter_light(images, gain, contrast, gamma)

    assert torch.allclose(out[0], images[0], atol=1e-6)
    assert torch.allclose(out[1, 0], images[1, 0] / 2, atol=1e-6)
    assert torch.allclose(out[1, 1:], images[1, 1:], atol=1e-6)
    assert torch.allclose(out[2], torch.full((), 0.5))
    assert torch.allclose(out[3], images[3] ** 2, atol=1e-6)
    assert torch.allclose(out[4], (2 * images[4]).clamp(0, 1), atol=1e-6)


def test_blur_and_jpeg_touch_only_what_they_are_asked_to(images):
    amount = torch.tensor([0.0, 1, 0, 2, 0])

    for out in (jitter_blur(images, amount), jitter_jpeg(images, amount * 30)):
        assert torch.equal(out[::2], images[::2])
        assert not torch.isclose(out[1::2], images[1::2]).all(dim=(1, 2, 3)).any()
        assert out[1::2].std() < images[1::2].std()
