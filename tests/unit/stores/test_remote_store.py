"""A store in an object store has the same bytes as one on this machine, and the same promises."""

import numpy as np
import pytest
import zarr

from tests.unit.stores.small_parts import SETTINGS, write_part
from wsi_patches.errors import StoreError
from wsi_patches.geometry import Box
from wsi_patches.locations import copy_tree, is_remote, path_of
from wsi_patches.locations.object_store import ask
from wsi_patches.stores import (
    DerivedWriter,
    MosaicSlide,
    PartWriter,
    convert_part,
    create_store,
    derived_settings,
    is_store,
    open_store,
    read_derived,
    shared_store,
    start_conversion,
    sweep_unfinished,
    verify_store,
)
from wsi_patches.stores.files import WholeFile, replacing


@pytest.fixture
def pixels(rng):
    return rng.integers(0, 256, (50, 70, 3), np.uint8)


def make_store(path, pixels):
    create_store(path, SETTINGS)
    write_part(path, "one.00000000.aa", pixels)
    return path


@pytest.fixture
def remote(s3_bucket, pixels):
    return make_store(s3_bucket / "a.zarr", pixels)


@pytest.fixture
def asked(monkeypatch):
    """The addresses of all requests that paths make."""
    addresses = []
    monkeypatch.setattr(
        "wsi_patches.locations.remote.ask", lambda where, act: addresses.append(where) or ask(where, act)
    )
    return addresses


def files_of(folder):
    paths = folder.sizes_below() if is_remote(folder) else [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_the_bytes_are_those_of_a_local_store(remote, tmp_path, pixels):
    assert files_of(remote) == files_of(make_store(tmp_path / "a.zarr", pixels))


def test_it_is_read_as_a_local_store(remote, tmp_path, pixels):
    here, there = open_store(make_store(tmp_path / "a.zarr", pixels)), open_store(str(remote), threads=2)
    assert is_store(remote)
    assert there.slides == here.slides
    assert np.array_equal(there.labels, here.labels)
    assert np.array_equal(there.xy, here.xy)
    wanted = [7, 0, 3, 3, len(here) - 1]
    assert np.array_equal(there.read(wanted), here.read(wanted))
    assert there.cells("slide").xy.tolist() == here.cells("slide").xy.tolist()
    assert np.array_equal(painted(there), painted(here))
    assert verify_store(remote) == []


def painted(store):
    slide = MosaicSlide(store, "slide")
    return slide.read(Box(0, 0, *slide.info.size))


def test_plain_zarr_reads_it_by_its_address(remote, pixels):
    root = zarr.open_group(str(remote), mode="r")
    part = root["parts/one.00000000.aa"]
    x, y = part["xy"][3]
    assert np.array_equal(part["images"][3], pixels[y : y + 16, x : x + 16])


def test_neighbours_are_fetched_at_once(remote, asked):
    store = open_store(remote)
    store.read([0])  # the shard's index, once
    del asked[:]
    store.read(np.arange(len(store)))
    assert len(asked) == 1


def test_an_unfinished_part_does_not_count_and_is_swept(remote, pixels):
    write_part(remote, "two.00000000.bb", pixels, "other", finish=False)
    store = open_store(remote)
    assert [record.id for record in store.slides] == ["slide"]
    assert store.unfinished == ["two.00000000.bb"]
    sweep_unfinished(remote, store.unfinished)
    assert open_store(remote).unfinished == []
    assert all("two.00000000.bb" not in name for name in files_of(remote))


def test_an_abandoned_part_leaves_nothing(remote, pixels):
    before = files_of(remote)
    writer = PartWriter(remote, "three", SETTINGS, 10)
    writer.images.add(pixels[:16, :16])
    writer.abandon()
    assert files_of(remote) == before


def test_tasks_of_a_process_see_what_was_added_and_what_was_replaced(remote, pixels):
    assert len(shared_store(str(remote)).parts) == 1
    assert shared_store(str(remote)) is shared_store(str(remote))
    write_part(remote, "two.00000000.bb", pixels, "other", finish=False)
    assert len(shared_store(str(remote)).parts) == 1
    sweep_unfinished(remote, ["two.00000000.bb"])
    write_part(remote, "two.00000000.bb", pixels, "other")
    assert [record.id for record in shared_store(str(remote)).slides] == ["slide", "other"]


@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_verify_finds_every_kind_of_damage(remote, damage):
    (shard,) = (path for path in remote.sizes_below() if "/images/c/" in str(path))
    content = bytearray(shard.read_bytes())
    if damage == "flip":
        content[len(content) // 3] ^= 0x40
        shard.write_bytes(bytes(content))
    elif damage == "cut":
        shard.write_bytes(bytes(content[: len(content) // 2]))
    else:
        shard.unlink()
    assert any("cannot be read" in problem for problem in verify_store(remote))


def test_derived_groups_are_written_replaced_and_read(remote):
    part = remote / "parts" / "one.00000000.aa"
    for value in (1.0, 2.0):
        writer = DerivedWriter(part, "features/lite0", {"value": value})
        writer.column("vectors", np.full((3, 2), value), np.float32)
        assert derived_settings(part, "features/lite0") is None
        writer.complete()
    assert read_derived(part, "features/lite0").column("vectors").tolist() == [[2.0, 2.0]] * 3
    assert read_derived(part, "features/lite0").arrays == ["vectors"]
    assert verify_store(remote) == []


def test_a_store_is_converted_from_and_to_an_address(remote, tmp_path, pixels, s3_bucket):
    for source, out in ((remote, tmp_path / "b.zarr"), (tmp_path / "b.zarr", s3_bucket / "c.zarr")):
        if not is_remote(out):
            out.mkdir()
        for task in start_conversion(source, out, "lz4"):
            convert_part(task)
        assert verify_store(out) == []
        assert np.array_equal(open_store(out).read([0, 5]), open_store(remote).read([0, 5]))
    copy_tree(remote, tmp_path / "copy.zarr")
    assert verify_store(tmp_path / "copy.zarr") == []


def test_what_is_not_there_is_said(s3_bucket):
    with pytest.raises(StoreError, match="does not exist"):
        open_store(s3_bucket / "none.zarr")
    with pytest.raises(StoreError, match="there is no bucket no-such-bucket"):
        create_store(path_of("s3://no-such-bucket/a.zarr"), SETTINGS)


def test_nothing_stays_in_scratch(s3_bucket, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    file = WholeFile(s3_bucket / "f")
    file.write(b"half")
    assert list(tmp_path.iterdir()) == []  # so that a kill leaves nothing
    assert not (s3_bucket / "f").exists()
    file.discard()
    file = WholeFile(s3_bucket / "f")
    file.write(b"whole")
    file.commit()
    assert (s3_bucket / "f").read_bytes() == b"whole"
    with replacing(s3_bucket / "g") as beside:
        beside.write_text("text")
        assert not (s3_bucket / "g").exists()
    assert (s3_bucket / "g").read_bytes() == b"text"
    with pytest.raises(FileNotFoundError), replacing(s3_bucket / "h") as beside:
        beside.with_name("other").read_bytes()
    assert not (s3_bucket / "h").exists()
    assert list(tmp_path.iterdir()) == []
