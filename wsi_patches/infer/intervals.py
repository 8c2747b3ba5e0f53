"""Counts with their intervals in a report, and what the intervals are made of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wsi_patches.counting.slide_counts import FinderReliability, SlideCounts, count_intervals
from wsi_patches.outcome import Interval, SlideReport

__all__ = ["with_found", "with_marks"]

OF_THE_SLIDE = "95 % intervals of the counts are for the cells that lie on what was looked at of this slide"
FINDER_MEASURED = "they hold the finder's misses and false alarms, as measured on slides that it was not trained on"
FINDER_UNKNOWN = "what the finder misses or makes up is not in them, since nobody measured it"
CLASSIFIER = ", and the classifier's calibrated probabilities"
OF_THE_BLOOD = "That of the blast fraction is for the blood: the chance of the sample is in it besides."
BY_HAND = (
    "The cells were marked or corrected by a person, and their number is taken as it is; where a model told the class "
    "of a cell, its calibrated probabilities make the interval of the blasts."
)


def with_found(
    report: SlideReport,
    scores: ArrayLike,
    blast: NDArray[np.float64] | None,
    reliability: FinderReliability | None,
    shift: float = 0.0,
) -> SlideReport:
    """Return a report with the counts of cells that were found.

    Parameters
    ----------
    report
        Of the slide.
    scores
        Of the finder, for each cell, ``(n,)``.
    blast
        Probability of being a blast for each, ``(n,)``; None where nothing told.
    reliability
        How far the finder can be believed; None where nobody measured it.
    shift
        Of the classifier, as its card has it.
    """
    count = len(np.asarray(scores))
    is_cell = np.ones(count) if reliability is None else reliability.are_cells(scores)
    recall = None if reliability is None else reliability.recall
    counts = count_intervals(is_cell, np.zeros(count) if blast is None else blast, recall, shift)
    finder = FINDER_UNKNOWN if reliability is None else FINDER_MEASURED
    told = f"{OF_THE_SLIDE}: {finder}{'' if blast is None else CLASSIFIER}. {'' if blast is None else OF_THE_BLOOD}"
    return _with_counts(replace(report, interval_method=told.strip()), count, blast, counts)


def with_marks(report: SlideReport, count: int, blast: NDArray[np.float64] | None, shift: float = 0.0) -> SlideReport:
    """Return a report with the counts of cells that a person marked; parameters are those of `with_found`."""
    counts = count_intervals(np.ones(count), np.zeros(count) if blast is None else blast, shift=shift)
    told = BY_HAND if blast is None else f"{BY_HAND} {OF_THE_BLOOD}"
    return _with_counts(replace(report, interval_method=told), count, blast, counts)


def _with_counts(
    report: SlideReport, count: int, blast: NDArray[np.float64] | None, counts: SlideCounts
) -> SlideReport:
    """Put the numbers of cells that are shown into a report, so that all outputs say the same, with their intervals."""
    report = replace(report, white_cells=_around(count, counts.white_cells))
    if blast is None:
        return report
    blasts, fraction = int(np.count_nonzero(blast >= 0.5)), counts.blast_fraction
    return replace(
        report,
        blasts=_around(blasts, counts.blasts),
        blast_fraction=_around(blasts / count, fraction) if count and fraction is not None else None,
    )


def _around(value: float, interval: Interval) -> Interval:
    return Interval(float(value), min(interval.low, value), max(interval.high, value))
