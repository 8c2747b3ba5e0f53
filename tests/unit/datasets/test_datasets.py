"""Finding slides, and naming them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsi_patches.datasets import assign_ids, find_slides, recognise
from wsi_patches.errors import UsageError


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_folders_are_searched_by_suffix_and_stores_are_not_entered(tmp_path):
    wanted = [tmp_path / "a.svs", tmp_path / "b" / "c.JPG", tmp_path / "b" / "d" / "e.ome.tif"]
    ignored = [
        tmp_path / ".hidden.png",
        tmp_path / "notes.txt",
        tmp_path / "x.zarr" / "0.png",
        tmp_path / ".git" / "f.png",
    ]
    touch(*wanted, *ignored)
    assert [item.path for item in find_slides([tmp_path])] == [str(path) for path in wanted]


def test_a_file_is_taken_whatever_its_suffix(tmp_path):
    touch(tmp_path / "scan.dat")
    assert [item.path for item in find_slides([tmp_path / "scan.dat"])] == [str(tmp_path / "scan.dat")]


def test_nothing_there_is_told(tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        find_slides([tmp_path / "nowhere"])
    with pytest.raises(UsageError, match=r"\.svs"):
        find_slides([tmp_path])
    touch(tmp_path / "a.png")
    with pytest.raises(UsageError, match="not a folder"):
        find_slides([tmp_path / "a.png"], tmp_path / "marks")


def test_all_idb1_is_recognised_with_labels_and_both_kinds_of_cells(tmp_path):
    for name in ("Im001_1", "Im034_0"):
        touch(tmp_path / "im" / f"{name}.jpg", tmp_path / "xyc" / f"{name}.xyc", tmp_path / "other" / f"{name}.xyc")
    known = recognise(tmp_path)
    assert known is not None
    assert known[0].name == "all-idb1"
    patient, healthy = find_slides([tmp_path])
    assert (patient.label, healthy.label, patient.layout) == ("ALL", "healthy", "all-idb1")
    assert [file.class_name for file in patient.annotations] == ["blast", "other"]
    assert patient.group is None
    assert recognise(tmp_path / "im") is None


def test_ids_are_stems_and_repeats_are_numbered():
    slides = [("/a/x.svs", "1"), ("/b/x.png", "2"), ("/c/X.tif", "3"), ("/c/y.tif", "4")]
    assert assign_ids(slides) == ["x", "x~2", "X~3", "y"]


def test_known_slides_keep_their_ids_even_when_moved():
    known = {"x": ("/a/x.svs", "1"), "x~2": ("/b/x.svs", "2")}
    assert assign_ids([("/b/x.svs", "2"), ("/a/x.svs", "1"), ("/n/x.svs", "9")], known) == ["x~2", "x", "x~3"]
    assert assign_ids([("/moved/x.svs", "2")], known) == ["x~2"]
    assert assign_ids([("/moved/renamed.svs", "2")], known) == ["renamed"]


@given(st.lists(st.tuples(st.text(min_size=1, max_size=12), st.sampled_from("ab")), max_size=12))
def test_ids_are_unique_and_safe_whatever_files_are_called(names):
    slides = [(f"/data/{name}.svs", mark) for name, mark in names]
    ids = assign_ids(slides)
    assert len({one.casefold() for one in ids}) == len(ids)
    for one in ids:
        assert one
        assert not set(one) & set('/\\:*?"<>|\0')
        assert not one.startswith(".")
    known = dict(zip(ids, slides, strict=True))
    assert assign_ids(slides, known) == ids


def test_yolo_files_named_as_slides_get_their_classes_names_from_beside_or_above(tmp_path):
    touch(tmp_path / "slides" / "a.png")
    (tmp_path / "marks" / "labels").mkdir(parents=True)
    (tmp_path / "marks" / "classes.txt").write_text("WBC\nRBC\n")
    (tmp_path / "marks" / "labels" / "a.txt").write_text("0 0.5 0.5 0.1 0.1\n1 0.2 0.2 0.1 0.1\n")
    (item,) = find_slides([tmp_path / "slides"], tmp_path / "marks" / "labels")
    assert item.classes == ("white_cell", "red_cell")
