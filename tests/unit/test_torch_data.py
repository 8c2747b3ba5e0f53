"""Patches as PyTorch wants them."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from wsi_patches.errors import UsageError
from wsi_patches.torch_data import ArrayPatches, PatchDataset, PatchJitter


class CountedPatches(ArrayPatches):
    """Patches with annotations, whose reads are counted."""

    labels = np.array([[2, 0], [0, 1], [0, 0], [1, 3]], np.uint16)
    slides = ()
    reads = 0

    def read(self, positions):
        type(self).reads += 1
        return super().read(positions)


@pytest.fixture
def images(rng):
    return rng.integers(0, 256, (4, 6, 6, 3), dtype=np.uint8)


def test_samples_are_channels_first(images):
    image, label = PatchDataset(ArrayPatches(images), [3, 2, 1, 0])[1]

    assert image.dtype == torch.uint8
    assert np.array_equal(image.numpy().transpose(1, 2, 0), images[1])
    assert label == 2


def test_labels_of_a_source_say_what_is_present(images):
    data = PatchDataset.from_source(CountedPatches(images))

    assert [data[i][1].tolist() for i in range(4)] == [[1, 0], [0, 1], [0, 0], [1, 1]]


def test_a_batch_is_one_read(images):
    source = CountedPatches(images)
    CountedPatches.reads = 0

    batches = list(DataLoader(PatchDataset(source, range(4)), batch_size=2))

    assert CountedPatches.reads == 2
    assert batches[1][0].shape == (2, 3, 6, 6)
    assert batches[1][1].tolist() == [2, 3]


def test_workers_see_the_same_patches(images):
    data = PatchDataset(ArrayPatches(images), range(4))

    here, there = (list(DataLoader(data, batch_size=3, num_workers=n)) for n in (0, 1))

    assert all(torch.equal(a, b) for one, two in zip(here, there, strict=True) for a, b in zip(one, two, strict=True))


def test_what_has_no_label_is_refused(images):
    with pytest.raises(UsageError, match="3 labels were given for 4 patches"):
        PatchDataset(ArrayPatches(images), [0, 1, 0])
    unlabelled = CountedPatches(images)
    object.__setattr__(unlabelled, "labels", None)
    with pytest.raises(UsageError, match="--annotations"):
        PatchDataset.from_source(unlabelled)


def test_without_shift_and_scale_jitter_only_turns_and_flips():
    image = torch.rand(1, 3, 8, 8) * 0.9 + 0.05
    turned = [image.rot90(k, (2, 3)) for k in range(4)]
    expected = turned + [one.flip(3) for one in turned]

    out = PatchJitter(0, 0, 0, 0).apply(image.expand(64, -1, -1, -1), 8, torch.Generator().manual_seed(1))

    matches = [[torch.allclose(one, other[0], atol=1e-5) for other in expected] for one in out]
    assert all(sum(row) == 1 for row in matches)
    assert all(any(column) for column in zip(*matches, strict=True))


def test_shift_and_scale_stay_within_the_margin():
    jitter = PatchJitter(shift=0.1, scale=0.15, stain=0, brightness=0)
    inner = round(80 / jitter.margin)
    image = torch.full((200, 3, 80, 80), 0.5)
    image[:, :, 34:46, 34:46] = 1.0

    out = jitter.apply(image, inner, torch.Generator().manual_seed(2))

    mass = (out[:, 0] - 0.5) * 2
    sides = mass.sum((1, 2)).sqrt()
    centres = (mass * torch.arange(inner)).sum((1, 2)) / mass.sum((1, 2)) - (inner - 1) / 2
    assert jitter.margin == 1.25
    assert float(sides.min()) == pytest.approx(12 / 1.15, rel=0.05)
    assert float(sides.max()) == pytest.approx(12 / 0.85, rel=0.05)
    assert 2.5 < float(centres.abs().max()) < 0.1 * inner / 2 / 0.85 + 0.1


def test_stain_and_brightness_keep_the_range_and_follow_the_generator():
    image = torch.rand(5, 3, 16, 16)
    one, two = (PatchJitter().apply(image, 12, torch.Generator().manual_seed(4)) for _ in range(2))

    assert torch.equal(one, two)
    assert one.shape == (5, 3, 12, 12)
    assert 0 <= float(one.min()) <= float(one.max()) <= 1


@pytest.mark.parametrize("settings", [{"shift": -0.1}, {"scale": 0.6}, {"stain": 2}, {"brightness": float("nan")}])
def test_impossible_jitter_is_refused(settings):
    with pytest.raises(UsageError, match=next(iter(settings))):
        PatchJitter(**settings)
