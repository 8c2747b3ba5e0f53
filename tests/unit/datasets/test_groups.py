"""Patients from a lab's own names and tables."""

import pytest

from wsi_patches.datasets import GroupRule, SlideItem, with_groups
from wsi_patches.errors import UsageError

ITEMS = [SlideItem(f"/data/{name}.png") for name in ("P07_s1_field3", "P07_s2_field1", "control")]


def groups(rule):
    return [(item.group, item.group_kind) for item in with_groups(ITEMS, rule)]


def test_without_a_rule_nothing_changes():
    assert with_groups(ITEMS, GroupRule()) == ITEMS


def test_a_named_part_of_a_pattern_says_what_it_is():
    assert groups(GroupRule(r"^(?P<patient>P\d+)_"))[:2] == [("P07", "patient")] * 2
    assert groups(GroupRule(r"_(?P<slide>s\d+)_"))[:2] == [("s1", "slide"), ("s2", "slide")]


def test_an_unnamed_part_is_taken_for_a_slide():
    assert groups(GroupRule(r"^(.+)_"))[0] == ("P07_s1", "slide")


def test_an_image_that_the_rule_does_not_fit_keeps_its_group_and_says_so():
    last = with_groups(ITEMS, GroupRule(r"^(?P<patient>P\d+)_"))[-1]
    assert last.group is None
    assert "neither in the table nor in its name" in last.warnings[0]


def test_a_table_names_images_by_file_or_stem(tmp_path):
    table = tmp_path / "patients.csv"
    table.write_text("Image,Patient\nP07_s1_field3.png,anna\nfolder/control, bob \n", encoding="utf-8-sig")
    assert groups(GroupRule(table=table)) == [("anna", "patient"), (None, None), ("bob", "patient")]


@pytest.mark.parametrize("pattern", ["(", "P[0-9]+"])
def test_a_pattern_that_cannot_be_used_is_refused(pattern):
    with pytest.raises(UsageError, match="--group-pattern"):
        GroupRule(pattern)


@pytest.mark.parametrize("text", ["image,age\na,3\n", "", "patient\nanna\n"])
def test_a_table_without_the_columns_is_refused(tmp_path, text):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(UsageError, match="it needs one of image"):
        with_groups(ITEMS, GroupRule(table=tmp_path / "t.csv"))


def test_a_table_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"nowhere\.csv"):
        with_groups(ITEMS, GroupRule(table=tmp_path / "nowhere.csv"))
