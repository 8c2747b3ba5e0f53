"""Recipes: keys are checked, flags win, a wrong value is named by its path."""

from dataclasses import dataclass, field
from typing import ClassVar

import pytest

from wsi_patches.errors import UsageError
from wsi_patches.recipe import find_recipe, load_pipeline, read_recipe, read_runnable, settings_from


@dataclass(frozen=True)
class Knob:
    __pydantic_config__: ClassVar = {"extra": "forbid"}
    width_px: int = 3


@dataclass(frozen=True)
class Settings:
    __pydantic_config__: ClassVar = {"extra": "forbid"}
    out: str
    overlap: float | None = None
    stride: int | None = None
    knob: Knob = field(default_factory=Knob)


def test_flags_win_and_rivals_give_way():
    recipe = {"out": "a", "overlap": 0.25, "command": "extract"}
    assert settings_from(Settings, {"stride": 3}, recipe) == Settings("a", None, 3)
    assert settings_from(Settings, {"out": "b", "stride": None}, recipe) == Settings("b", 0.25)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"out": "a", "knob": {"width_px": "wide"}}, r"knob\.width_px.*'wide'"),
        ({"out": "a", "knob": {"hight_px": 1}}, r"knob\.hight_px"),
        ({"out": "a", "colour": 1}, "colour"),
        ({}, "-o"),
    ],
)
def test_a_wrong_value_is_named_by_its_path(recipe, message):
    with pytest.raises(UsageError, match=message):
        settings_from(Settings, {}, recipe, "mine.yaml")


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [1\n", "1: 2\n", ""])
def test_what_is_no_mapping_is_refused(tmp_path, text):
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(UsageError, match=r"r\.yaml"):
        read_recipe(tmp_path / "r.yaml")


def test_a_recipe_names_one_thing_to_run(tmp_path):
    (tmp_path / "r.yaml").write_text("command: extract\npipeline: demo\n")
    with pytest.raises(UsageError, match="one of"):
        read_runnable(tmp_path / "r.yaml", {})


@pytest.mark.parametrize("name", ["../demo", "/tmp/demo", "demo.py", "Demo", "nobody"])
def test_a_recipe_never_names_a_path_to_code(name):
    with pytest.raises(UsageError, match="shipped are"):
        load_pipeline(name)


def test_shipped_recipes_are_found_by_name_and_path():
    for name in ("demo", "demo.yaml", "configs/demo.yaml"):
        assert find_recipe(name).name == "demo.yaml"
    with pytest.raises(UsageError, match="demo_cells"):
        find_recipe("nobody")
