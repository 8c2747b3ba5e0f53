"""A leak that was planted is found and named; a clean split is called clean."""

import csv
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import shared_files
from wsi_patches.datasets.leakage import find_leaks
from wsi_patches.datasets.splits import SplitRow, make_split
from wsi_patches.datasets.thumbnails import thumbnails_of_arrays, thumbnails_of_files
from wsi_patches.errors import UsageError
from wsi_patches.geometry import Size
from wsi_patches.grid import PatchGrid, PatchSpec


def patient_row(name, patient, label="a"):
    return SplitRow(name, f"/{name}.png", patient, "patient", label, name)


def smears(data, count):
    """Rows and pictures of real smears, each of another patient."""
    names = shared_files("all_smears/images")[:: 240 // count][:count]
    rows = [patient_row(f"image{i}", f"P{i}", label=name.split("/")[-2]) for i, name in enumerate(names)]
    return rows, [cv2.imread(str(data / name)) for name in names]


def test_a_planted_patient_and_a_planted_copy_are_found_and_named(shared_data, tmp_path):
    rows, images = smears(shared_data, 24)
    split = make_split(rows, "patient", {"train": 0.75, "test": 0.25}, seed=1)
    train = split.names.index("train")
    shared = replace(rows[train], id="other", slide="other")
    copied = patient_row("copied", "P99")
    copy = cv2.resize(np.rot90(images[train]), (180, 180), interpolation=cv2.INTER_AREA)
    pictures = [*zip([row.id for row in rows], images, strict=True), ("copied", copy)]
    report = find_leaks([*rows, shared, copied], [*split.names, "test", "test"], thumbnails_of_arrays(pictures))
    (group,) = report.groups
    assert group.group == f"patient P{train}"
    assert group.ids == {"test": ("other",), "train": (f"image{train}",)}
    (found,) = report.copies
    assert (found.id_a, found.split_a, found.id_b, found.split_b) == (f"image{train}", "train", "copied", "test")
    text = "\n".join(report.to_lines())
    assert text.startswith("LEAKS: patients or slides in more than one split: 1; pairs of copies across splits: 1;")
    assert f"patient P{train} is in test (other) and in train (image{train})" in text
    assert f"copied in test is a near copy of image{train} in train (rotated by 90 degrees, correlation " in text
    with report.write_leaks(tmp_path / "out").open(newline="") as stream:
        table = list(csv.DictReader(stream))
    assert [(one["kind"], one["id_a"], one["id_b"]) for one in table] == [
        ("group", "other", ""),
        ("group", f"image{train}", ""),
        ("near", f"image{train}", "copied"),
    ]


def test_a_clean_split_is_called_clean(shared_data, tmp_path):
    rows, images = smears(shared_data, 12)
    split = make_split(rows, "patient", 3)
    pictures = zip([row.id for row in rows], images, strict=True)
    report = find_leaks(rows, split.names, thumbnails_of_arrays(pictures))
    assert not report.found
    assert report.to_lines() == [
        "No leak was found: patients or slides in more than one split: 0; pairs of copies across splits: 0; "
        "slides whose patches overlap across splits: 0."
    ]
    assert len(report.write_leaks(tmp_path).read_text().splitlines()) == 1


def test_the_fields_that_bccd_holds_twice_leak_where_they_are_split(shared_data):
    names = shared_files("bccd/images")[30:40]
    rows = [SplitRow(name, str(shared_data / name), None, None, None, name) for name in names]
    sides = ["train" if name < "bccd/images/BloodImage_00038.jpg" else "test" for name in names]
    report = find_leaks(rows, sides, thumbnails_of_files([(row.id, row.path) for row in rows]))
    (copy,) = report.copies
    assert copy.id_a.endswith("00037.jpg")
    assert copy.id_b.endswith("00038.jpg")
    assert "10 of 10 rows have no patient" in report.to_lines()[-1]


def test_a_slide_in_two_splits_is_named_even_where_nobody_knows_the_patient():
    rows = [SplitRow(f"cell{i}", "", None, None, "a", "smear1" if i < 2 else f"smear{i}") for i in range(4)]
    report = find_leaks(rows, ["train", "test", "train", "test"])
    assert [leak.group for leak in report.groups] == ["slide smear1"]
    assert any("not compared" in note for note in report.notes)


def test_overlapping_patches_of_one_slide_are_found_in_a_grid():
    grid = PatchGrid(Size(400, 300), PatchSpec(100, overlap=0.5))
    boxes = np.array([place.box for place in grid])
    rows = [SplitRow(f"s_{i}", "", "p", "patient", None, "s") for i in range(len(grid))]
    sides = ["train" if place.box.x < 200 else "test" for place in grid]
    (leak,) = find_leaks(rows, sides, boxes=boxes).overlaps
    assert (leak.slide, leak.split_a, leak.split_b, leak.share) == ("s", "test", "train", 0.5)
    assert leak.pairs == brute_force(boxes, sides, ["s"] * len(rows))
    assert "share 50%" in str(leak)


boxes_of_patches = st.lists(
    st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(1, 12), st.integers(1, 12), st.integers(0, 2)),
    max_size=25,
)


@given(boxes_of_patches, st.integers(0, 99))
def test_overlaps_are_those_of_all_pairs(found, seed):
    rng = np.random.default_rng(seed)
    boxes = np.array([one[:4] for one in found], np.int64).reshape(-1, 4)
    rows = [SplitRow(str(i), "", None, None, None, f"s{one[4]}") for i, one in enumerate(found)]
    sides = [("train", "test", "dev")[i] for i in rng.integers(0, 3, len(rows))]
    leaks = find_leaks(rows, sides, boxes=boxes).overlaps
    assert sum(leak.pairs for leak in leaks) == brute_force(boxes, sides, [row.slide for row in rows])
    assert all(0 < leak.share <= 1 and leak.split_a < leak.split_b for leak in leaks)


def brute_force(boxes, sides, slides):
    count = 0
    for a in range(len(boxes)):
        for b in range(a):
            high = np.minimum(boxes[a, :2] + boxes[a, 2:], boxes[b, :2] + boxes[b, 2:])
            apart = sides[a] != sides[b] and slides[a] == slides[b]
            count += int(apart and (high > np.maximum(boxes[a, :2], boxes[b, :2])).all())
    return count


def test_a_file_that_is_twice_in_one_split_is_a_note_and_no_leak(tmp_path):
    picture = np.random.default_rng(0).integers(0, 255, (80, 80, 3)).astype(np.uint8)
    for name in "ab":
        cv2.imwrite(str(tmp_path / f"{name}.png"), picture)
    rows = [SplitRow(name, str(tmp_path / f"{name}.png"), f"p{name}", "patient", None, name) for name in "ab"]
    report = find_leaks(rows, ["train", "train"], thumbnails_of_files([(row.id, row.path) for row in rows]))
    assert not report.found
    assert report.notes == ("images that are in train more than once: 1 (b is a)",)


def test_long_reports_are_cut_for_the_terminal_and_whole_in_the_table(tmp_path):
    rows = [SplitRow(str(i), "", f"p{i // 8}", "patient", None, str(i)) for i in range(240)]
    report = find_leaks(rows, ["train", "test"] * 120)
    lines = report.to_lines()
    assert "  and 10 more like these" in lines
    assert len(lines) == 23
    assert len(report.write_leaks(tmp_path).read_text().splitlines()) == 241


def test_rows_that_do_not_fit_are_told():
    rows = [patient_row("a", "p")]
    with pytest.raises(UsageError, match="1 rows need a split"):
        find_leaks(rows, ["train", "test"])
    with pytest.raises(UsageError, match="boxes"):
        find_leaks(rows, ["train"], boxes=np.zeros((1, 2), np.int64))
    strange = thumbnails_of_arrays([("b", np.zeros((8, 8, 3), np.uint8))])
    with pytest.raises(UsageError, match="no row of the split names: b"):
        find_leaks(rows, ["train"], strange)
