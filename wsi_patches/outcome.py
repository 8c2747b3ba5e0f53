"""What became of a slide: whether it was done, and what was found on it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from wsi_patches.errors import sentence_of

__all__ = [
    "ATTRIBUTES",
    "DONE",
    "FAILED",
    "LEARNT_DOMAINS",
    "OUT_OF_FOCUS",
    "PARTIAL",
    "Interval",
    "Outcome",
    "SlideReport",
    "defined",
    "merge_outcomes",
]

ATTRIBUTES, LEARNT_DOMAINS = "attributes", "learnt_domains"
"""In a report's ``extra``: the attributes of its cells, with their values, and the domains that the model learnt from:
microscopes, cameras, magnifications."""
DONE, PARTIAL, FAILED = "done", "partial", "failed"
OUT_OF_FOCUS = 8.0
"""The focus score (FQPath, higher is blurrier) above which a patch counts as out of focus in reports: thFocus of step B
in the code of Genovese et al., ICASSP 2021, which stands for 256 px around a cell."""


@dataclass(frozen=True)
class Outcome:
    """What became of one slide in one run."""

    slide_id: str
    path: str
    status: str
    """``done``, ``partial`` (some places were unreadable: they are excluded) or ``failed``."""
    patches: int = 0
    unreadable: int = 0
    """How many places could not be read."""
    error: str = ""
    """What went wrong and what to do, for a failed slide."""
    warnings: tuple[str, ...] = ()
    blank: int = 0
    """How many places were left out as bare glass."""

    @classmethod
    def failed(cls, slide_id: str, path: str, error: BaseException | str) -> Outcome:
        """Return the outcome of a slide that could not be done."""
        told = sentence_of(error) if isinstance(error, BaseException) else error
        return cls(slide_id, path, FAILED, error=" ".join(told.split()) or type(error).__name__)


def merge_outcomes(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """Join what several tasks say of the same slide: failed if one failed, partial if one is, else done."""
    merged: dict[str, Outcome] = {}
    for outcome in outcomes:
        known = merged.get(outcome.slide_id)
        merged[outcome.slide_id] = outcome if known is None else _join(known, outcome)
    return list(merged.values())


def _join(one: Outcome, other: Outcome) -> Outcome:
    worst = next(status for status in (FAILED, PARTIAL, DONE) if status in (one.status, other.status))
    return replace(
        one,
        status=worst,
        patches=one.patches + other.patches,
        unreadable=one.unreadable + other.unreadable,
        blank=one.blank + other.blank,
        error=one.error or other.error,
        warnings=tuple(dict.fromkeys((*one.warnings, *other.warnings))),
    )


def defined(number: float) -> float | None:
    """Return a number as JSON has it: None for one that is not defined (nan)."""
    return None if math.isnan(number) else number


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def plain(self) -> dict[str, float | None]:
        """As JSON values; what is not defined is None."""
        return {name: defined(number) for name, number in asdict(self).items()}

    def __str__(self) -> str:
        return f"{self.value:.3g} ({self.low:.3g} to {self.high:.3g})"


@dataclass(frozen=True)
class SlideReport:
    """What one slide came to."""

    slide_id: str
    path: str
    status: str
    fingerprint: str = ""
    """Of the slide's file, so that a resumed run knows it again."""
    group: str | None = None
    white_cells: Interval | None = None
    blasts: Interval | None = None
    """None when no model can tell blasts."""
    blast_fraction: Interval | None = None
    """Blasts among white cells, None when no model can tell them or there is no white cell."""
    patches: int = 0
    patches_failed: int = 0
    patches_out_of_focus: int | None = None
    """None until focus was scored."""
    coverage: float = 1.0
    """Share of the slide that was looked at."""
    method: str = "cells"
    model: str = ""
    weights_sha256: str = ""
    unlike_training: float | None = None
    """How far the slide's look is from those that the model learnt from, 1 being as far as those ever are; None where
    nobody can say."""
    interval_method: str = ""
    """How the intervals were made, in a sentence."""
    warnings: tuple[str, ...] = ()
    error: str = ""
    extra: dict[str, Any] = field(default_factory=dict)
    """Further figures for people: cell diameter, seconds."""

    @property
    def abstains(self) -> bool:
        """Whether the slide is so unlike the model's training that its blasts are not to be believed."""
        return self.unlike_training is not None and self.unlike_training > 1

    @property
    def outcome(self) -> Outcome:
        """The same as an outcome."""
        return Outcome(
            self.slide_id, self.path, self.status, self.patches, self.patches_failed, self.error, self.warnings
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that `from_dict` reads."""
        return {**asdict(self), "warnings": list(self.warnings)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> SlideReport:
        """Read what `to_dict` wrote."""
        known = {one.name for one in fields(cls)}
        kept = {name: value for name, value in values.items() if name in known}
        for name in ("white_cells", "blasts", "blast_fraction"):
            if kept.get(name) is not None:
                kept[name] = Interval(**kept[name])
        return cls(**{**kept, "warnings": tuple(kept.get("warnings", ()))})
