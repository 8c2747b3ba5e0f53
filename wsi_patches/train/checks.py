"""What the values of settings may be: one of a few words, or a number of a range."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, get_args

from wsi_patches.errors import UsageError

__all__ = ["check_choices", "check_ranges"]


def check_choices(settings: object, choices: Mapping[str, Any]) -> None:
    """Refuse settings with a word that is none of those of its Literal.

    Parameters
    ----------
    settings
        What has the values, as attributes.
    choices
        Names of values, and the Literal of each.

    Raises
    ------
    UsageError
        One is none of its words.
    """
    for name, choice in choices.items():
        if getattr(settings, name) not in get_args(choice):
            msg = f"no {name} {getattr(settings, name)!r}: choose from {', '.join(get_args(choice))}"
            raise UsageError(msg)


def check_ranges(
    settings: object,
    ranges: Mapping[str, tuple[float, float]],
    what: str = "a training",
    *,
    optional: Collection[str] = (),
) -> None:
    """Refuse settings with a number out of its range.

    Parameters
    ----------
    settings
        What has the values, as attributes.
    ranges
        Names of values, and the lowest and the highest that each may have.
    what
        What the settings are of, for the message.
    optional
        Names of values that may be None instead.

    Raises
    ------
    UsageError
        One lies outside.
    """
    for name, (low, high) in ranges.items():
        value = getattr(settings, name)
        if not (name in optional and value is None) and not low <= value <= high:
            msg = f"{name} of {what} must lie in {low}..{high}, got {value}"
            raise UsageError(msg)
