"""Features of sources and of stores: made once, part by part, in the order of the patches."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from tests.unit.stores.small_parts import SETTINGS, SIDE, write_part
from wsi_patches.errors import ModelError, StoreError
from wsi_patches.imaging.colour_statistics import colour_statistics
from wsi_patches.models.encoders import Encoder, FrozenEncoder
from wsi_patches.stores import create_store, open_store, verify_store
from wsi_patches.synthetic import paint_cell_patches
from wsi_patches.torch_data import ArrayPatches
from wsi_patches.train.features import colour_of, features_of, read_features, store_features
from wsi_patches.workflows.probe import in_engine


def average_colour():
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())


TINY = Encoder("tiny", 3, SIDE, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "0" * 64, "none", average_colour)


@pytest.fixture
def encoder():
    return FrozenEncoder(TINY.load(), TINY, torch.device("cpu"))


@pytest.fixture
def store(tmp_path):
    """Two slides of one painted cell each, a part a slide."""
    path = tmp_path / "a.zarr"
    create_store(path, SETTINGS)
    for number, pixels in enumerate(paint_cell_patches(2, seed=3, size_px=100)[0]):
        write_part(path, f"part{number}", pixels, f"slide{number}")
    return open_store(path)


def files(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


class Interrupted(Exception):
    pass


def test_features_are_those_of_the_patches_in_their_order(store, encoder):
    images = store.read(range(len(store)))

    features = features_of(store, encoder)

    assert features.dtype == np.float32
    np.testing.assert_allclose(features, images.mean(axis=(1, 2)) / 255, atol=1e-5)
    assert np.array_equal(features, features_of(ArrayPatches(images), encoder))


def test_lite0_describes_a_store(store):
    encoder = FrozenEncoder.load("lite0", "cpu")
    few = ArrayPatches(store.read([0, 1, 2]))

    features = features_of(few, encoder)

    assert features.shape == (3, 1280)
    np.testing.assert_allclose(features, encoder.features(few.images), atol=1e-4)


def test_few_patches_are_in_memory_at_a_time(store, encoder):
    batches = []

    class Watched:
        def __len__(self):
            return len(store)

        def read(self, positions):
            batches.append(len(positions))
            return store.read(positions)

    features_of(Watched(), encoder)
    colour_of(Watched())

    assert sum(batches) == 2 * len(store)
    assert max(batches) <= 32


def test_a_store_keeps_them_and_gives_them_back(store, encoder):
    features = store_features(store, encoder)

    assert np.array_equal(features, features_of(store, encoder))
    assert np.array_equal(read_features(open_store(store.path), TINY), features)
    assert features.dtype == np.float32
    assert verify_store(store.path) == []


def test_in_an_engine_they_are_the_same_to_the_last_digits(store, encoder):
    told = []
    features = store_features(store, encoder, lambda done, _total: told.append(done), describe=in_engine(encoder))
    np.testing.assert_allclose(features, features_of(store, encoder), atol=1e-6)
    assert told == sorted(told)
    assert told[-1] == len(store)
    rows = range(3, len(store) - 1)
    assert [len(batch) for batch in in_engine(encoder)(store, rows)] == [32] * (len(rows) // 32) + [len(rows) % 32]


def test_what_is_there_is_not_made_again(store, encoder):
    store_features(store, encoder)
    before = files(store.path)

    store_features(store, encoder)

    assert files(store.path) == before


def test_a_run_that_was_killed_goes_on_where_it_stopped(store, encoder):
    first, second = (part.folder for part in store.parts)

    def until_the_first_part_is_done(done, _total):
        if done == store.parts[0].count + 32:
            raise Interrupted

    with pytest.raises(Interrupted):
        store_features(store, encoder, until_the_first_part_is_done)
    with pytest.raises(StoreError, match=r"part1 holds no complete derived features/tiny: run wsi-patches probe"):
        read_features(store, TINY)
    before = files(first)
    assert before
    assert not (second / "derived").exists()

    features = store_features(store, encoder)

    assert files(first) == before
    assert np.array_equal(features, features_of(store, encoder))


@pytest.mark.parametrize("change", [{"sha256": "1" * 64}, {"input_px": 8}])
def test_features_of_another_encoder_of_that_name_are_made_again(store, encoder, change):
    store_features(store, encoder)
    before = files(store.path)

    store_features(store, replace(encoder, encoder=replace(TINY, **change)))

    assert files(store.path) != before


def test_progress_goes_up_to_all_patches(store, encoder):
    told = []

    store_features(store, encoder, lambda done, total: told.append((done, total)))

    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1] == (len(store), len(store))


def test_colours_of_a_store_are_those_of_its_patches(store):
    assert np.array_equal(colour_of(store), colour_statistics(store.read(range(len(store)))))


def test_an_empty_store_has_no_features(tmp_path, encoder):
    create_store(tmp_path / "empty.zarr", SETTINGS)
    empty = open_store(tmp_path / "empty.zarr")

    assert store_features(empty, encoder).shape == (0, 3)
    assert colour_of(empty).shape == (0, 6)


def test_an_encoder_that_gives_no_numbers_is_named_and_nothing_is_kept(store, encoder):
    broken = FrozenEncoder(nn.Sequential(average_colour(), nn.Threshold(2, float("nan"))), TINY, torch.device("cpu"))
    with pytest.raises(ModelError, match="features of 64 of 64 patches are no numbers"):
        store_features(store, broken, durable=False)
    assert np.isfinite(store_features(store, encoder, durable=False)).all()
