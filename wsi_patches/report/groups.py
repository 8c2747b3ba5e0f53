"""``groups.csv``: the slides of each patient, or the fields of each slide, taken together."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wsi_patches.counting.pooled import pooled_count, pooled_fraction
from wsi_patches.locations import patiently
from wsi_patches.outcome import FAILED, Interval, SlideReport
from wsi_patches.report.counts import figures
from wsi_patches.stores.files import replacing

__all__ = ["GROUP_COLUMNS", "GroupCount", "group_counts", "write_groups"]

GROUP_COLUMNS = (
    "group",
    "group_kind",
    "slides",
    "slides_failed",
    "slides_with_blasts",
    "vote",
    "blasts",
    "blasts_low",
    "blasts_high",
    "white_cells",
    "white_cells_low",
    "white_cells_high",
    "blast_fraction",
    "blast_fraction_low",
    "blast_fraction_high",
)
"""Scripts rely on these names; columns are only ever added at the end."""


@dataclass(frozen=True)
class GroupCount:
    """What the slides of one patient, or the fields of one slide, come to together."""

    group: str
    group_kind: str
    """``patient`` or ``slide``."""
    slides: int
    """That were counted."""
    slides_failed: int
    slides_with_blasts: int | None
    """On how many at least one blast was found; None where nothing told blasts."""
    blasts: Interval | None
    white_cells: Interval
    blast_fraction: Interval | None

    @property
    def vote(self) -> float | None:
        """Share of the slides on which a blast was found; None where nothing told blasts."""
        return None if self.slides_with_blasts is None else self.slides_with_blasts / self.slides

    @classmethod
    def of(cls, name: str, reports: Sequence[SlideReport]) -> GroupCount:
        """Take the reports of one group together; failed ones are counted and left out."""
        done = [one for one in reports if one.status != FAILED]
        blasts = [one.blasts for one in done if one.blasts is not None]
        white = pooled_count([one.white_cells for one in done if one.white_cells is not None])
        told = bool(done) and len(blasts) == len(done)
        pooled = pooled_count(blasts) if told else None
        return cls(
            group=name,
            group_kind=str(next((one.extra["group_kind"] for one in reports if "group_kind" in one.extra), "")),
            slides=len(done),
            slides_failed=len(reports) - len(done),
            slides_with_blasts=sum(one.value >= 1 for one in blasts) if told else None,
            blasts=pooled,
            white_cells=white,
            blast_fraction=pooled_fraction(pooled, white) if pooled is not None else None,
        )


def group_counts(reports: Sequence[SlideReport]) -> list[GroupCount]:
    """Return one count for each group that the reports name, in their order; slides without a group are in none."""
    groups: dict[str, list[SlideReport]] = {}
    for report in reports:
        if report.group:
            groups.setdefault(report.group, []).append(report)
    return [GroupCount.of(name, members) for name, members in groups.items()]


def write_groups(path: Path, groups: Sequence[GroupCount]) -> None:
    """Write the table; it replaces an earlier one only once it is whole."""
    patiently(lambda: _write(path, groups))


def _write(path: Path, groups: Sequence[GroupCount]) -> None:
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(GROUP_COLUMNS)
        writer.writerows(_row(group) for group in groups)


def _row(group: GroupCount) -> list[str | int]:
    with_blasts, vote = group.slides_with_blasts, group.vote
    return [
        group.group,
        group.group_kind,
        group.slides,
        group.slides_failed,
        "" if with_blasts is None else with_blasts,
        "" if vote is None else f"{vote:.4f}",
        *figures(group.blasts, ".1f"),
        *figures(group.white_cells if group.slides else None, ".1f"),
        *figures(group.blast_fraction, ".4f"),
    ]
