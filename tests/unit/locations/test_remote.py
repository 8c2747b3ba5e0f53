"""Paths in an object store behave as paths on this machine do, as far as they go."""

import pickle
import weakref
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from wsi_patches.locations import copy_tree, is_remote, open_ranges, path_of, read_all, read_pieces, remove_tree
from wsi_patches.locations.object_store import ask
from wsi_patches.locations.object_stream import ObjectStream


def test_an_object_is_written_read_and_removed(s3_bucket):
    path = s3_bucket / "a" / "b.txt"
    assert not path.exists()
    assert not path.parent.is_dir()
    path.write_bytes(b"hello world")
    assert path.exists()
    assert path.is_file()
    assert not path.is_dir()
    assert path.parent.is_dir()
    assert path.stat().st_size == 11
    assert path.read_bytes() == b"hello world"
    assert path.read_text() == "hello world"
    path.unlink()
    assert not path.exists()
    path.unlink(missing_ok=True)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        path.unlink()
    with pytest.raises(FileNotFoundError, match=f"{path} does not exist"):
        path.read_bytes()


def test_a_folder_lists_what_lies_directly_in_it(s3_bucket):
    for name in ("top/a.txt", "top/b [1]*.txt", "top/sub/c.txt", "other/d.txt"):
        (s3_bucket / name).write_bytes(b"x")
    entries = sorted((s3_bucket / "top").iterdir())
    assert [entry.name for entry in entries] == ["a.txt", "b [1]*.txt", "sub"]
    assert [entry.is_dir() for entry in entries] == [False, False, True]
    assert [entry.name for entry in (s3_bucket / "top").glob("*.txt")] == ["a.txt", "b [1]*.txt"]
    assert list((s3_bucket / "nothing").glob("*")) == []
    remove_tree(s3_bucket / "top")
    assert not (s3_bucket / "top").exists()
    assert (s3_bucket / "other" / "d.txt").read_bytes() == b"x"


def test_the_marks_that_other_tools_make_for_folders_are_no_files(s3_bucket, tmp_path):
    for key in ("in/", "in/sub/"):
        ask(
            str(s3_bucket),
            lambda store, key=key: store.call_s3("put_object", Bucket=s3_bucket.bucket, Key=key, Body=b""),
        )
    (s3_bucket / "in" / "sub" / "a.txt").write_bytes(b"1")
    assert [(entry.name, entry.is_dir()) for entry in (s3_bucket / "in").iterdir()] == [("sub", True)]
    assert [path.name for path in (s3_bucket / "in" / "sub").iterdir()] == ["a.txt"]
    assert [path.name for path in (s3_bucket / "in").sizes_below()] == ["a.txt"]
    copy_tree(s3_bucket / "in", tmp_path / "in")
    assert (tmp_path / "in" / "sub" / "a.txt").read_bytes() == b"1"
    remove_tree(s3_bucket / "in")
    assert not (s3_bucket / "in").exists()


def test_a_thousand_objects_and_more_are_removed(s3_bucket, monkeypatch):
    monkeypatch.setattr("wsi_patches.locations.trees.MOST_KEYS", 2)
    for number in range(5):
        (s3_bucket / "many" / str(number) / "zarr.json").write_bytes(b"")
        (s3_bucket / "many" / str(number) / "a").write_bytes(b"")
    remove_tree(s3_bucket / "many")
    assert not (s3_bucket / "many").exists()


def test_a_listing_is_fresh(s3_bucket):
    (s3_bucket / "f" / "1").write_bytes(b"")
    assert len(list((s3_bucket / "f").iterdir())) == 1
    (s3_bucket / "f" / "2").write_bytes(b"")
    assert len(list((s3_bucket / "f").iterdir())) == 2


def test_a_stream_can_be_sought_in(s3_bucket, rng):
    content = rng.bytes(700_000)
    path = s3_bucket / "f"
    path.write_bytes(content)
    with path.open("rb") as stream:
        assert stream.seek(0, 2) == len(content)
        stream.seek(262_100)
        assert stream.read(100) == content[262_100:262_200]
        stream.seek(600_000)
        assert stream.read() == content[600_000:]
        stream.seek(0)
        assert stream.read() == content


def test_a_stream_gives_its_blocks_back_as_soon_as_nobody_has_it():
    stream = ObjectStream("s3://bucket/key", 9, lambda ranges: [bytes(stop - start) for start, stop in ranges])
    assert stream.read() == bytes(9)
    kept = weakref.ref(stream)
    del stream
    assert kept() is None


def test_pieces_are_read_here_and_there_alike(s3_bucket, tmp_path, rng):
    content = rng.bytes(500_000)
    pieces = [(400_000, 17), (0, 5), (3, 4), (499_999, 1), (100, 0), (200_000, 100_000)]
    expected = [content[offset : offset + count] for offset, count in pieces]
    for path in (tmp_path / "f", s3_bucket / "f"):
        path.write_bytes(content)
        file = open_ranges(path)
        assert read_pieces(file, pieces) == expected
        assert file.read(499_990, 100) == content[-10:]
        assert file.tail(10) == (content[-10:], 499_990)
        assert file.tail(600_000)[1] < 0
        file.close()


def test_trees_are_copied_between_both(s3_bucket, tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "f").write_bytes(b"1")
    (tmp_path / "a" / "g").write_bytes(b"2")
    copy_tree(tmp_path / "a", s3_bucket / "x")
    copy_tree(s3_bucket / "x", s3_bucket / "y")
    copy_tree(s3_bucket / "y", tmp_path / "back")
    assert (tmp_path / "back" / "b" / "f").read_bytes() == b"1"
    assert read_all([s3_bucket / "y" / "g", s3_bucket / "y" / "none"]) == [b"2", None]
    assert read_all([tmp_path / "a" / "g", tmp_path / "a" / "none"]) == [b"2", None]


def test_a_path_is_a_value(s3_bucket):
    path = s3_bucket / "a" / "b.ome.tif"
    assert pickle.loads(pickle.dumps(path)) == path
    assert {path, s3_bucket / "a/b.ome.tif"} == {path}
    assert path_of(str(path)) == path
    assert (path.name, path.stem, path.suffix) == ("b.ome.tif", "b.ome", ".tif")
    assert path.parent.parent == s3_bucket
    assert is_remote(path)
    assert asdict(Holds(path)) == {"path": path}  # as settings are copied
    assert sorted([path, s3_bucket / "a", s3_bucket]) == [s3_bucket, s3_bucket / "a", path]
    assert repr(path) == f"RemotePath('{path}')"


@dataclass(frozen=True)
class Holds:
    path: Path


def test_an_object_is_not_opened_to_be_changed(s3_bucket):
    with pytest.raises(OSError, match="written whole"):
        (s3_bucket / "f").open("a")


@pytest.mark.parametrize("name", ["read_bytes", "write_bytes", "iterdir"])
def test_a_missing_bucket_is_named(s3_bucket, name):
    path = path_of("s3://no-such-bucket/key")
    with pytest.raises(FileNotFoundError, match="there is no bucket no-such-bucket"):
        {
            "read_bytes": path.read_bytes,
            "write_bytes": lambda: path.write_bytes(b""),
            "iterdir": lambda: list(path.iterdir()),
        }[name]()
