"""What ``infer`` counted, slide by slide, beside what a person marked there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsi_patches.annotations import BOX_COLUMNS, boxes_of, read_annotations, read_geojson, rename_classes
from wsi_patches.annotations.regions import Regions, regions_of
from wsi_patches.annotations.words import BLAST_CLASSES, NOT_WHITE_CELLS, our_class
from wsi_patches.cells import ALL_IDB_CLASSES, Cells
from wsi_patches.counting.matching import assign_points_to_boxes, assign_points_to_points
from wsi_patches.datasets import GroupRule, SlideItem, annotations_of, recognise, with_groups
from wsi_patches.errors import AnnotationError, UsageError
from wsi_patches.evaluate.detection import FieldDetections
from wsi_patches.geometry import Size
from wsi_patches.infer import FINDER_SCORE, PATCHES, diameter_of
from wsi_patches.outcome import FAILED, SlideReport
from wsi_patches.report import read_report
from wsi_patches.slides import open_slide

__all__ = ["BLASTS", "WHITE_CELLS", "Counted", "CountedSlide", "detections", "left_out", "of_target", "read_counted"]

WHITE_CELLS, BLASTS = "white_cells", "blasts"
"""What is evaluated: every white cell, and, where found and marked cells say which they are, the blasts."""
CELLS = "cells.geojson"
NAMED = 5


@dataclass(frozen=True)
class CountedSlide:
    """One slide that was counted and marked."""

    report: SlideReport
    found: Cells
    """Empty where patches were counted."""
    marked: Cells
    """With our class names."""
    item: SlideItem
    regions: Regions = field(default_factory=Regions.none)
    """Where the marks say that nobody knows."""

    @property
    def known(self) -> Cells:
        """The found cells but those of which nobody knows whether they are any: in a region, and in no marked box."""
        unknown = self.regions.unknown(self.found.xy)
        if unknown.any() and set(BOX_COLUMNS) <= set(self.marked.attributes):
            boxes = Regions(boxes_of(of_target(self.marked, WHITE_CELLS)), np.empty((0, 4)))
            unknown[unknown] = ~boxes.unknown(self.found.xy[unknown])
        return self.found.take(~unknown)

    @property
    def group(self) -> str:
        """The patient or slide that it is of; itself where nobody says."""
        return self.item.group or self.report.group or self.report.slide_id

    def marked_count(self, target: str) -> int:
        """Return how many cells of a target are marked."""
        return len(of_target(self.marked, target))


@dataclass(frozen=True)
class Counted:
    """All slides of a run that can be evaluated."""

    slides: tuple[CountedSlide, ...]
    notes: tuple[str, ...]
    """What was left out, and why."""
    learnt: str = ""
    """What was learnt from them, where their blasts are by a calibration of each other."""

    @property
    def cells_were_found(self) -> bool:
        """Whether cells can be held against marked ones: patches are counted without finding any."""
        return all(one.report.method != PATCHES for one in self.slides)

    @property
    def group_kind(self) -> str:
        """What the groups are: patients if all are, else slides."""
        return "patient" if all(one.item.group_kind == "patient" for one in self.slides) else "slide"

    @property
    def targets(self) -> tuple[str, ...]:
        """What can be evaluated."""
        told = any(one.report.blasts is not None for one in self.slides)
        marked = any(name in {*BLAST_CLASSES, "other"} for one in self.slides for name in one.marked.class_names)
        return (WHITE_CELLS, BLASTS) if told and marked else (WHITE_CELLS,)


def read_counted(counts: Path, annotations: Path, rule: GroupRule) -> Counted:
    """Read the slides of an output of ``infer`` and the marks on them.

    Parameters
    ----------
    counts
        The output folder.
    annotations
        A dataset's folder, or a folder of annotation files named as the slides.
    rule
        Where groups come from that no layout states.

    Raises
    ------
    UsageError
        No slide was both counted and marked.
    """
    reports = [one for folder in sorted(counts.iterdir()) if folder.is_dir() and (one := read_report(folder))]
    items = _marked_items(annotations, reports, rule)
    slides: list[CountedSlide] = []
    left: dict[str, list[str]] = {}
    for report in reports:
        item = items.get(report.slide_id)
        if report.status == FAILED or item is None:
            reason = "failed" if report.status == FAILED else f"have no marks in {annotations}"
            left.setdefault(reason, []).append(report.slide_id)
            continue
        try:
            slides.append(_counted(counts, report, item))
        except AnnotationError as error:
            left.setdefault(f"have marks that cannot be read ({error})", []).append(report.slide_id)
    notes = tuple(left_out(reason, names) for reason, names in left.items())
    if not slides:
        msg = f"no slide in {counts} has marks in {annotations}: {' '.join(notes) or 'no slide was counted'}"
        raise UsageError(msg)
    return Counted(tuple(slides), notes)


def left_out(reason: str, names: list[str]) -> str:
    """Return a note on slides that were left out."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{len(names)} slides left out, since they {reason}: {', '.join(names[:NAMED])}{more}."


def _marked_items(folder: Path, reports: Sequence[SlideReport], rule: GroupRule) -> dict[str, SlideItem]:
    """Return, by slide id, what marks there are: of a dataset's own images, or of files named as the slides."""
    known = recognise(folder) if folder.is_dir() else None
    items = [item for item in known[0].read(known[1]).items if item.annotations] if known is not None else []
    if items:
        found = _of_dataset(items, reports)
    else:
        found = {report.slide_id: item for report in reports if (item := _of_files(folder, report)) is not None}
    return dict(zip(found, with_groups(list(found.values()), rule), strict=True))


def _of_dataset(items: Sequence[SlideItem], reports: Sequence[SlideReport]) -> dict[str, SlideItem]:
    """Find the slides that were counted among a dataset's: the same file, or else one whose name only one has."""
    by_file = {Path(item.path).resolve(): item for item in items}
    of_stem = Counter(Path(item.path).stem for item in items)
    by_stem = {stem: item for item in items if of_stem[stem := Path(item.path).stem] == 1}
    found: dict[str, SlideItem] = {}
    for report in reports:
        item = by_file.get(Path(report.path).resolve()) or by_stem.get(Path(report.path).stem)
        if item is not None:
            found[report.slide_id] = item
    return found


def _of_files(folder: Path, report: SlideReport) -> SlideItem | None:
    files = annotations_of(folder, report.slide_id, Path(report.path).stem, slide=report.path)
    kind = report.extra.get("group_kind") if report.group else None
    return SlideItem(report.path, files, group=report.group, group_kind=kind) if files else None


def _counted(counts: Path, report: SlideReport, item: SlideItem) -> CountedSlide:
    marked = rename_classes(read_annotations(item.annotations, None, _size(report)), our_class)
    none = Cells.at(np.empty((0, 2)), ALL_IDB_CLASSES)
    found = none if report.method == PATCHES else read_geojson(counts / report.slide_id / CELLS)
    return CountedSlide(report, found, marked, item, regions_of(marked, item.annotations[0].path))


def _size(report: SlideReport) -> Size:
    """Return a slide's size at level 0, as its report has it, or as the slide itself says."""
    known = report.extra.get("slide_size_px")
    if known is not None:
        return Size(*known)
    with open_slide(report.path) as slide:
        return slide.info.size


def detections(slide: CountedSlide, target: str, radius_px: float | None = None) -> FieldDetections:
    """Return the found cells of one slide, each with the marked cell that it took.

    Parameters
    ----------
    slide
        What was found and marked.
    target
        `WHITE_CELLS` or `BLASTS`.
    radius_px
        How far from a marked point a found cell may lie, level-0 pixels, where marks are no boxes; a mark's own radius,
        or else that of the found cells, if not given.

    Raises
    ------
    UsageError
        The marks are points, and nothing says how large a cell is.
    """
    found, marked = of_target(slide.known, target), of_target(slide.marked, target)
    scores = _scores(found, target)
    if len(marked) and set(BOX_COLUMNS) <= set(marked.attributes):
        truth = boxes_of(marked)
        assigned = assign_points_to_boxes(found.xy, scores, truth)
    else:
        radius = _radius(slide, marked, radius_px) if len(marked) else np.empty(0)
        assigned, truth = assign_points_to_points(found.xy, scores, marked.xy, radius), marked.xy
    return FieldDetections(slide.report.slide_id, slide.group, found.xy, scores, assigned, truth)


def _scores(found: Cells, target: str) -> NDArray[np.float64]:
    """Return how sure it is that each found cell is one: of white cells the finder's score, where a model told more."""
    if target == WHITE_CELLS and FINDER_SCORE in found.attributes:
        scores = np.asarray(found.attributes[FINDER_SCORE], np.float64)
        return np.where(np.isfinite(scores), scores, found.score)
    return found.score.astype(np.float64)


def of_target(cells: Cells, target: str) -> Cells:
    """Return the cells that are evaluated: all white cells, or the blasts among them."""
    names = cells.class_names
    wanted = [name not in NOT_WHITE_CELLS if target == WHITE_CELLS else name in BLAST_CLASSES for name in names]
    return cells.take(np.array(wanted, bool)[cells.class_index])


def _radius(slide: CountedSlide, marked: Cells, radius_px: float | None) -> NDArray[np.float64]:
    """Return how far from each marked point a found cell may lie, shape ``(n,)``."""
    if radius_px is not None:
        return np.full(len(marked), radius_px)
    own = np.asarray(marked.attributes.get("radius_px", np.full(len(marked), np.nan)), np.float64)
    usual = diameter_of(slide.marked) or diameter_of(slide.found)
    if not usual and not np.isfinite(own).all():
        msg = (
            f"the marks on {slide.report.slide_id} are points and nothing says how large a cell is: give --radius, "
            "how many pixels a found cell may lie from a mark"
        )
        raise UsageError(msg)
    return np.where(np.isfinite(own) & (own > 0), own, usual / 2)
