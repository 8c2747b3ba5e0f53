"""What ``infer`` counted against what people marked: cells, and slides."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import SlideError, UsageError
from wsi_patches.evaluate.detection import DetectionResult, FieldDetections, measure_detection
from wsi_patches.evaluate.domains import DOMAINS, domain_rows, write_domains
from wsi_patches.evaluate.gallery import DetectionError, detection_errors, detection_gallery
from wsi_patches.evaluate.result import Result
from wsi_patches.evaluate.slides import SlideCounts, measure_slides
from wsi_patches.evaluate.tables import write_table
from wsi_patches.geometry import Box
from wsi_patches.infer import diameter_of
from wsi_patches.outcome import Interval
from wsi_patches.slide import AS_IT_IS
from wsi_patches.slides.pool import borrow_slide, close_idle_slides
from wsi_patches.workflows.calibrate_presence import calibrated
from wsi_patches.workflows.counted import BLASTS, WHITE_CELLS, Counted, CountedSlide, detections, read_counted
from wsi_patches.workflows.evaluate_morphology import check_columns, domains_of, measured_attributes
from wsi_patches.workflows.evaluate_settings import EvaluateSettings
from wsi_patches.workflows.evaluation_files import PAGE, write_evaluation

__all__ = ["evaluate_counts"]

NEGATIVE_LABELS = {"healthy", "benign", "normal", "control", "negative", "hem", "hematogone", "hematogones"}
CROP_DIAMETERS = 2.5
CROP_PX = 120
"""Side of an error's picture where nothing says how large a cell is, level-0 pixels."""
SLIDES, ATTRIBUTES = "slides", "attributes"
ACROSS = "By the domain of the slides"


def evaluate_counts(settings: EvaluateSettings) -> tuple[dict[str, Result], dict[str, Path], tuple[str, ...]]:
    """Measure what a run of ``infer`` counted.

    Returns
    -------
    The results and their pages, by what was evaluated, and notes on what was left out.

    Raises
    ------
    UsageError
        No marks were given, or none is of a slide that was counted.
    """
    if settings.annotations is None:
        msg = f"{settings.source} holds counts: say with --annotations what people marked on the same slides"
        raise UsageError(msg)
    counted = read_counted(settings.source, settings.annotations, settings.group_rule())
    check_columns(settings, counted)
    if settings.write_calibration is not None:
        counted = calibrated(counted, settings.write_calibration)
    results: dict[str, Result] = {}
    pages: dict[str, Path] = {}
    notes = [one for one in (*counted.notes, counted.learnt) if one]
    if not counted.cells_were_found:
        notes.append("Patches were counted and no cells found, so whole slides alone are measured.")
    for target in counted.targets if counted.cells_were_found else ():
        results[target], pages[target] = _cells(settings, counted, target, notes)
    _add_attributes(settings, counted, results, pages)
    of_slides = _slides(settings, counted)
    if of_slides is not None:
        results[SLIDES] = of_slides
        title = f"Slides, {settings.source.name}"
        pages[SLIDES] = write_evaluation(settings.out / SLIDES, title, of_slides, details=_details(settings, counted))
    if not results:
        msg = (
            f"{settings.source} holds counts of patches, without blasts: there is nothing to hold against marked cells"
        )
        raise UsageError(msg)
    close_idle_slides()
    _remove_earlier(settings.out / name for name in (WHITE_CELLS, BLASTS, ATTRIBUTES, SLIDES) if name not in results)
    return results, pages, tuple(notes)


def _remove_earlier(folders: Iterable[Path]) -> None:
    """Remove what an earlier evaluation wrote of that which this one, which replaces it, does not measure."""
    for folder in folders:
        if (folder / PAGE).is_file():
            shutil.rmtree(folder)


def _cells(settings: EvaluateSettings, counted: Counted, target: str, notes: list[str]) -> tuple[DetectionResult, Path]:
    """Hold found cells against marked ones, and write that; a slide that cannot be read any more is noted."""
    fields = [detections(slide, target, settings.radius) for slide in counted.slides]
    result = measure_detection(
        fields, settings.threshold, draws=settings.draws, seed=settings.seed, group_kind=counted.group_kind
    )
    errors = detection_errors(fields, settings.threshold)
    gallery = detection_gallery(list(_crops(counted.slides, errors, notes)), errors)
    folder = settings.out / target
    title = f"{target.replace('_', ' ').capitalize()} found, {settings.source.name}"
    domains = domains_of(settings, counted, fields) if target == WHITE_CELLS else []
    tables = {ACROSS: domain_rows(domains)} if domains else {}
    page = write_evaluation(folder, title, result, gallery, details=_details(settings, counted), tables=tables)
    if domains:
        write_domains(folder / DOMAINS, domains)
    _write_fields(folder / "fields.csv", fields, result)
    return result, page


def _add_attributes(
    settings: EvaluateSettings, counted: Counted, results: dict[str, Result], pages: dict[str, Path]
) -> None:
    """Measure the attributes of the cells that were found and are marked, where any is told and known."""
    if not counted.cells_were_found:
        return
    fields = [detections(slide, WHITE_CELLS, settings.radius) for slide in counted.slides]
    result = measured_attributes(settings, counted, range(len(fields)), fields)
    if result is not None:
        title, details = f"Attributes of cells, {settings.source.name}", _details(settings, counted)
        results[ATTRIBUTES] = result
        pages[ATTRIBUTES] = write_evaluation(settings.out / ATTRIBUTES, title, result, details=details)


def _details(settings: EvaluateSettings, counted: Counted) -> dict[str, str]:
    methods = sorted({slide.report.method for slide in counted.slides})
    models = sorted({slide.report.model for slide in counted.slides} - {""})
    return {
        "Counted": f"{settings.source}, by the method {', '.join(methods)}",
        "Model": ", ".join(models) or "none",
        "Marked": str(settings.annotations),
        "A found cell is right": "when it lies in a marked box that no surer one has taken; of a marked point, when it "
        "is the surest near enough",
        **({"Calibrated": counted.learnt} if counted.learnt else {}),
        **({"Left out": " ".join(counted.notes)} if counted.notes else {}),
    }


def _write_fields(path: Path, fields: Sequence[FieldDetections], result: DetectionResult) -> None:
    rows = (
        [one.slide_id, one.group, found, true, int((one.above(result.threshold).assigned >= 0).sum())]
        for one, found, true in zip(fields, result.found.tolist(), result.true.tolist(), strict=True)
    )
    write_table(path, ["slide_id", "group", "found", "marked", "right"], rows)


def _crops(
    slides: Sequence[CountedSlide], errors: Sequence[DetectionError], notes: list[str]
) -> Iterator[NDArray[np.uint8]]:
    """Yield the picture around each error; a slide that cannot be read any more gives grey, and a note."""
    for error in errors:
        slide = slides[error.field]
        side = round(CROP_DIAMETERS * (diameter_of(slide.marked) or diameter_of(slide.found))) or CROP_PX
        try:
            with borrow_slide(slide.report.path, AS_IT_IS) as opened:
                yield opened.read(Box(round(error.x - side / 2), round(error.y - side / 2), side, side), 0)
        except SlideError as problem:
            notes.append(f"No picture of an error on {error.slide_id}: {problem}")
            yield np.full((CROP_PX, CROP_PX, 3), 128, np.uint8)


def _slides(settings: EvaluateSettings, counted: Counted) -> Result | None:
    """Measure the blasts of whole slides, and which of them are called leukemic; None where blasts were not told."""
    told = [slide for slide in counted.slides if slide.report.blasts is not None]
    if not told:
        return None
    true = None
    if BLASTS in counted.targets:
        true = np.array([slide.marked_count(BLASTS) for slide in told], np.float64)
    positive = _positive(told, settings.positive)
    if true is None and positive is None:
        return None
    intervals = [slide.report.blasts for slide in told if slide.report.blasts is not None]
    counts = SlideCounts(
        ids=np.array([slide.report.slide_id for slide in told], str),
        groups=np.array([slide.group for slide in told], str),
        predicted=_column(intervals, "value"),
        true=true,
        low=_column(intervals, "low"),
        high=_column(intervals, "high"),
        positive=positive,
    )
    return measure_slides(
        counts, settings.min_blasts, draws=settings.draws, seed=settings.seed, group_kind=counted.group_kind
    )


def _column(intervals: Sequence[Interval], name: str) -> NDArray[np.float64]:
    return np.array([getattr(interval, name) for interval in intervals], np.float64)


def _positive(slides: Sequence[CountedSlide], positive: tuple[str, ...]) -> NDArray[np.bool_] | None:
    """Return which slides are leukemic: by the labels that were given, or else all that is not called healthy."""
    labels = [slide.item.label for slide in slides]
    if any(label is None for label in labels):
        return None
    if positive:
        return np.array([label in positive for label in labels], bool)
    negative = [str(label).lower() in NEGATIVE_LABELS for label in labels]
    return ~np.array(negative, bool) if any(negative) and not all(negative) else None
