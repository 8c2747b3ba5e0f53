"""A split comes back from disk as it was written, and a bad file is told by line and column."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsi_patches.datasets.split_file import read_split, write_split
from wsi_patches.datasets.splits import Split, SplitRow, make_split
from wsi_patches.errors import OutputExists, UsageError

# Neither a lone carriage return nor a null byte is in any name that a dataset has.
names = st.text(st.characters(exclude_characters="\r\0", exclude_categories=["Cs"]), min_size=1, max_size=8)
rows = st.builds(
    SplitRow, names, names, st.none() | names, st.sampled_from([None, "patient", "slide"]), st.none() | names, names
)


@given(
    st.lists(rows, max_size=8, unique_by=lambda row: row.id), st.sampled_from([None, 3, {"train": 0.5, "test": 0.5}])
)
def test_what_is_written_is_read(tmp_path_factory, found, wish):
    split = Split(tuple(found), tuple(f"fold{i % 3}" for i in range(len(found))), "slide", 4, wish, ("loud",))
    assert read_split(write_split(split, tmp_path_factory.mktemp("split"))) == split


def some_split():
    return make_split([SplitRow(f"r{i}", f"/r{i}.png", None, None, "ab"[i % 2], f"s{i}") for i in range(8)], "slide", 2)


def test_how_it_was_made_lies_beside_it(tmp_path):
    write_split(some_split(), tmp_path / "new")
    made = json.loads((tmp_path / "new" / "split.json").read_text())
    assert made["by"] == "slide"
    assert made["wish"] == 2
    assert made["counts"] == {"fold1": {"a": 2, "b": 2}, "fold2": {"a": 2, "b": 2}}
    assert "8 of 8 rows have no patient" in made["warnings"][0]
    assert made["version"]


def test_a_split_is_not_replaced_unasked(tmp_path):
    write_split(some_split(), tmp_path)
    with pytest.raises(OutputExists, match="--overwrite"):
        write_split(some_split(), tmp_path)
    write_split(some_split(), tmp_path, overwrite=True)


def test_ids_and_splits_are_enough(tmp_path):
    (tmp_path / "mine.csv").write_text("split,id\ntrain,a\ntest,b\n")
    split = read_split(tmp_path / "mine.csv", known={"a", "b", "c"})
    assert split.names == ("train", "test")
    assert [(row.id, row.slide, row.group) for row in split.rows] == [("a", "a", None), ("b", "b", None)]
    assert split.by is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,label\na,b\n", "line 1: a split needs the column split, found id, label"),
        ("", "line 1: a split needs the column id and split, found none"),
        ("id,split\na,train\n,test\n", "line 3, column id: it is empty"),
        ("id,split\na,\n", "line 2, column split: it is empty"),
        ("id,split\na,train,x\n", "line 2: it has more cells"),
        ("id,split\na\n", "line 2: it has fewer cells"),
        ("id,split\na,train\nb,test\na,test\n", "line 4, column id: 'a' is there already, in line 2"),
        ("id,split,group_kind\na,train,centre\n", "line 2, column group_kind: 'centre' is not one of patient, slide"),
        ('id,split\na,"train', "cannot be read as the CSV file"),
        ("id,split\nz,train\n", "names z, and there is no such id"),
    ],
)
def test_bad_files_are_told_by_line_and_column(tmp_path, content, message):
    (tmp_path / "split.csv").write_text(content)
    with pytest.raises(UsageError, match=message):
        read_split(tmp_path / "split.csv", known=["a", "b"])


def test_a_missing_file_and_bad_settings_are_told(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        read_split(tmp_path / "none.csv")
    (tmp_path / "split.csv").write_text("id,split\na,train\n")
    (tmp_path / "split.json").write_text("[]")
    with pytest.raises(UsageError, match=r"split\.json does not say"):
        read_split(tmp_path / "split.csv")
