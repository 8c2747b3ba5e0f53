"""What a worker does with one slide: count it and write everything under its folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from wsi_patches.annotations import AnnotationFile, write_dicom
from wsi_patches.cells import Cells
from wsi_patches.executors.base import TASK_ERRORS
from wsi_patches.geometry import Box
from wsi_patches.infer import ModelChoice, PatchTable, count_by
from wsi_patches.infer.count import Known
from wsi_patches.locations import is_remote, path_of
from wsi_patches.outcome import FAILED, PARTIAL, Outcome, SlideReport
from wsi_patches.report import cut_galleries, overview, write_slide_report
from wsi_patches.report.files import DICOM_CELLS
from wsi_patches.slide import AS_IT_IS, ReadOptions
from wsi_patches.slides import ForgivingSlide, open_as
from wsi_patches.slides.dicom import finest_of
from wsi_patches.stores import MosaicSlide, shared_store
from wsi_patches.stores.files import replacing
from wsi_patches.workflows.review import digest_of, read_marks

__all__ = [
    "NO_CELLS",
    "NO_DICOM",
    "InferTask",
    "failed_report",
    "infer_slide",
    "infer_slides",
    "lost_slide",
    "needs_of",
]

HOLES_NAMED = 5
NO_DICOM = "the slide is no DICOM file here, so its cells are not written as DICOM annotations"
NO_CELLS = "no cell is marked, so there are no DICOM annotations"
"""Warnings, by which a later run knows that there is nothing to be written."""


@dataclass(frozen=True)
class InferTask:
    """One slide to count: names and numbers, no pixels and no handles."""

    path: str
    """The slide's file, or the store that holds its patches."""
    slide_id: str
    out: str
    """The slide's own output folder."""
    in_store: bool = False
    group: str | None = None
    group_kind: str | None = None
    """Whether the group is a patient or a slide."""
    options: ReadOptions = AS_IT_IS
    """How to open the slide."""
    models: ModelChoice = field(default_factory=ModelChoice)
    marks: tuple[AnnotationFile, ...] = ()
    """Cells that a person marked: counted as they are."""
    warnings: tuple[str, ...] = ()
    dicom: bool = False
    """Write the cells as DICOM annotations too."""
    pixels: int = 0
    """Of level 0: how much work it is."""
    known: Known | None = None
    """Its cells, where several workers found them."""
    table: PatchTable | None = None
    """What a model says of its patches, where several workers asked it."""
    holes: tuple[Box, ...] = ()
    """What these could not read."""

    @property
    def dicom_source(self) -> Path | None:
        """The file that DICOM annotations of its cells refer to; None where the slide is no DICOM file here."""
        return None if self.in_store or is_remote(self.path) else finest_of(Path(self.path))

    @property
    def has_dicom(self) -> bool:
        """Whether its cells lie there as DICOM annotations."""
        return (path_of(self.out) / DICOM_CELLS).is_file()


def needs_of(task: InferTask) -> Mapping[str, float]:
    """Return what a worker must have for a slide: a GPU, unless the processor was asked for."""
    return {} if task.models.device == "cpu" else {"GPU": 1}


def infer_slides(tasks: tuple[InferTask, ...]) -> list[SlideReport]:
    """Count some slides one after the other; what a worker does. One that fails is reported and stops no other."""
    reports = []
    for task in tasks:
        try:
            reports.append(infer_slide(task))
        except TASK_ERRORS as error:
            reports.append(lost_slide(task, error))
    return reports


def infer_slide(task: InferTask) -> SlideReport:
    """Count one slide and write everything under its folder; what a worker does.

    Raises
    ------
    SlideError
        The slide cannot be read.
    ModelError
        The model cannot be used for cells.
    """
    with _open(task) as slide:
        marked = read_marks(task.marks, slide.info.size) if task.marks else None
        counted = count_by(task.models, slide, task.slide_id, marked, task.known, task.table)
        picture, downsample = overview(slide)
        galleries = cut_galleries(slide, counted.cells, counted.patches)
        if isinstance(slide, ForgivingSlide):
            slide.add_holes(task.holes)
            slide.check()
        coverage = counted.report.coverage if counted.patches is not None else slide.coverage()
        report = _with_holes(replace(counted.report, coverage=coverage), slide.holes)
        notes = slide.info.notes
    if task.models.sharpen is not None:
        softer = task.models.sharpen
        notes = (*notes, f"patches of a focus score above {softer:g} were sharpened before they were classified")
    warnings = (*task.warnings, *notes, *report.warnings)
    extra = {**report.extra, "slide_mpp_stated_by_user": task.options.mpp is not None}
    if task.group_kind is not None:
        extra["group_kind"] = task.group_kind
    if task.marks:
        extra["marks"], extra["marks_sha256"] = [file.path for file in task.marks], digest_of(task.marks)
    (path_of(task.out) / DICOM_CELLS).unlink(missing_ok=True)  # an earlier run's, whose cells may be others
    if task.dicom:
        warnings = (*warnings, *_write_dicom(task, counted.cells))
    report = replace(report, group=task.group, warnings=warnings, extra=extra)
    write_slide_report(path_of(task.out), report, counted.cells, picture, downsample, counted.patches, galleries)
    return report


def _open(task: InferTask) -> MosaicSlide | ForgivingSlide:
    if task.in_store:
        return MosaicSlide(shared_store(task.path), task.slide_id)
    return ForgivingSlide(open_as(task.path, task.options))


def _write_dicom(task: InferTask, cells: Cells) -> list[str]:
    """Write the cells as DICOM annotations where the slide is DICOM and has cells; say why where they are not."""
    source = task.dicom_source
    if source is None:
        return [NO_DICOM]
    if not len(cells):
        return [NO_CELLS]
    path_of(task.out).mkdir(parents=True, exist_ok=True)
    with replacing(path_of(task.out) / DICOM_CELLS) as partial:
        write_dicom(partial, cells, source)
    return []


def _with_holes(report: SlideReport, holes: list[Box]) -> SlideReport:
    """Say in a report what could not be read."""
    if not holes:
        return report
    where = ", ".join(f"({hole.x}, {hole.y})" for hole in holes[:HOLES_NAMED])
    more = f" and {len(holes) - HOLES_NAMED} more" if len(holes) > HOLES_NAMED else ""
    warning = f"{len(holes)} places could not be read, and cells there are not counted: at {where}{more}"
    extra = {**report.extra, "unreadable_places": [list(hole) for hole in holes]}
    return replace(report, status=PARTIAL, patches_failed=len(holes), warnings=(*report.warnings, warning), extra=extra)


def failed_report(outcome: Outcome, group: str | None = None, group_kind: str | None = None) -> SlideReport:
    """Return the report of a slide that could not be counted; its patient is told of it where one is known."""
    extra = {} if group_kind is None else {"group_kind": group_kind}
    return SlideReport(outcome.slide_id, outcome.path, FAILED, group=group, error=outcome.error, extra=extra)


def lost_slide(task: InferTask, error: BaseException) -> SlideReport:
    """Return the report of a slide whose task failed."""
    return failed_report(Outcome.failed(task.slide_id, task.path, error), task.group, task.group_kind)
