"""Derived groups: nested or not, they count when they are complete, and verify reads all of them."""

import json

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis.strategies import text

from tests.unit.stores.small_parts import SETTINGS, write_part
from wsi_patches.errors import StoreError, UsageError
from wsi_patches.stores import DerivedWriter, create_store, derived_settings, open_store, read_derived, verify_store

MADE_WITH = {"encoder": "a", "dim": 3}


@pytest.fixture
def store(tmp_path, rng):
    path = tmp_path / "a.zarr"
    create_store(path, SETTINGS)
    write_part(path, "one", rng.integers(0, 256, (40, 40, 3), np.uint8))
    return path


@pytest.fixture
def part(store):
    return store / "parts" / "one"


def write(part, name, value=1.0, finish=True):
    """Write a derived group of one column, as a writer that is killed before its last step if not ``finish``."""
    writer = DerivedWriter(part, name, MADE_WITH)
    writer.column("vectors", np.full((9, 3), value), np.float32)
    if finish:
        writer.complete()


def test_a_nested_group_is_read_back_by_us_and_by_zarr(store, part):
    write(part, "features/a", 1)
    write(part, "features/b", 2)
    write(part, "focus", 3)

    assert open_store(store).derived("features/b", "vectors").tolist() == [[2.0] * 3] * 9
    assert read_derived(part, "features/a").settings == MADE_WITH
    derived = zarr.open_group(store, mode="r")["parts/one/derived"]
    assert set(derived.group_keys()) == {"features", "focus"}
    assert set(derived["features"].group_keys()) == {"a", "b"}
    assert derived["features/b"].attrs["status"] == "complete"
    assert np.array_equal(derived["features/b/vectors"], np.full((9, 3), 2, np.float32))
    assert verify_store(store) == []


def test_the_group_in_between_never_counts(part):
    write(part, "features/a")

    assert derived_settings(part, "features") is None
    with pytest.raises(StoreError, match="no complete derived features"):
        read_derived(part, "features")


def test_writing_one_again_leaves_its_neighbour(part):
    write(part, "features/a", 1)
    write(part, "features/b", 2)
    write(part, "features/a", 3)

    assert [read_derived(part, f"features/{name}").column("vectors")[0, 0] for name in "ab"] == [3, 2]


def test_a_writer_that_was_killed_leaves_nothing_that_counts(store, part):
    write(part, "features/a", finish=False)

    assert derived_settings(part, "features/a") is None
    assert verify_store(store) == [
        "part one: derived features/a was begun and never completed: run the command that makes it again"
    ]
    write(part, "features/a")
    assert verify_store(store) == []


def test_a_kill_before_the_group_in_between_was_written_is_mended(store, part):
    (part / "derived" / "features").mkdir(parents=True)
    assert any("derived features was begun" in problem for problem in verify_store(store))

    write(part, "features/a")

    assert zarr.open_group(part, mode="r")["derived/features/a/vectors"].shape == (9, 3)
    assert verify_store(store) == []


@pytest.mark.parametrize(("there", "asked"), [("features/a", "features"), ("focus", "focus/a")])
def test_a_group_is_not_put_into_another_or_in_place_of_others(part, there, asked):
    write(part, there)

    with pytest.raises(UsageError, match=f"holds derived {there}"):
        DerivedWriter(part, asked, {})
    assert derived_settings(part, there) == MADE_WITH


@pytest.mark.parametrize("name", ["", "/a", "a/", "a//b", "..", "a/../b", "../../x", "A", "a\\b", "a\n"])
def test_names_that_lead_elsewhere_are_refused(part, name):
    with pytest.raises(UsageError, match="cannot be a group's name"):
        DerivedWriter(part, name, {})
    assert not (part / "derived").exists()


@given(name=text("ab/.", max_size=6))
def test_whatever_the_name_the_group_lies_below_derived(tmp_path_factory, name):
    part = tmp_path_factory.mktemp("part")
    try:
        writer = DerivedWriter(part, name, {}, durable=False)
    except UsageError:
        assert list(part.iterdir()) == []
    else:
        assert (part / "derived").resolve() in writer.folder.resolve().parents


def test_verify_finds_a_damaged_column_and_says_what_to_do(store, part):
    write(part, "features/a")
    chunk = part / "derived" / "features" / "a" / "vectors" / "c" / "0" / "0"
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 0x40
    chunk.write_bytes(content)

    (problem,) = verify_store(store)
    assert "derived features/a in one: vectors cannot be read" in problem
    assert "run wsi-patches probe" in problem


def test_verify_finds_a_damaged_derived_image(store, part, rng):
    writer = DerivedWriter(part, "colour", {})
    images = writer.images(16, 4)
    for image in rng.integers(0, 256, (4, 16, 16, 3), np.uint8):
        images.add(image)
    images.complete()
    writer.complete()
    assert verify_store(store) == []
    (shard,) = (file for file in (part / "derived/colour/images/c").rglob("0") if file.is_file())
    shard.unlink()

    problems = verify_store(store)
    assert all(problem.startswith("part one: derived colour: ") for problem in problems)
    assert problems


def test_a_status_that_cannot_be_read_does_not_count(store, part):
    write(part, "features/a")
    (part / "derived/features/a/zarr.json").write_text(json.dumps({"attributes": 3}))

    assert derived_settings(part, "features/a") is None
    assert any("derived features/a was begun" in problem for problem in verify_store(store))
