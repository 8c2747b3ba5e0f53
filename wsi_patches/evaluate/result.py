"""What was measured, with intervals, and how: common to detection, classification and slides."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from wsi_patches.outcome import Interval

__all__ = ["FEW_GROUPS", "Metric", "Result", "Sampling", "plural", "sampling_warnings"]

FEW_GROUPS = 10
"""Below this many groups a percentile interval is rough, mostly too narrow; the result then says so."""


@dataclass(frozen=True)
class Metric:
    """One figure."""

    interval: Interval
    """Value nan where the figure is undefined; low and high nan where there is no interval."""
    n: int
    """Rows (patches, fields or slides) that it is of."""
    groups: int
    """Distinct groups of these rows."""
    draws: NDArray[np.float64] = field(default_factory=lambda: np.empty(0), repr=False, compare=False)
    """The figure in each draw of groups, nan where undefined, shape ``(draws,)``."""

    @property
    def value(self) -> float:
        """The figure itself."""
        return self.interval.value

    @property
    def has_interval(self) -> bool:
        """Whether draws gave an interval."""
        return not math.isnan(self.interval.low)

    @property
    def undefined_draws(self) -> int:
        """In how many draws the figure was undefined; the interval leaves these out."""
        return int(np.isnan(self.draws).sum())


@dataclass(frozen=True)
class Sampling:
    """How many of what was measured, and how intervals were made."""

    n: int
    unit: str
    """What a row is: ``patch``, ``field`` or ``slide``."""
    groups: int
    group_kind: str
    """What a group is: ``patient``, ``slide``, ``block of file order`` ..."""
    draws: int
    rank_draws: int
    """Draws of figures that need sorting, see `wsi_patches.evaluate.bootstrap.RANK_DRAWS`."""
    seed: int

    def __str__(self) -> str:
        return f"n = {plural(self.n, self.unit)} of {plural(self.groups, self.group_kind)}"

    @property
    def sentence(self) -> str:
        """How the intervals were made."""
        if not self.draws:
            return "No intervals were made."
        fewer = f" ({self.rank_draws} for ROC-AUC, average precision, log loss and calibration error)"
        return (
            f"95 % percentile intervals of {self.draws} draws{fewer if self.rank_draws < self.draws else ''} of "
            f"{plural(self.groups, self.group_kind)} with replacement, seed {self.seed}."
        )


@dataclass(frozen=True, kw_only=True)
class Result:
    """Figures with intervals, how they were made, and what to know before believing them."""

    metrics: Mapping[str, Metric]
    sampling: Sampling
    warnings: tuple[str, ...] = ()


def sampling_warnings(sampling: Sampling, metrics: Mapping[str, Metric]) -> tuple[str, ...]:
    """Return sentences on too few groups, draws that were left out, and intervals without width."""
    warnings: list[str] = []
    kind = sampling.group_kind
    if sampling.groups == 1:
        warnings.append(f"All rows are of one {kind}: nothing can be said of others, and no interval is given.")
    elif sampling.groups < FEW_GROUPS:
        warnings.append(f"Only {plural(sampling.groups, kind)}: the intervals are rough and mostly too narrow.")
    left_out = {name: metric.undefined_draws for name, metric in metrics.items() if metric.undefined_draws}
    if left_out:
        warnings.append(
            "Draws in which a figure is undefined (a class or all truth is absent) were left out: "
            + ", ".join(f"{name} {count} of {len(metrics[name].draws)}" for name, count in left_out.items())
            + "."
        )
    same = [
        name for name, metric in metrics.items() if metric.has_interval and metric.interval.low == metric.interval.high
    ]
    if same:
        warnings.append(
            f"Equal in every draw, so that the interval has no width: {', '.join(same)}. That is what these "
            f"{plural(sampling.groups, kind)} show, not that it is certain."
        )
    return tuple(warnings)


def plural(count: int, noun: str) -> str:
    """Return ``3 patches``, ``1 patch``, ``2 queries``, ``2 blocks of file order``."""
    if count == 1:
        return f"1 {noun}"
    first, *rest = noun.split(" ", 1)
    if first[-1] == "y" and first[-2:-1] not in "aeiou":
        first = first[:-1] + "ie"
    return " ".join([str(count), first + ("es" if first.endswith(("s", "x", "ch", "sh")) else "s"), *rest])
