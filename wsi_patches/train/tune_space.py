"""What a search for settings tries: the ``tune:`` section of a recipe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from wsi_patches.errors import UsageError

__all__ = ["Choice", "FloatRange", "IntRange", "Setting", "Space", "applied", "ends", "read_space", "standing"]

Setting = float | int | str | bool | None
"""A value that is tried."""


@dataclass(frozen=True)
class FloatRange:
    """Any number from ``low`` to ``high``, both included; ``log`` tries each power of ten as often."""

    low: float
    high: float
    log: bool = False

    def __contains__(self, value: object) -> bool:
        return isinstance(value, (int, float)) and self.low <= value <= self.high


@dataclass(frozen=True)
class IntRange:
    """Any whole number from ``low`` to ``high``, both included."""

    low: int
    high: int
    log: bool = False

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int) and self.low <= value <= self.high


@dataclass(frozen=True)
class Choice:
    """One of these values."""

    values: tuple[Setting, ...]

    def __contains__(self, value: object) -> bool:
        return value in self.values


Space = Mapping[str, FloatRange | IntRange | Choice]


def read_space(recipe: Any) -> dict[str, FloatRange | IntRange | Choice]:
    """Return a recipe's ``tune:`` mapping as a search space.

    ``name: [a, b, c]`` is a choice; ``name: {low: 1e-4, high: 1e-2, log: true}`` is a range, of whole numbers where
    both ends are. Names may have dots, for settings within settings (see `applied`).

    Raises
    ------
    UsageError
        It is no mapping, or an entry is neither a choice nor a range.
    """
    if not isinstance(recipe, dict) or not all(isinstance(name, str) for name in recipe):
        msg = f"tune must be a mapping, such as `training.learning_rate: {{low: 0.0001, high: 0.01}}`; found {recipe!r}"
        raise UsageError(msg)
    return {name: _entry(name, one) for name, one in recipe.items()}


def _entry(name: str, one: Any) -> FloatRange | IntRange | Choice:
    if isinstance(one, list) and one and all(isinstance(value, Setting) for value in one):
        return Choice(tuple(one))
    if not isinstance(one, dict) or not {"low", "high"} <= one.keys() <= {"low", "high", "log"}:
        msg = f"tune.{name} must be a list of choices, or low, high and log of a range; found {one!r}"
        raise UsageError(msg)
    low, high, log = one["low"], one["high"], one.get("log", False)
    numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in (low, high))
    if not numbers or not isinstance(log, bool) or not low < high or (log and low <= 0):
        msg = f"tune.{name} must have numbers low < high, above 0 where log is true; found {one!r}"
        raise UsageError(msg)
    if isinstance(low, int) and isinstance(high, int):
        return IntRange(low, high, log)
    return FloatRange(float(low), float(high), log)


def applied(recipe: Mapping[str, Any], settings: Mapping[str, Setting]) -> dict[str, Any]:
    """Return a recipe with the settings of a trial in it; ``training.learning_rate`` goes into its ``training``.

    Raises
    ------
    UsageError
        A name leads through what is no mapping.
    """
    out = dict(recipe)
    for name, value in settings.items():
        head, _, rest = name.partition(".")
        inner = out.get(head, {})
        if rest and not isinstance(inner, dict):
            msg = f"tune.{name} cannot be set: {head} is {inner!r} in the recipe, and holds no settings"
            raise UsageError(msg)
        out[head] = applied(inner, {rest: value}) if rest else value
    return out


def ends(space: Space) -> Iterator[dict[str, Setting]]:
    """Yield each choice, and both ends of each range, alone: what a recipe must bear for a search not to fail late."""
    for name, one in space.items():
        for value in one.values if isinstance(one, Choice) else (one.low, one.high):
            yield {name: value}


def standing(recipe: Mapping[str, Any], space: Space) -> dict[str, Setting] | None:
    """Return what a whole recipe, defaults included, says of the settings of a space; None if it lies outside."""
    found = {}
    for name, one in space.items():
        value: Any = recipe
        for part in name.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        if value not in one:
            return None
        found[name] = value
    return found
