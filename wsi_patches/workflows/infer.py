"""``wsi-patches infer``: slides into counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from wsi_patches.annotations import AnnotationFile
from wsi_patches.datasets import Found, annotations_of, find_inputs, safe_id, with_groups
from wsi_patches.errors import UsageError
from wsi_patches.executors import make_executor
from wsi_patches.geometry import Box
from wsi_patches.imaging.sharpen import SharpenSettings
from wsi_patches.infer import FOUND, count_slide, load_classifier, load_finder
from wsi_patches.models.table import DEFAULT_FINDER
from wsi_patches.outcome import FAILED, PARTIAL, Outcome, SlideReport
from wsi_patches.pipeline import Progress, Stage, run
from wsi_patches.report import overview, read_report, remove_slide_reports, write_counts, write_slide_report
from wsi_patches.slide import AS_IT_IS, ReadOptions
from wsi_patches.slides import ForgivingSlide, open_as
from wsi_patches.slides.pool import close_idle_slides
from wsi_patches.stores import MosaicSlide, is_store, open_store, shared_store
from wsi_patches.workflows.infer_settings import InferSettings
from wsi_patches.workflows.look import Looked, look_at
from wsi_patches.workflows.output import Existing, check_output, make_folder
from wsi_patches.workflows.review import digest_of, read_marks

__all__ = ["InferPlan", "InferResult", "InferSettings", "infer", "plan_infer"]

COUNTS = "counts.csv"
HOLES_NAMED = 5
NO_MODEL = (
    "No model was given, so white cells are counted and blasts cannot be told: the blast columns stay empty. "
    "Give a cell classifier with --model."
)


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
    model: str | None = None
    """Name or file of a cell classifier."""
    finder: str = DEFAULT_FINDER
    device: str = "auto"
    precision: str = "auto"
    sharpen: float | None = None
    marks: tuple[AnnotationFile, ...] = ()
    """Cells that a person marked: counted as they are."""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Weights:
    """SHA-256 of the weights that a run counts with, empty where there are none."""

    finder: str
    classifier: str

    def are_those_of(self, report: SlideReport) -> bool:
        """Tell whether an earlier report was made with them; marked cells need no finder."""
        finder = report.extra.get("finder_sha256", "") if report.method == FOUND else self.finder
        return (finder, report.weights_sha256) == (self.finder, self.classifier)


@dataclass(frozen=True)
class InferPlan:
    """What would be done."""

    tasks: tuple[InferTask, ...]
    failed: tuple[Outcome, ...]
    """Slides that cannot be opened."""
    kept: tuple[SlideReport, ...]
    """Slides whose report is already there."""
    order: tuple[str, ...]
    """Ids of all slides in input order."""
    notes: tuple[str, ...] = ()
    """What is wrong with the datasets that were named, beside their slides."""


@dataclass(frozen=True)
class InferResult:
    """What was done."""

    out: Path
    counts: Path
    reports: tuple[SlideReport, ...]
    """One for each slide in input order, failed ones included."""
    notes: tuple[str, ...] = ()
    """Sentences about the whole run."""

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """The reports as outcomes."""
        return tuple(report.outcome for report in self.reports)


def infer(settings: InferSettings, progress: Progress | None = None) -> InferResult:
    """Count the white cells, and with a model the blasts, of every slide.

    Raises
    ------
    UsageError
        What was asked cannot be done; nothing was written.
    ModelError
        The model cannot be used.
    """
    executor = make_executor(settings.workers, settings.cluster)
    plan = plan_infer(settings, _weights(settings))
    if settings.overwrite and settings.out.exists():
        remove_slide_reports(settings.out)
    make_folder(settings.out)
    counts = settings.out / COUNTS
    rejected = [_failed(outcome) for outcome in plan.failed]
    # The table is there from the start, so that a run that is killed still shows what it had and what it is.
    write_counts(counts, _ordered(plan, [*plan.kept, *rejected]))
    stage = Stage("infer", infer_slide, _lost)
    reports = run(stage, plan.tasks, executor, progress)
    ordered = _ordered(plan, [*plan.kept, *reports, *rejected])
    write_counts(counts, ordered)
    notes = (*plan.notes, *(() if settings.model else (NO_MODEL,)))
    return InferResult(settings.out, counts, tuple(ordered), notes)


def infer_slide(task: InferTask) -> SlideReport:
    """Count one slide and write everything under its folder; what a worker does.

    Raises
    ------
    SlideError
        The slide cannot be read.
    ModelError
        The model cannot be used for cells.
    """
    classifier = load_classifier(task.model, task.device) if task.model is not None else None
    with _open(task) as slide:
        sharpen = None if task.sharpen is None else SharpenSettings(task.sharpen)
        marked = read_marks(task.marks, slide.info.size) if task.marks else None
        finder = load_finder(task.finder, task.device, task.precision)
        report, cells = count_slide(slide, task.slide_id, classifier, sharpen, marked, finder)
        picture, downsample = overview(slide)
        if isinstance(slide, ForgivingSlide):
            slide.check()
        report = _with_holes(replace(report, coverage=slide.coverage()), slide.holes)
        notes = slide.info.notes
    warnings = (*task.warnings, *notes, *report.warnings)
    if task.sharpen is not None:
        notes = (*notes, f"patches of a focus score above {task.sharpen:g} were sharpened before they were classified")
    extra = {**report.extra, "slide_mpp_stated_by_user": task.options.mpp is not None}
    if task.group_kind is not None:
        extra["group_kind"] = task.group_kind
    if task.marks:
        extra["marks"], extra["marks_sha256"] = [file.path for file in task.marks], digest_of(task.marks)
    report = replace(report, group=task.group, warnings=warnings, extra=extra)
    write_slide_report(Path(task.out), report, cells, picture, downsample)
    return report


def _open(task: InferTask) -> MosaicSlide | ForgivingSlide:
    if task.in_store:
        return MosaicSlide(shared_store(task.path), task.slide_id)
    return ForgivingSlide(open_as(task.path, task.options))


def _with_holes(report: SlideReport, holes: list[Box]) -> SlideReport:
    """Say in a report what could not be read."""
    if not holes:
        return report
    where = ", ".join(f"({hole.x}, {hole.y})" for hole in holes[:HOLES_NAMED])
    more = f" and {len(holes) - HOLES_NAMED} more" if len(holes) > HOLES_NAMED else ""
    warning = f"{len(holes)} places could not be read, and cells there are not counted: at {where}{more}"
    extra = {**report.extra, "unreadable_places": [list(hole) for hole in holes]}
    return replace(report, status=PARTIAL, patches_failed=len(holes), warnings=(*report.warnings, warning), extra=extra)


def _ordered(plan: InferPlan, reports: Sequence[SlideReport]) -> list[SlideReport]:
    position = {slide_id: row for row, slide_id in enumerate(plan.order)}
    return sorted(reports, key=lambda report: position[report.slide_id])


def _failed(outcome: Outcome) -> SlideReport:
    return SlideReport(outcome.slide_id, outcome.path, FAILED, error=outcome.error)


def _lost(task: InferTask, error: BaseException) -> SlideReport:
    return _failed(Outcome.failed(task.slide_id, task.path, error))


def _weights(settings: InferSettings) -> Weights:
    """Return the hashes of what was asked for, or say why it cannot be used."""
    finder = load_finder(settings.finder, settings.device, settings.precision)
    classifier = load_classifier(settings.model, settings.device) if settings.model is not None else None
    return Weights(finder.sha256, classifier.sha256 if classifier is not None else "")


def plan_infer(settings: InferSettings, weights: Weights | None = None) -> InferPlan:
    """Look at every slide, without writing anything.

    Parameters
    ----------
    settings
        What was asked.
    weights
        A slide that an earlier run counted with others is counted again; by default what is asked for.

    Raises
    ------
    UsageError
        What was asked cannot be done.
    """
    existing = Existing(settings.resume, settings.overwrite)
    ours = (settings.out / COUNTS).is_file()
    there = check_output(settings.out, existing, ours=ours, what="the counts of wsi-patches infer")
    stores = [path for path in settings.inputs if path.is_dir() and is_store(path)]
    files = [path for path in settings.inputs if path not in stores]
    inputs = find_inputs(files) if files else Found(())
    items = with_groups(inputs.items, settings.group_rule())
    done = _reports(settings.out, weights or _weights(settings)) if there and settings.resume else {}
    known = {name: (report.path, report.fingerprint) for name, report in done.items()}
    looked = look_at(items, options=settings.read_options(), known=known)
    close_idle_slides()  # tasks open their own, forgiving ones
    tasks = [_task(one, settings) for one in looked if one.error is None]
    tasks += _store_tasks(stores, settings, taken={one.slide_id for one in looked})
    failed = tuple(one.outcome for one in looked if one.error is not None)
    if settings.annotations is not None:
        tasks = [_marked(task, settings.annotations) for task in tasks]
    done = {name: report for name, report in done.items() if name in _unchanged(tasks, done)}
    kept = tuple(done[task.slide_id] for task in tasks if task.slide_id in done)
    order = (*(one.slide_id for one in looked), *(task.slide_id for task in tasks if task.in_store))
    return InferPlan(tuple(task for task in tasks if task.slide_id not in done), failed, kept, order, inputs.problems)


def _marked(task: InferTask, folder: Path) -> InferTask:
    marks = annotations_of(folder, task.slide_id, Path(task.path).stem)
    if marks:
        return replace(task, marks=marks)
    warning = f"no annotation file named {task.slide_id} in {folder}: its cells were found, not marked by a person"
    return replace(task, warnings=(*task.warnings, warning))


def _unchanged(tasks: Sequence[InferTask], done: Mapping[str, SlideReport]) -> set[str]:
    """Return the slides of an earlier run whose marks are still the same."""
    known = {name: report.extra.get("marks_sha256", "") for name, report in done.items()}
    return {task.slide_id for task in tasks if known.get(task.slide_id) == digest_of(task.marks)}


def _reports(out: Path, weights: Weights) -> dict[str, SlideReport]:
    """Return the reports of an earlier run that used the same weights."""
    reports = (read_report(folder) for folder in sorted(out.iterdir()) if folder.is_dir())
    return {one.slide_id: one for one in reports if one is not None and weights.are_those_of(one)}


def _task(one: Looked, settings: InferSettings) -> InferTask:
    return InferTask(
        path=one.item.path,
        slide_id=one.slide_id,
        out=str(settings.out / one.slide_id),
        group=one.item.group,
        group_kind=one.item.group_kind,
        options=settings.read_options(),
        **_models(settings),
    )


def _models(settings: InferSettings) -> dict[str, Any]:
    """Return what a task knows of the models."""
    return {name: getattr(settings, name) for name in ("model", "finder", "device", "precision", "sharpen")}


def _store_tasks(stores: Sequence[Path], settings: InferSettings, taken: set[str]) -> list[InferTask]:
    tasks = []
    for path in stores:
        for record in open_store(path).slides:
            if safe_id(record.id) != record.id:
                msg = f"{path} calls a slide {record.id!r}, no name for a folder: it was not made by this program"
                raise UsageError(msg)
            if record.id in taken:
                msg = f"slide {record.id} of {path} has the id of another input: count stores and slides apart"
                raise UsageError(msg)
            taken.add(record.id)
            warnings = (f"counted on the patches of {path.name}, not on the slide itself",)
            out = str(settings.out / record.id)
            task = InferTask(str(path), record.id, out, in_store=True, warnings=warnings)
            task = replace(task, group=record.group, group_kind=record.group_kind)
            tasks.append(replace(task, **_models(settings)))
    return tasks
