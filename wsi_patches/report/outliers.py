"""Slides that a person should look at before the figures of a run are believed, each with its reasons."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from wsi_patches.counting.pooled import pooled_fraction
from wsi_patches.outcome import FAILED, OUT_OF_FOCUS, PARTIAL, Interval, SlideReport

__all__ = ["is_soft", "outliers"]


def outliers(reports: Sequence[SlideReport], groups: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the reasons of each slide that stands out, in the reports' order; others are not in it.

    A slide stands out if it failed or could be read in part only, if most of what was judged on it is out of focus, if
    it is unlike the model's training slides, or if its blast fraction is far from that of its group: the 95 % interval
    of the slide and that of the group's other slides together have nothing in common.

    Parameters
    ----------
    reports
        Of all slides.
    groups
        Names of the groups within which slides are compared.
    """
    reasons = {report.slide_id: list(_own_reasons(report)) for report in reports}
    members: dict[str, list[SlideReport]] = {name: [] for name in groups}
    for report in reports:
        if report.group in members and _fraction_is_known(report):
            members[report.group].append(report)
    for some in members.values():
        for report, reason in _far_ones(some):
            reasons[report.slide_id].append(reason)
    return {slide_id: tuple(told) for slide_id, told in reasons.items() if told}


def is_soft(report: SlideReport) -> bool:
    """Tell whether most of what was judged on a slide is out of focus."""
    judged = report.extra.get("focus_patches", report.patches)
    return report.patches_out_of_focus is not None and report.patches_out_of_focus > judged / 2


def _own_reasons(report: SlideReport) -> Iterator[str]:
    if report.status == FAILED:
        yield f"failed: {report.error}"
    if report.status == PARTIAL:
        yield f"{report.patches_failed} places could not be read"
    if is_soft(report):
        judged = report.extra.get("focus_patches", report.patches)
        yield f"out of focus: {report.patches_out_of_focus} of {judged} patches above {OUT_OF_FOCUS:g}"
    if report.abstains:
        yield f"unlike the model's training slides ({report.unlike_training:.2f}, 1 is the limit)"


def _fraction_is_known(report: SlideReport) -> bool:
    return report.blast_fraction is not None and report.blasts is not None and report.white_cells is not None


def _far_ones(members: Sequence[SlideReport]) -> Iterator[tuple[SlideReport, str]]:
    """Yield slides whose blast fraction is not that of the others of their group."""
    if len(members) < 2:
        return
    blasts = _others([one.blasts for one in members if one.blasts is not None])
    white = _others([one.white_cells for one in members if one.white_cells is not None])
    for report, blast, cells in zip(members, blasts, white, strict=True):
        own, others = report.blast_fraction, pooled_fraction(blast, cells)
        if own is not None and others is not None and (own.low > others.high or own.high < others.low):
            rest = len(members) - 1
            yield report, f"blasts {percent(own)}, and {percent(others)} on the other {rest} of group {report.group}"


def percent(interval: Interval) -> str:
    """Return a share with its interval, for people."""
    return f"{100 * interval.value:.1f} % ({100 * interval.low:.1f} to {100 * interval.high:.1f})"


def _others(counts: Sequence[Interval]) -> list[Interval]:
    """Return for each count what `pooled_count` says of all others; in one go, since a group may have thousands."""
    value, low, high = np.array([(one.value, one.low, one.high) for one in counts], np.float64).T
    total, below, above = (_without_own(one) for one in (value, (value - low) ** 2, (high - value) ** 2))
    lower, upper = total - np.sqrt(below), total + np.sqrt(above)
    return [Interval(*one) for one in zip(total.tolist(), lower.tolist(), upper.tolist(), strict=True)]


def _without_own(parts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return for each the sum of all others, none of them below 0, by sums from both ends: nothing is subtracted."""
    before = np.concatenate([[0.0], np.cumsum(parts)[:-1]])
    after = np.concatenate([np.cumsum(parts[::-1])[::-1][1:], [0.0]])
    return np.asarray(before + after, np.float64)
