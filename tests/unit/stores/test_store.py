"""The store: what is written is read back, by us and by plain zarr-python; what is unfinished or broken is told."""

import json
import pickle

import numpy as np
import pytest
import torch
import zarr
from torch.utils.data import DataLoader

from tests.unit.stores.small_parts import SETTINGS, SIDE, write_part
from wsi_patches.errors import StoreError, UsageError
from wsi_patches.geometry import Box
from wsi_patches.patch import SlideRecord
from wsi_patches.stores import (
    MosaicSlide,
    PartWriter,
    StoreSettings,
    create_store,
    is_store,
    open_store,
    sweep_unfinished,
    verify_store,
)
from wsi_patches.torch_data import PatchDataset


@pytest.fixture
def pixels(rng):
    return rng.integers(0, 256, (50, 70, 3), np.uint8)


@pytest.fixture
def store_path(tmp_path, pixels):
    path = tmp_path / "a.zarr"
    create_store(path, SETTINGS)
    write_part(path, "one.00000000.aa", pixels)
    return path


@pytest.mark.parametrize("codec", ["auto", "zstd", "lz4", "none"])
def test_every_codec_gives_the_same_pixels_back(tmp_path, pixels, codec):
    path = tmp_path / "a.zarr"
    create_store(path, SETTINGS)
    grid = write_part(path, "p", pixels, codec=codec)
    store = open_store(path)
    assert len(store) == len(grid)
    for position, patch in enumerate(store.read(np.arange(len(store)))):
        box = store.place(position).box
        assert box == grid[position].box
        assert np.array_equal(patch, pixels[box.y : box.bottom, box.x : box.right])
    assert verify_store(path) == []


def test_plain_zarr_reads_it_as_documented(store_path, pixels):
    root = zarr.open_group(store_path, mode="r")
    assert dict(root.attrs)["format"] == "wsi-patches"
    assert dict(root.attrs)["patch_spec"]["stride_px"] == 12
    (part,) = [group for _, group in root["parts"].groups()]
    assert part.attrs["status"] == "complete"
    images = part["images"]
    assert images.dtype == np.uint8
    assert images.chunks == (1, SIDE, SIDE, 3)
    x, y = part["xy"][3]
    assert np.array_equal(images[3], pixels[y : y + SIDE, x : x + SIDE])
    names = {"images", "slide", "index", "xy", "counts", "patch_indptr", "patch_cells", "cells"}
    assert set(dict(part.members())) == names
    assert {name: part[name].dtype for name in ("slide", "index", "xy", "counts")} == {
        "slide": np.uint32,
        "index": np.int32,
        "xy": np.int32,
        "counts": np.uint16,
    }


def test_cells_and_labels_come_back(store_path):
    store = open_store(store_path)
    assert store.labels[0].tolist() == [0, 1]
    assert store.labels[1:].sum() == 0
    cells = store.cells("slide")
    assert cells.xy.tolist() == [[5, 6]]
    assert cells.count("other") == 1
    with pytest.raises(StoreError, match="no slide nobody"):
        store.cells("nobody")


def test_black_patches_are_data(tmp_path):
    path = tmp_path / "a.zarr"
    create_store(path, SETTINGS)
    write_part(path, "p", np.zeros((16, 16, 3), np.uint8))
    assert verify_store(path) == []


def test_an_unfinished_part_never_reads_as_data(store_path, pixels):
    write_part(store_path, "two.00000000.bb", pixels, "other", finish=False)
    store = open_store(store_path)
    assert [record.id for record in store.slides] == ["slide"]
    assert store.unfinished == ["two.00000000.bb"]
    assert any("never completed" in problem for problem in verify_store(store_path))
    sweep_unfinished(store_path, store.unfinished)
    assert open_store(store_path).unfinished == []
    assert verify_store(store_path) == []


def test_a_part_has_one_writer(store_path, pixels):
    with pytest.raises(StoreError, match="one writer"):
        write_part(store_path, "one.00000000.aa", pixels)


def test_of_two_writers_that_were_given_the_same_part_the_first_to_complete_it_wins(store_path, pixels):
    first, second = (PartWriter(store_path, "two.00000000.bb", SETTINGS, 10) for _ in range(2))
    for writer, image in ((first, pixels[:16, :16]), (second, pixels[16:32, :16])):
        writer.images.add(image)
    assert len(open_store(store_path).parts) == 1
    assert len(open_store(store_path).unfinished) == 2
    second.complete([])
    first.complete([])
    store = open_store(store_path)
    assert store.unfinished == []
    np.testing.assert_array_equal(store.read([len(store) - 1])[0], pixels[16:32, :16])


def test_a_writer_that_gives_up_takes_nothing_of_another_with_it(store_path, pixels):
    first, second = (PartWriter(store_path, "two.00000000.bb", SETTINGS, 10) for _ in range(2))
    second.images.add(pixels[:16, :16])
    first.abandon()
    second.complete([])
    assert [part.id for part in open_store(store_path).parts] == ["one.00000000.aa", "two.00000000.bb"]


@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_verify_finds_every_kind_of_damage(store_path, damage):
    (shard,) = (file for file in (store_path / "parts").glob("*/images/c/**/0") if file.is_file())
    content = bytearray(shard.read_bytes())
    if damage == "flip":
        content[len(content) // 3] ^= 0x40
        shard.write_bytes(content)
    elif damage == "cut":
        shard.write_bytes(content[: len(content) // 2])
    else:
        shard.unlink()
    problems = verify_store(store_path)
    assert any("images" in problem for problem in problems)


def test_verify_names_a_lost_shard_once_and_says_how_much_it_held(tmp_path, rng):
    path = tmp_path / "a.zarr"
    create_store(path, SETTINGS)
    grid = write_part(path, "p", rng.integers(0, 256, (70, 90, 3), np.uint8))
    assert len(grid) > 10
    next(file for file in (path / "parts").glob("*/images/c/**/0") if file.is_file()).unlink()
    lost = [problem for problem in verify_store(path) if "images" in problem or "cannot be read" in problem]
    assert len(lost) == 2
    assert f"{len(grid)} of its {len(grid)} patches" in lost[1]


def test_reading_a_damaged_patch_says_what_to_do(store_path):
    (shard,) = (file for file in (store_path / "parts").glob("*/images/c/**/0") if file.is_file())
    content = bytearray(shard.read_bytes())
    content[10] ^= 0x40
    shard.write_bytes(content)
    with pytest.raises(StoreError, match="verify"):
        open_store(store_path).read([0])


def test_a_part_that_is_missing_is_told(store_path):
    metadata = next((store_path / "parts").glob("*/zarr.json"))
    content = json.loads(metadata.read_text())
    content["attributes"]["slides"][0]["grid_total"] += 5
    metadata.write_text(json.dumps(content))
    assert any("complete parts" in problem for problem in verify_store(store_path))


def test_other_folders_are_refused(tmp_path, store_path):
    with pytest.raises(StoreError, match="does not exist"):
        open_store(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(StoreError, match="empty"):
        open_store(tmp_path / "empty")
    zarr.open_group(tmp_path / "foreign.zarr", mode="w", attributes={"format": "other"})
    assert not is_store(tmp_path / "foreign.zarr")
    with pytest.raises(StoreError, match="not a store of wsi-patches"):
        open_store(tmp_path / "foreign.zarr")
    metadata = store_path / "zarr.json"
    metadata.write_text(metadata.read_text().replace('"format_version": "1.1"', '"format_version": "2.0"'))
    with pytest.raises(StoreError, match=r"2\.0"):
        open_store(store_path)


@pytest.mark.parametrize("version", ["1.0", "1.7"])
def test_earlier_and_later_minor_versions_are_read(store_path, version):
    metadata = store_path / "zarr.json"
    metadata.write_text(metadata.read_text().replace('"format_version": "1.1"', f'"format_version": "{version}"'))
    assert len(open_store(store_path)) > 0


def test_settings_round_trip():
    assert StoreSettings.from_attributes(SETTINGS.to_attributes(), "here") == SETTINGS


def test_the_mosaic_of_a_store_is_the_slide(store_path, pixels):
    mosaic = MosaicSlide(open_store(store_path), "slide")
    assert np.array_equal(mosaic.read(Box(0, 0, 70, 50)), pixels)
    assert np.array_equal(mosaic.read(Box(13, 9, 30, 20)), pixels[9:29, 13:43])
    assert mosaic.read(Box(-5, -5, 10, 10))[0, 0].tolist() == [255, 255, 255]
    assert mosaic.coverage() == 1.0
    with pytest.raises(UsageError, match="nobody"):
        MosaicSlide(open_store(store_path), "nobody")


def test_record_round_trip_and_later_columns():
    record = SlideRecord(
        "a", "/a.svs", "1-2", (3, 4), ((3, 4, 1.0),), 0.25, mpp_stated=True, unreadable=(7,), warnings=("w",)
    )
    values = json.loads(json.dumps(record.to_dict()))
    assert SlideRecord.from_dict(values) == record
    assert SlideRecord.from_dict({**values, "later": 1}) == record
    with pytest.raises(StoreError, match="fingerprint"):
        SlideRecord.from_dict({"id": "a", "path": "b", "size": [1, 1], "levels": []})


@pytest.mark.parametrize("threads", [1, 3])
def test_batches_come_in_the_order_that_was_asked(tmp_path, pixels, rng, threads):
    path = tmp_path / "a.zarr"
    create_store(path, SETTINGS)
    for number in range(3):
        write_part(path, f"part{number}", np.roll(pixels, number, axis=0), f"slide{number}")
    store = open_store(path, threads=threads)
    everything = store.read(np.arange(len(store)))
    wanted = rng.integers(-len(store), len(store), 40)
    assert np.array_equal(store.read(wanted), everything[wanted])
    assert store.read([]).shape == (0, SIDE, SIDE, 3)
    with pytest.raises(IndexError, match="holds"):
        store.read([len(store)])


def test_a_store_travels_to_other_processes_as_its_path(store_path):
    store = open_store(store_path)
    store.read([0])
    sent = pickle.dumps(store)
    assert len(sent) < 5000
    assert np.array_equal(pickle.loads(sent).read([1, 0]), store.read([1, 0]))


def test_a_loader_with_workers_feeds_from_a_store(store_path):
    store = open_store(store_path)
    loader = DataLoader(PatchDataset.from_source(store), batch_size=4, num_workers=1)
    images = torch.cat([images for images, _ in loader])
    assert np.array_equal(images.permute(0, 2, 3, 1).numpy(), store.read(np.arange(len(store))))
