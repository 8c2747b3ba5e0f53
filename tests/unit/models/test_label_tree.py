"""Trees of labels: what is refused, and that what is said of each level is always one path."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsi_patches.errors import ModelError, UsageError
from wsi_patches.models.label_tree import LabelTree, read_tree

TREE = {"leukemia": {"acute": {"myeloid": ["aml", "apl"], "all": None}, "chronic": ["cll", "cml"]}, "normal": None}
LEAVES = ("aml", "apl", "all", "cll", "cml", "normal")


def test_levels_of_uneven_branches():
    tree = LabelTree.of(TREE)
    assert (tree.leaves, tree.depth) == (LEAVES, 4)
    first, second, third, last = tree.levels(("normal", "cml", "cll", "all", "apl", "aml"))
    assert first.names == ("leukemia", "normal")
    assert first.of_class.tolist() == [1, 0, 0, 0, 0, 0]
    assert second.names == ("acute", "chronic", "normal")
    assert second.of_class.tolist() == [2, 1, 1, 0, 0, 0]
    assert third.names == ("myeloid", "all", "cll", "cml", "normal")
    assert last.names == LEAVES
    assert last.of_class.tolist() == [5, 4, 3, 2, 1, 0]
    assert tree.path("apl") == ("leukemia", "acute", "myeloid", "apl")
    assert LabelTree.of(tree.to_dict()) == tree


def test_a_list_may_hold_branches():
    assert LabelTree.of({"a": ["x", {"b": ["y", "z"]}], "c": None}).paths == (
        ("a", "x"), ("a", "b", "y"), ("a", "b", "z"), ("c",),
    )  # fmt: skip


def cycle():
    branch = {"x": None}
    branch["y"] = {"b": branch, "c": None}
    return {"a": branch, "z": None}


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({}, "no label"),
        (["a", "b"], "is a mapping of names to their kinds, found list"),
        ({"a": None}, "the tree has one kind alone, 'a'"),
        ({"a": ["x"], "b": None}, "'a' has one kind alone, 'x'"),
        ({"a": ["x", "y"], "b": ["y", "z"]}, "'y' stands twice in the tree, as a > y and b > y"),
        ({"a": ["a", "y"], "b": None}, "'a' stands twice in the tree, as a and a > a"),
        ({"a": 3, "b": None}, "below a, a mapping or a list of names is expected, found int '3'"),
        ({"a": [1, 2], "b": None}, "a label is a word, found int '1' below a: quote it"),
        ({False: None, "b": None}, "found bool 'False' below the root"),
    ],
)
def test_what_is_no_tree_is_refused(tree, message):
    with pytest.raises(UsageError, match=message):
        LabelTree.of(tree)


def test_a_cycle_is_refused():
    with pytest.raises(UsageError, match="a > y > b lies within itself"):
        LabelTree.of(cycle())
    alone = {}
    alone["a"], alone["b"] = alone, None
    with pytest.raises(UsageError, match="a lies within itself"):
        LabelTree.of(alone)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ((*LEAVES, "hairy"), "class 'hairy' is not in the tree; leaves are aml, apl"),
        (("acute", *LEAVES[3:]), "class 'acute' has kinds below it, and a picture is of a leaf"),
        (LEAVES[1:], "nothing is of leaf aml"),
    ],
)
def test_classes_that_are_not_the_leaves_are_refused(classes, message):
    with pytest.raises(UsageError, match=message):
        LabelTree.of(TREE).levels(classes)


def test_a_file_with_a_name_twice_is_refused(tmp_path):
    path = tmp_path / "tree.yaml"
    path.write_text("a: [x, y]\nb: &same {u: , v: }\n")
    assert LabelTree.of(read_tree(path)).leaves == ("x", "y", "u", "v")
    path.write_text("a: [x, y]\nb:\na: [u, v]\n")
    with pytest.raises(UsageError, match=r"tree\.yaml: 'a' stands twice"):
        read_tree(path)
    path.write_text("a: &a {b: *a, c: }\nd:\n")
    with pytest.raises(UsageError, match="a > b lies within itself"):
        LabelTree.of(read_tree(path))
    with pytest.raises(UsageError, match="cannot be read"):
        read_tree(tmp_path / "absent.yaml")


def test_a_card_holds_the_tree_of_its_classes(card):
    told = replace(card, classes=("x", "y", "z"), tree={"a": {"x": {}, "y": {}}, "z": {}})
    assert type(told).from_dict(told.to_dict()) == told
    with pytest.raises(ModelError, match="nothing is of leaf z"):
        replace(told, classes=("x", "y"))


@st.composite
def trees(draw):
    """A random tree; names are numbered afterwards, so that each is there once."""
    shape = draw(
        st.recursive(st.none(), lambda below: st.lists(below, min_size=2, max_size=4), max_leaves=12).filter(bool)
    )
    numbers = iter(range(1000))

    def named(branches):
        return {f"n{next(numbers)}": None if one is None else named(one) for one in branches}

    return LabelTree.of(named(shape))


@given(trees(), st.integers(0, 2**32 - 1), st.sampled_from([0.1, 1.0, 30.0]))
def test_decoded_nodes_are_one_path_and_none_is_likelier_than_its_parent(tree, seed, spread):
    rng = np.random.default_rng(seed)
    classes = tuple(rng.permutation(tree.leaves).tolist())
    logits = rng.normal(0, spread, (5, len(classes)))
    probabilities = np.exp(logits - logits.max(1, keepdims=True))
    probabilities /= probabilities.sum(1, keepdims=True)
    best = probabilities.argmax(axis=1)
    sums = [level.summed(probabilities) for level in tree.levels(classes)]
    for level, one in zip(tree.levels(classes), sums, strict=True):
        np.testing.assert_allclose(one.sum(axis=1), 1)
        assert all(level.names[level.of_class[leaf]] in tree.path(classes[leaf]) for leaf in best.tolist())
    for row, leaf in enumerate(best.tolist()):
        names = [level.names[level.of_class[leaf]] for level in tree.levels(classes)]
        assert tuple(dict.fromkeys(names)) == tree.path(classes[leaf])
        on_path = [one[row, level.of_class[leaf]] for one, level in zip(sums, tree.levels(classes), strict=True)]
        assert all(above >= below - 1e-12 for above, below in pairwise(on_path))
