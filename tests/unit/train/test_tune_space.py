"""What a search tries is read from a recipe, checked, and put back into one."""

import pytest

from wsi_patches.errors import UsageError
from wsi_patches.train.tune_space import Choice, FloatRange, IntRange, applied, ends, read_space, standing


def test_a_recipe_says_what_is_searched():
    recipe = {
        "rate": {"low": 1e-4, "high": 1e-2, "log": True},
        "depth": {"low": 1, "high": 9},
        "kind": ["a", 2, True, None],
    }

    assert read_space(recipe) == {
        "rate": FloatRange(1e-4, 1e-2, True),
        "depth": IntRange(1, 9),
        "kind": Choice(("a", 2, True, None)),
    }


@pytest.mark.parametrize(
    "entry",
    [
        3,
        [],
        [[1]],
        [{"a": 1}],
        {"low": 1},
        {"low": 2, "high": 1},
        {"low": 0, "high": 1, "log": True},
        {"low": "a", "high": "b"},
        {"low": 1, "high": 2, "step": 1},
    ],
)
def test_what_is_no_search_space_is_refused(entry):
    with pytest.raises(UsageError, match=r"tune\.rate must"):
        read_space({"rate": entry})


def test_a_trial_is_put_into_the_recipe_and_the_recipe_is_left_alone():
    recipe = {"batch_size": 8, "training": {"epochs": 3, "learning_rate": 0.1}}

    tried = applied(recipe, {"training.learning_rate": 0.01, "augmentation.stain": 0.3, "batch_size": 16})

    assert tried == {"batch_size": 16, "training": {"epochs": 3, "learning_rate": 0.01}, "augmentation": {"stain": 0.3}}
    assert recipe["training"]["learning_rate"] == 0.1
    with pytest.raises(UsageError, match="batch_size is 8"):
        applied(recipe, {"batch_size.of": 1})


@pytest.mark.parametrize("section", [["rate"], 3, {3: [1, 2]}])
def test_a_section_that_is_no_mapping_is_refused(section):
    with pytest.raises(UsageError, match="tune must be a mapping"):
        read_space(section)


def test_both_ends_and_every_choice_are_held_against_a_recipe():
    space = {"rate": FloatRange(0.1, 0.5), "depth": IntRange(1, 9), "kind": Choice(("a", None))}

    assert list(ends(space)) == [
        {"rate": 0.1}, {"rate": 0.5}, {"depth": 1}, {"depth": 9}, {"kind": "a"}, {"kind": None},
    ]  # fmt: skip


def test_a_recipe_stands_in_the_space_or_outside_of_it():
    space = {"training.rate": FloatRange(0.1, 0.5), "training.depth": IntRange(1, 9), "kind": Choice(("a", None))}
    recipe = {"training": {"rate": 0.2, "depth": 3, "more": 1}, "kind": None}

    assert standing(recipe, space) == {"training.rate": 0.2, "training.depth": 3, "kind": None}
    assert standing({**recipe, "kind": "b"}, space) is None
    assert standing({**recipe, "training": {"rate": 0.6, "depth": 3}}, space) is None
    assert standing({**recipe, "training": {"rate": 0.2}}, space) is None
    assert standing({**recipe, "training": 3}, space) is None
