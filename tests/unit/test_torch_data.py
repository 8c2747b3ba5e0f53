"""Patches as PyTorch wants them."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from wsi_patches import torch_data
from wsi_patches.errors import UsageError
from wsi_patches.stores import open_store
from wsi_patches.torch_data import ArrayPatches, IterablePatches, PatchDataset, PatchJitter
from wsi_patches.workflows.extract import ExtractSettings, extract


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


class Numbered:
    """Patches of one pixel that tell their number."""

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def read(self, positions):
        return np.array(positions, np.uint8).reshape(-1, 1, 1, 1).repeat(3, axis=3)


class Worker:
    def __init__(self, number, of):
        self.id, self.num_workers = number, of


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Two slides of 6 patches of 64 px, a part each."""
    folder = tmp_path_factory.mktemp("streamed")
    rng = np.random.default_rng(5)
    for name in "ab":
        cv2.imwrite(str(folder / f"{name}.png"), rng.integers(0, 256, (128, 192, 3), np.uint8))
    return open_store(extract(ExtractSettings((folder,), folder / "a.zarr", patch_size=64, workers=1, fsync=False)).out)


def stream(count, ranks=1, workers=1, epoch=0, **options):
    """Return the patches that each worker of each rank yields."""
    found = []
    for rank in range(ranks):
        data = IterablePatches(Numbered(count), np.arange(count), rank=rank, world_size=ranks, **options)
        data.set_epoch(epoch)
        found.append([])
        for number in range(workers):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(torch_data, "get_worker_info", lambda number=number: Worker(number, workers))
                pairs = list(data)
            assert all(image.shape == (3, 1, 1) and (image == label).all() for image, label in pairs)
            found[-1].append([int(label) for _, label in pairs])
        assert sum(map(len, found[-1])) == len(data)
    return found


@given(st.integers(0, 200), st.integers(1, 5), st.integers(1, 4), st.booleans(), st.integers(1, 64), st.integers(0, 9))
def test_all_ranks_and_workers_together_yield_every_patch_once(count, ranks, workers, shuffle, buffer, epoch):
    found = stream(count, ranks, workers, epoch, shuffle=shuffle, buffer=buffer, uneven="keep")

    assert sorted(one for rank in found for worker in rank for one in worker) == list(range(count))
    sizes = [sum(map(len, rank)) for rank in found]
    assert max(sizes) - min(sizes) <= 1


@given(st.integers(1, 200), st.integers(1, 5), st.integers(1, 3), st.integers(0, 9))
def test_ranks_are_of_one_length_by_repeating_or_leaving_out_the_fewest(count, ranks, workers, epoch):
    padded, dropped = (
        [[one for worker in rank for one in worker] for rank in stream(count, ranks, workers, epoch, uneven=uneven)]
        for uneven in ("pad", "drop")
    )

    assert {len(rank) for rank in padded} == {-(-count // ranks)}
    assert {one for rank in padded for one in rank} == set(range(count))
    assert {len(rank) for rank in dropped} == {count // ranks}
    together = [one for rank in dropped for one in rank]
    assert len(set(together)) == len(together)


def test_equal_seeds_and_epochs_give_equal_orders_and_others_do_not():
    first = stream(200, 2, 2, epoch=1, seed=3)

    assert stream(200, 2, 2, epoch=1, seed=3) == first
    assert stream(200, 2, 2, epoch=2, seed=3) != first
    assert stream(200, 2, 2, epoch=1, seed=4) != first
    assert stream(200, shuffle=False) == [[list(range(200))]]


def test_a_run_of_neighbours_is_one_read_and_few_wait(monkeypatch):
    reads = []
    monkeypatch.setattr(Numbered, "read", lambda self, positions: reads.append(len(positions)) or PIXELS[positions])

    taken = iter(IterablePatches(Numbered(160), np.arange(160), buffer=20))
    next(taken)

    assert reads == [16, 16]
    list(taken)
    assert reads == [16] * 10


PIXELS = np.zeros((160, 1, 1, 3), np.uint8)


@pytest.mark.parametrize(("workers", "context"), [(0, None), (2, "fork"), (2, "spawn")])
def test_loaders_stream_a_store_once_with_its_labels(store, workers, context):
    data = IterablePatches(store, np.arange(len(store)), buffer=5)
    loader = DataLoader(data, 4, num_workers=workers, multiprocessing_context=context, persistent_workers=workers > 0)

    orders = []
    for epoch in (0, 1):
        data.set_epoch(epoch)
        orders.append([])
        for images, labels in loader:
            assert np.array_equal(images.permute(0, 2, 3, 1), store.read(labels.numpy()))
            orders[-1] += labels.tolist()

    assert [sorted(order) for order in orders] == [list(range(len(store)))] * 2
    assert orders[0] != orders[1]


def test_ranks_are_those_of_torch_distributed_where_it_is_initialised(monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 2)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 3)

    data = IterablePatches(Numbered(30), np.arange(30), shuffle=False)

    assert [int(label) for _, label in data] == list(range(20, 30))


def test_labels_of_a_stream_come_from_its_source(images):
    found = IterablePatches.from_source(CountedPatches(images), shuffle=False)

    assert [label.tolist() for _, label in found] == [[1, 0], [0, 1], [0, 0], [1, 1]]


def test_options_that_are_none_are_refused():
    for options in ({"rank": 1}, {"world_size": 2}, {"rank": 2, "world_size": 2}, {"buffer": 0}, {"uneven": "cut"}):
        with pytest.raises(UsageError):
            IterablePatches(Numbered(4), np.arange(4), **options)
    with pytest.raises(UsageError, match="3 labels were given for 4 patches"):
        IterablePatches(Numbered(4), np.arange(3))
