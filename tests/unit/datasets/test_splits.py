"""Splits keep groups whole, keep class shares, and do not depend on the order of the rows."""

import random
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from wsi_patches.datasets.splits import (
    SplitRow,
    group_warning,
    keep_together,
    make_folds,
    make_shares,
    make_split,
)
from wsi_patches.errors import UsageError

SHARES = {"train": 0.7, "validation": 0.15, "test": 0.15}


def row(name, group=None, label="a", kind="patient", slide=None):
    return SplitRow(name, f"/data/{name}.png", group, kind if group else None, label, slide or name)


def patients(rng, groups, rows_each, classes):
    """Rows of patients that each have mostly one class."""
    out = []
    for group in range(groups):
        main = group % classes
        for k in range(rows_each):
            label = main if rng.random() < 0.8 else int(rng.integers(classes))
            out.append(row(f"p{group}_{k}", f"p{group}", f"class{label}"))
    return out


many_rows = st.builds(
    lambda seed, groups, each, classes: patients(np.random.default_rng(seed), groups, each, classes),
    st.integers(0, 1000),
    st.integers(16, 40),
    st.integers(2, 8),
    st.integers(1, 3),
)
wishes = st.one_of(st.integers(2, 5), st.just(SHARES))


@given(many_rows, wishes, st.integers(0, 50), st.sampled_from(["patient", "slide", "block", "none"]))
def test_every_row_has_one_split_and_no_group_two(rows, wish, seed, by):
    split = make_split(rows, by, wish, seed)
    names = {f"fold{i + 1}" for i in range(wish)} if isinstance(wish, int) else set(SHARES)
    assert len(split.names) == len(rows)
    assert set(split.names) == names or by == "block"
    of_group = {}
    for group, name in zip(keep_together(rows, by), split.names, strict=True):
        of_group.setdefault(group, set()).add(name)
    assert all(len(found) == 1 for found in of_group.values())


@given(many_rows, wishes, st.integers(0, 50), st.sampled_from(["patient", "block", "none"]), st.randoms())
def test_the_seed_alone_decides_not_the_order_of_rows(rows, wish, seed, by, shuffler):
    before = make_split(rows, by, wish, seed)
    shuffled = list(rows)
    shuffler.shuffle(shuffled)
    after = make_split(shuffled, by, wish, seed)
    assert dict(zip(shuffled, after.names, strict=True)) == dict(zip(rows, before.names, strict=True))


def test_a_split_is_the_same_on_every_machine():
    rows = patients(np.random.default_rng(7), 12, 3, 2)
    found = make_split(rows, "patient", 3, seed=5).names[::3]
    assert [name[-1] for name in found] == list("233213311221")


def test_another_seed_gives_another_split_even_where_all_groups_differ_in_size():
    groups = [f"g{size}" for size in range(8, 24) for _ in range(size)]
    splits = {tuple(make_shares(["a"] * len(groups), groups, SHARES, seed).tolist()) for seed in range(8)}
    assert len(splits) > 1


@given(st.integers(0, 1000), st.integers(2, 5))
def test_shares_are_near_the_wish_where_groups_are_small(seed, classes):
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=600).astype(str)
    groups = rng.integers(200, size=600).astype(str)
    split = make_shares(list(labels), list(groups), SHARES, seed)
    for label in np.unique(labels):
        found = np.bincount(split[labels == label], minlength=3) / np.count_nonzero(labels == label)
        np.testing.assert_allclose(found, list(SHARES.values()), atol=0.05)


@pytest.mark.parametrize("folds", [2, 3, 5])
def test_folds_are_as_even_as_those_of_scikit_learn(folds):
    ours, theirs = [], []
    for seed in range(20):
        rows = patients(np.random.default_rng(seed), 40, 6, 3)
        labels, groups = np.array([one.label for one in rows]), np.array([one.group for one in rows])
        reference = np.empty(len(rows), int)
        splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
        for number, (_, held_out) in enumerate(splitter.split(labels, labels, groups)):
            reference[held_out] = number
        ours.append(unevenness(labels, make_folds(list(labels), list(groups), folds, seed), folds))
        theirs.append(unevenness(labels, reference, folds))
    assert np.mean(ours) <= 1.3 * np.mean(theirs)


def unevenness(labels, split, folds):
    """How far the folds are from equal counts of each label, in rows."""
    return np.mean([np.bincount(split[labels == label], minlength=folds).std() for label in np.unique(labels)])


def test_every_split_gets_a_group_however_small_its_share():
    split = make_shares([None] * 30, [str(i // 10) for i in range(30)], {"train": 0.98, "test": 0.01, "dev": 0.01})
    assert sorted(np.bincount(split)) == [10, 10, 10]


def test_blocks_are_runs_of_neighbours_within_each_label():
    rows = [row(f"{label}_{number}", label=label) for label in "xy" for number in range(1, 21)]
    random.Random(3).shuffle(rows)
    split = make_split(rows, "block", 4, seed=1)
    for label in "xy":
        numbered = sorted(
            (int(one.id[2:]), name) for one, name in zip(rows, split.names, strict=True) if one.label == label
        )
        names = [name for _, name in numbered]
        assert sorted(set(names)) == ["fold1", "fold2", "fold3", "fold4"]
        assert sum(a != b for a, b in pairwise(names)) == 3
        assert all(names.count(name) == 5 for name in names)


def test_no_block_cuts_a_patient_or_slide():
    rows = [row(f"cell{i}", label="ab"[i % 2], slide=f"s{i // 7}") for i in range(70)]
    split = make_split(rows, "block", SHARES, seed=2)
    of_slide = {}
    for one, name in zip(rows, split.names, strict=True):
        of_slide.setdefault(one.slide, set()).add(name)
    assert all(len(found) == 1 for found in of_slide.values())


def test_rows_without_a_patient_go_by_slide_and_are_warned_about():
    rows = [row(f"r{i}", "p" if i < 4 else None, slide=f"s{i // 2}") for i in range(12)]
    rows += [row("from", "s9", kind="slide"), row("of", "g", kind=None)]
    together = keep_together(rows, "patient")
    assert together[:6] == ["patient p"] * 4 + ["slide s2"] * 2
    assert together[-2:] == ["slide s9", "group g"]
    warning = group_warning(rows)
    assert warning is not None
    assert "10 of 14 rows have no patient" in warning
    assert "slides" in warning
    assert "flatter" in warning
    assert make_split(rows, "patient", 2).warnings == (warning,)


def test_known_patients_need_no_warning_unless_they_are_not_used():
    rows = [row(f"r{i}", f"p{i}") for i in range(4)]
    assert group_warning(rows) is None
    assert "patients are known, and slides were kept together, as asked" in str(group_warning(rows, "slide"))
    assert "nothing was kept together" in str(group_warning(rows, "none"))


def test_counts_say_what_each_split_holds():
    rows = [row(f"r{i}", f"p{i}", label="ab"[i % 2]) for i in range(8)]
    assert make_split(rows, "patient", 2).counts() == {"fold1": {"a": 2, "b": 2}, "fold2": {"a": 2, "b": 2}}


def test_what_cannot_be_split_is_told():
    rows = [row(f"r{i}", f"p{i // 4}", label="aba"[i // 4]) for i in range(12)]
    with pytest.raises(UsageError, match="3 groups cannot fill 4 splits"):
        make_split(rows, "patient", 4)
    with pytest.raises(UsageError, match="all 4 rows of label 'b' fall into fold"):
        make_split(rows, "patient", 2)
    with pytest.raises(UsageError, match="all 4 rows of label 'b' fall into fold"):
        make_split(rows, "block", 2)
    with pytest.raises(UsageError, match="and 1 was asked"):
        make_split(rows, "patient", 1)
    with pytest.raises(UsageError, match=r"sum to 1, found train 0\.7, test 0\.7"):
        make_split(rows, "patient", {"train": 0.7, "test": 0.7})
    with pytest.raises(UsageError, match="'r0' appears more than once"):
        make_split([*rows, replace(rows[0], path="/other")], "patient", 2)
    with pytest.raises(UsageError, match="known are patient, slide, block, none"):
        make_split(rows, "centre", 2)
