"""How many blasts a positive patch means, learnt from slides on which ``infer`` counted patches and people cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from wsi_patches.cells import WHITE_CELL
from wsi_patches.errors import UsageError
from wsi_patches.infer.presence import (
    PATCH_OVERLAP,
    PATCH_RED_CELLS,
    POSITIVE_PATCHES,
    PresenceCalibration,
    write_presence_calibration,
)
from wsi_patches.models.count_calibration import CountCalibration
from wsi_patches.outcome import DONE, SlideReport
from wsi_patches.workflows.counted import BLASTS, Counted, CountedSlide, left_out
from wsi_patches.workflows.output import make_folder

__all__ = ["calibrated"]

LEAST_GROUPS = 3
"""Of patients or slides: where each is counted by what the others say, two of them are left to say it."""
LEARNT = (
    "{} says that a positive patch means {:.3g} blasts, learnt from {} fields of {} patients or slides. Each is "
    "measured here by what the others say. Give the file to `infer --patch-calibration`, with the same model and "
    "patches."
)


def calibrated(counted: Counted, path: Path) -> Counted:
    """Learn how many blasts there are for each positive patch, and write it.

    Parameters
    ----------
    counted
        Slides on which a classifier of patches counted, and every blast is marked.
    path
        Of the calibration, for ``infer``.

    Returns
    -------
    The slides that it was learnt from, each with the blasts that the other patients, or slides, say of it.

    Raises
    ------
    UsageError
        They were counted otherwise, not by one model on one grid, are too few, or no blast is marked.
    """
    usable = _usable(counted)
    learnt = _learnt(usable.slides)
    make_folder(path.parent)
    write_presence_calibration(path, learnt)
    told = LEARNT.format(path, learnt.blasts.factor, len(usable.slides), learnt.blasts.groups)
    return Counted(tuple(_by_the_others(one, usable.slides) for one in usable.slides), usable.notes, told)


def _usable(counted: Counted) -> Counted:
    """Leave out slides that were read in part, or whose marks do not tell blasts from other white cells."""
    slides: list[CountedSlide] = []
    left: dict[str, list[str]] = {}
    for slide in counted.slides:
        report = slide.report
        if POSITIVE_PATCHES not in report.extra:
            msg = f"{report.slide_id} was counted by the method {report.method}, which leaves no positive patches to "
            raise UsageError(msg + "calibrate: count with `infer --method patches` and a classifier of patches")
        if report.status != DONE:
            left.setdefault("could be read in part alone", []).append(report.slide_id)
        elif slide.marked.count(WHITE_CELL):
            left.setdefault("have marked cells that are not told from blasts", []).append(report.slide_id)
        else:
            slides.append(slide)
    notes = (left_out(reason, names) for reason, names in left.items())
    return Counted(tuple(slides), (*counted.notes, *notes))


def _learnt(slides: Sequence[CountedSlide]) -> PresenceCalibration:
    groups = len({slide.group for slide in slides})
    if groups < LEAST_GROUPS:
        msg = f"a calibration takes marked slides of {LEAST_GROUPS} patients, or slides, or more: found {groups}"
        raise UsageError(msg)
    if not any(slide.marked_count(BLASTS) for slide in slides):
        msg = "a calibration of blasts takes slides on which blasts are marked: none is"
        raise UsageError(msg)
    first = slides[0].report
    wide, overlap = _grid(first)
    calibration = PresenceCalibration(first.weights_sha256, wide, overlap, _fit(slides))
    for slide in slides:
        refused = calibration.refuses(slide.report.weights_sha256, *_grid(slide.report))
        if refused is not None:
            msg = f"{slide.report.slide_id} was counted otherwise than {first.slide_id}, where {refused}"
            raise UsageError(msg)
    return calibration


def _by_the_others(one: CountedSlide, slides: Sequence[CountedSlide]) -> CountedSlide:
    others = _fit([other for other in slides if other.group != one.group])
    return replace(one, report=replace(one.report, blasts=others.interval(_positive(one))))


def _fit(slides: Sequence[CountedSlide]) -> CountCalibration:
    said, true = [_positive(slide) for slide in slides], [slide.marked_count(BLASTS) for slide in slides]
    return CountCalibration.fit(said, true, len({slide.group for slide in slides}))


def _positive(slide: CountedSlide) -> int:
    return int(slide.report.extra[POSITIVE_PATCHES])


def _grid(report: SlideReport) -> tuple[float, float]:
    return float(report.extra[PATCH_RED_CELLS]), float(report.extra[PATCH_OVERLAP])
