"""Patches of which a model says only whether they hold a blast: a rate, and a count where that grid was calibrated.

A patch with a blast may hold one or five, and where patches overlap one blast makes several of them positive: how many
blasts there are for each positive patch depends on the grid, and only marked slides that were cut alike can tell it.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, TypeAdapter, ValidationError

from wsi_patches.cells import ALL_IDB_CLASSES
from wsi_patches.counting import fraction_interval
from wsi_patches.counting.centred import patch_side
from wsi_patches.counting.cores import PatchCounts
from wsi_patches.errors import ModelError, ResolutionUnknown
from wsi_patches.grid import PatchGrid
from wsi_patches.infer.classify import engine_for
from wsi_patches.infer.counter_rows import red_cells_of
from wsi_patches.infer.finder import ChosenFinder
from wsi_patches.infer.patches import PATCHES
from wsi_patches.infer.slide_patches import PatchTable, SlidePatches, patches_of, slide_grid
from wsi_patches.infer.unlike import with_look
from wsi_patches.models.count_calibration import CountCalibration
from wsi_patches.models.reference import look_of
from wsi_patches.outcome import DONE, Interval, SlideReport
from wsi_patches.slide import Slide

if TYPE_CHECKING:
    from wsi_patches.models import CellClassifier

__all__ = [
    "PATCH_OVERLAP",
    "PATCH_RED_CELLS",
    "POSITIVE_PATCHES",
    "PresenceCalibration",
    "count_presence",
    "presence_patches",
    "presence_rows",
    "presence_scale",
    "read_presence_calibration",
    "write_presence_calibration",
]

BLAST = ALL_IDB_CLASSES[0]
POSITIVE = "positive"
POSITIVE_PATCHES, PATCH_RED_CELLS, PATCH_OVERLAP = "positive_patches", "patch_red_cells", "patch_overlap"
"""Figures of a report that a calibration is learnt from."""
OUTSIDE = 255
SAME = 0.02
"""Grids are one if size and overlap differ by no more than this share."""
RATE = (
    "The model says of a patch only whether it holds a blast. The rate of positive patches has Wilson's interval, for "
    "as many patches as would cover the slide once."
)
COUNTED = " The count was calibrated for this very grid on {groups} patients or slides."


@dataclass(frozen=True)
class PresenceCalibration:
    """How many blasts there are for each positive patch of one grid, for one model."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    weights_sha256: str
    """Of the model."""
    patch_red_cells: float
    """Side of a patch on the slide, in diameters of a red cell."""
    overlap: float
    """Share of a patch that its right neighbour repeats."""
    blasts: CountCalibration
    """From positive patches to blasts: `CountCalibration.fit(positive patches, blasts, groups)` over marked slides."""

    def refuses(self, model_sha256: str, patch_red_cells: float, overlap: float) -> str | None:
        """Return why it does not hold for other patches, in a sentence, or None where it holds."""
        if model_sha256 != self.weights_sha256:
            return "the calibration is of another model"
        far = abs(patch_red_cells / self.patch_red_cells - 1)
        if far > SAME or abs(overlap - self.overlap) > SAME:
            return (
                f"the calibration is for patches {self.patch_red_cells:.2f} red cells wide with an overlap of "
                f"{self.overlap:.2f}, and these are {patch_red_cells:.2f} wide with {overlap:.2f}"
            )
        return None


def read_presence_calibration(path: Path) -> PresenceCalibration:
    """Read what `write_presence_calibration` wrote.

    Raises
    ------
    ModelError
        The file cannot be read, or is no such calibration.
    """
    try:
        return TypeAdapter(PresenceCalibration).validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        msg = f"{path} cannot be used as the calibration of a patch classifier: {' '.join(str(error).split())}"
        raise ModelError(msg) from error


def write_presence_calibration(path: Path, calibration: PresenceCalibration) -> None:
    """Write a calibration as JSON."""
    path.write_text(json.dumps(asdict(calibration), indent=2) + "\n", encoding="utf-8")


def count_presence(
    slide: Slide,
    slide_id: str,
    classifier: CellClassifier,
    overlap: float | None = None,
    *,
    calibration: PresenceCalibration | None = None,
    finder: ChosenFinder | None = None,
    batch_size: int | None = None,
    table: PatchTable | None = None,
) -> tuple[SlideReport, PatchCounts]:
    """Say which patches of a slide hold a blast, and how many blasts that means if that is known.

    Parameters
    ----------
    slide
        The open slide, or a store's patches put together.
    slide_id
        Its name in the output.
    classifier
        Says of a patch whether it holds a blast: ``blast`` is one of its classes. Its card says how large patches are.
    overlap
        Share of a patch that its right neighbour repeats; 0 if None. Not for a store.
    calibration
        How many blasts a positive patch of this very grid means; without one, blasts stay None.
    finder
        Measures the cells of a slide that does not state its resolution; the shipped one if not given.
    batch_size
        How many patches are classified at a time; measured if not given.
    table
        Which of its patches are positive, as `presence_rows` returned it for all `presence_patches`, where that is
        known already.

    Returns
    -------
    The report, with the rate of positive patches under ``extra``, and the patches: 1 for a positive one.

    Raises
    ------
    ModelError
        The model does not tell blasts.
    ResolutionUnknown
        Nothing tells how large cells are.
    SlideError, UsageError
        As `count_patches`.
    """
    began, card = time.monotonic(), classifier.card
    red_px = presence_scale(slide, classifier, finder) if table is None else table.red_px
    patches = presence_patches(slide, classifier, red_px, overlap)
    positive = presence_rows(patches, classifier, batch_size=batch_size) if table is None else table.said
    report = _report(slide, slide_id, classifier, patches, float(positive.mean()))
    if card.reference is not None:
        report = with_look(report, slide, look_of(range(len(patches)), patches.read), card)
    wide = patches.side_px * patches.downsample / red_px
    report = _with_blasts(report, int(positive.sum()), wide, patches.overlap, calibration)
    extra = {**report.extra, PATCH_RED_CELLS: round(wide, 3), "seconds": round(time.monotonic() - began, 2)}
    return replace(report, extra=extra), patches.counted((POSITIVE,), positive)


def presence_scale(slide: Slide, classifier: CellClassifier, finder: ChosenFinder | None = None) -> float:
    """Return the diameter of a red cell of a slide whose patches are to be classified, level-0 pixels.

    Raises
    ------
    ModelError, ResolutionUnknown, UsageError
        As `count_presence`.
    """
    from wsi_patches.models.cell_finder import RED_CELL_UM

    card = classifier.card
    if BLAST not in card.classes:
        msg = f"model {card.name} tells {', '.join(card.classes)}, and none of them is {BLAST}"
        raise ModelError(msg)
    red_px = red_cells_of(slide, RED_CELL_UM, finder)
    if red_px is None:
        msg = f"{slide.info.path} does not state its resolution and no cell is seen on it: say it with --slide-mpp"
        raise ResolutionUnknown(msg)
    return red_px


def presence_patches(slide: Slide, classifier: CellClassifier, red_px: float, overlap: float | None) -> SlidePatches:
    """Return the patches of a slide that a classifier looks at; parameters are those of `count_presence`."""
    from wsi_patches.models.cell_scale import WHITE_OVER_RED

    card = classifier.card

    def grid() -> PatchGrid:
        side = patch_side(slide, card, WHITE_OVER_RED * red_px)
        downsample = max(slide.info.levels[0].downsample, side / card.input_px)
        return slide_grid(slide, max(1, round(side / downsample)), downsample, overlap or 0.0)

    return patches_of(slide, grid, overlap, OUTSIDE)


def presence_rows(
    patches: SlidePatches, classifier: CellClassifier, rows: range | None = None, batch_size: int | None = None
) -> NDArray[np.float64]:
    """Return 1.0 for each of some patches that hold a blast, as the model says, and 0.0 for the others, ``(k, 1)``.

    Raises
    ------
    SlideError, StoreError
        The pixels cannot be read.
    """
    rows = range(len(patches)) if rows is None else rows
    positive = np.zeros((len(rows), 1), np.float64)
    for batch in engine_for(classifier.runner, batch_size=batch_size).run(patches, np.arange(rows.start, rows.stop)):
        said = classifier.calibrated(batch.outputs)[:, classifier.card.classes.index(BLAST)]
        positive[batch.positions - rows.start, 0] = said >= 0.5
    return positive


def _report(slide: Slide, slide_id: str, classifier: CellClassifier, patches: SlidePatches, rate: float) -> SlideReport:
    card, interval = classifier.card, _rate(patches, rate)
    return SlideReport(
        slide_id=slide_id,
        path=slide.info.path,
        fingerprint=slide.info.fingerprint,
        status=DONE,
        patches=len(patches),
        coverage=patches.coverage,
        method=PATCHES,
        model=card.name,
        weights_sha256=classifier.sha256,
        interval_method=RATE,
        warnings=(f"model {card.name}: {card.limits}",) if card.limits else (),
        extra={
            "slide_mpp": slide.info.mpp,
            "slide_size_px": list(slide.info.size),
            "patch_px": patches.side_px,
            PATCH_OVERLAP: round(patches.overlap, 4),
            POSITIVE_PATCHES: round(rate * len(patches)),
            "positive_patch_rate": round(interval.value, 4),
            "positive_patch_rate_low": round(interval.low, 4),
            "positive_patch_rate_high": round(interval.high, 4),
        },
    )


def _rate(patches: SlidePatches, rate: float) -> Interval:
    """Return the share of positive patches; patches that overlap tell less than as many that do not."""
    apart = max(1, round(float(patches.cores.areas(len(patches)).sum()) / patches.side_px**2))
    told = fraction_interval(round(rate * apart), apart)
    return Interval(rate, min(rate, told.low), max(rate, told.high))


def _with_blasts(
    report: SlideReport, positive: int, wide: float, overlap: float, calibration: PresenceCalibration | None
) -> SlideReport:
    why = "no calibration for this grid was given"
    if calibration is not None:
        refused = calibration.refuses(report.weights_sha256, wide, overlap)
        if refused is None:
            told = COUNTED.format(groups=calibration.blasts.groups)
            return replace(
                report, blasts=calibration.blasts.interval(positive), interval_method=report.interval_method + told
            )
        why = refused
    warning = f"the model says only which patches hold a blast, and {why}: blasts are not counted"
    return replace(report, warnings=(*report.warnings, warning))
