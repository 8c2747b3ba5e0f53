"""Augmented patches are patches still: in range, seeded, without corners, each by amounts of its own."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from wsi_patches.errors import UsageError
from wsi_patches.recipe import settings_from
from wsi_patches.train.augment import HARD_COLOUR, Augmentation

NOTHING = Augmentation(
    turn="none", flip=False, shift=0, scale=0, stain=0, brightness=0, lamp=0, contrast=0, gamma=0, saturation=0,
    blur_share=0, noise=0, jpeg_share=0,
)  # fmt: skip


def seeded(seed=3):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def images(rng):
    return torch.tensor(rng.integers(0, 256, (6, 3, 40, 40), dtype=np.uint8))


@pytest.mark.parametrize("augmentation", [Augmentation(), HARD_COLOUR, NOTHING])
def test_equal_seeds_give_equal_patches_in_range(images, augmentation):
    before = images.clone()

    one, two = (augmentation.apply(images, 24, seeded()) for _ in range(2))

    assert torch.equal(one, two)
    assert torch.equal(images, before)
    assert one.shape == (6, 3, 24, 24)
    assert one.dtype == torch.float32
    assert 0 <= float(one.min()) <= float(one.max()) <= 1
    if augmentation is not NOTHING:
        assert not torch.equal(one, augmentation.apply(images, 24, seeded(4)))


def test_each_patch_is_changed_by_amounts_of_its_own(images):
    out = Augmentation().apply(images[:1].expand(6, -1, -1, -1), 24, seeded())

    assert len(torch.unique(out, dim=0)) == 6


def test_without_any_knob_nothing_changes(images):
    assert torch.allclose(NOTHING.apply(images, 40, seeded()), images / 255, atol=1e-5)
    assert torch.equal(NOTHING.recolour(images / 255, seeded()), images / 255)
    assert NOTHING.margin == 1


@given(
    turn=st.sampled_from(["none", "quarter", "small", "full"]),
    degrees=st.floats(0, 180),
    shift=st.floats(0, 0.3),
    scale=st.floats(0, 0.5),
    side=st.integers(30, 90),
    seed=st.integers(0, 999),
)
def test_with_the_margin_no_cut_leaves_the_patch(turn, degrees, shift, scale, side, seed):
    augmentation = replace(NOTHING, turn=turn, degrees=degrees, flip=True, shift=shift, scale=scale)
    frames = augmentation.frames(torch.empty(20, 3, side, side), 16, seeded(seed))

    corners = torch.tensor([[-0.5, -0.5], [-0.5, 15.5], [15.5, -0.5], [15.5, 15.5]]) - 7.5
    places = frames.centre[:, None] + corners @ frames.step.mT

    assert float(places.min()) >= -0.5 - 1e-3
    assert float(places.max()) <= side - 0.5 + 1e-3


def test_images_that_are_not_square_keep_their_shapes():
    wide = torch.zeros(1, 3, 40, 60)
    wide[:, :, 15:25, 25:35] = 1

    out = replace(NOTHING, turn="full").apply(wide, 28, seeded())

    assert float(out.sum() / 3) == pytest.approx(100 * (28 / (40 / 2**0.5)) ** 2, rel=0.05)


def test_hard_colour_reaches_as_far_as_it_says():
    grey = torch.full((400, 3, 4, 4), 0.5)
    out = replace(NOTHING, lamp=HARD_COLOUR.lamp).recolour(grey, seeded())[:, :, 0, 0] / 0.5
    red = torch.tensor([0.8, 0.3, 0.3]).view(1, 3, 1, 1).expand(400, 3, 4, 4)
    turned = replace(NOTHING, hue=HARD_COLOUR.hue).recolour(red, seeded())[:, :, 0, 0]

    assert float(out.min()) == pytest.approx(0.65, abs=0.01)
    assert float(out.max()) == pytest.approx(1.35, abs=0.01)
    # A sixth of the circle from red: green comes up to red at most on one side, blue on the other, and red stays.
    assert turned[:, 0] == pytest.approx(0.8, abs=1e-5)
    assert float(turned[:, 1].max()) == pytest.approx(0.8, abs=0.02)
    assert float(turned[:, 2].max()) == pytest.approx(0.8, abs=0.02)


def test_shares_are_shares(images):
    flat = torch.zeros(500, 3, 5, 5)
    flat[:, :, 2, 2] = 1
    blurred = replace(NOTHING, blur_share=0.3, blur_px=2).recolour(flat, seeded())

    assert float((blurred != flat).any(dim=(1, 2, 3)).float().mean()) == pytest.approx(0.3, abs=0.06)


def test_noise_has_the_strength_that_was_asked_for():
    out = replace(NOTHING, noise=0.1).recolour(torch.full((300, 3, 8, 8), 0.5), seeded())

    spread = out.std(dim=(1, 2, 3))
    assert float(spread.max()) == pytest.approx(0.1, rel=0.15)
    assert float(spread.mean()) == pytest.approx(0.05, rel=0.15)


@pytest.mark.parametrize(
    "settings",
    [
        {"shift": 0.6},
        {"scale": -0.1},
        {"hue": float("nan")},
        {"turn": "third"},
        {"border": "wrap"},
        {"stain_basis": "wright"},
    ],
)
def test_impossible_augmentation_is_refused(settings):
    with pytest.raises(UsageError, match=next(iter(settings))):
        Augmentation(**settings)


def test_a_recipe_builds_it_and_is_told_of_unknown_knobs():
    assert settings_from(Augmentation, {}, {"turn": "quarter", "stain": 0.1}) == Augmentation("quarter", stain=0.1)
    with pytest.raises(UsageError, match="rotation"):
        settings_from(Augmentation, {}, {"rotation": 3})
    assert all(one.name in Augmentation.__annotations__ for one in fields(HARD_COLOUR))
