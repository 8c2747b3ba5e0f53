"""The ways of counting a slide: cell by cell, patch by patch, or by boxes; one result of all."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from wsi_patches.cells import Cells
from wsi_patches.counting.centred import diameter_of
from wsi_patches.counting.cores import PatchCounts
from wsi_patches.errors import UsageError
from wsi_patches.imaging.sharpen import SharpenSettings
from wsi_patches.infer.classify import FINDER_SCORE, load_committee
from wsi_patches.infer.count import FOUND, Known, count_slide, started, with_focus
from wsi_patches.infer.detect import DETECTED, ChosenDetector, detect_cells, load_detector
from wsi_patches.infer.finder import load_finder
from wsi_patches.infer.intervals import with_found
from wsi_patches.infer.patches import PATCHES, count_patches
from wsi_patches.infer.presence import count_presence, read_presence_calibration
from wsi_patches.infer.unlike import with_likeness
from wsi_patches.models.table import DEFAULT_FINDER, MODELS
from wsi_patches.outcome import SlideReport
from wsi_patches.slide import Slide

if TYPE_CHECKING:
    from wsi_patches.models import CellClassifier
    from wsi_patches.models.committee import Committee
    from wsi_patches.models.counter import CellCounter

__all__ = ["METHODS", "Counted", "ModelChoice", "count_by"]

METHODS = (FOUND, PATCHES, DETECTED)


@dataclass(frozen=True)
class ModelChoice:
    """What slides are counted with: names and numbers, which a cluster can pickle.

    Raises
    ------
    UsageError
        A value is out of range, or does not go with the method.
    """

    method: str = FOUND
    """One of `METHODS`."""
    model: str | None = None
    """Name or file: of a classifier of cells; by ``patches`` of a counter or of a classifier of patches; by
    ``detector`` of a detector, the finder's boxes being taken without one."""
    ensemble: tuple[str, ...] = ()
    """Further classifiers, whose probabilities are averaged with the model's."""
    tta: int = 1
    """In how many views each cell is classified: 1, 2, 4 or 8."""
    finder: str = DEFAULT_FINDER
    device: str = "auto"
    precision: str = "auto"
    """Of the networks: bfloat16 where the hardware has it, or always ``fp32`` or ``bf16``."""
    backend: str = "torch"
    """What runs the classifier: ``torch``, ``openvino`` or ``onnx``."""
    compile: bool = False
    """Let torch.compile write the classifier's kernels: faster after the half minute that it takes."""
    batch_size: int | None = None
    """How many cells, or patches, are classified at a time; measured if not given."""
    sharpen: float | None = None
    """Sharpen a cell's patch before it is classified if its focus score is above this."""
    overlap: float | None = None
    """By ``patches``: the share of a patch that its neighbour repeats."""
    patch_calibration: Path | None = None
    """By ``patches`` with a classifier: a file that says how many blasts a positive patch of this very grid means."""

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            msg = f"method must be one of {', '.join(METHODS)}, found {self.method!r}"
            raise UsageError(msg)
        self._check_goes_with(FOUND, ensemble=self.ensemble, tta=self.tta != 1, sharpen=self.sharpen is not None)
        self._check_goes_with(PATCHES, overlap=self.overlap is not None, patch_calibration=self.patch_calibration)
        if self.ensemble and self.model is None:
            msg = "--ensemble adds to a --model: give one"
            raise UsageError(msg)
        if self.sharpen is not None:
            SharpenSettings(self.sharpen)

    def _check_goes_with(self, method: str, **asked: object) -> None:
        for name, is_asked in asked.items():
            if is_asked and self.method != method:
                msg = f"--{name.replace('_', '-')} goes with --method {method}, not with {self.method}"
                raise UsageError(msg)

    def committee(self) -> Committee | None:
        """Return the classifier of cells, None where none was given; each process loads it once."""
        if self.model is None:
            return None
        models = (self.model, *self.ensemble)
        how = (self.tta, self.device, self.precision, self.backend, self.batch_size)
        return load_committee(models, *how, compiled=self.compile)

    def weights_sha256(self) -> tuple[str, str]:
        """Return the hashes of the finder's weights and of the model's, empty where there are none.

        Raises
        ------
        ModelError, MissingExtra, UsageError
            One of them cannot be used.
        """
        if self.method == DETECTED:
            return "", self.detector().sha256
        finder = load_finder(self.finder, self.device, self.precision).sha256
        if self.method == PATCHES:
            return finder, self.patch_model().sha256
        committee = self.committee()
        return finder, "" if committee is None else committee.sha256

    def detector(self) -> ChosenDetector:
        """Return what finds cells with their boxes."""
        return load_detector(self.model or self.finder, self.device, self.precision)

    def patch_model(self) -> CellCounter | CellClassifier:
        """Return what counts patches.

        Raises
        ------
        UsageError
            No model was given.
        """
        if self.model is None:
            msg = "--method patches needs --model FILE: a counter, or a classifier of patches"
            raise UsageError(msg)
        return _patch_model(self.model, self.device, self.precision, self.backend, compiled=self.compile)


@dataclass(frozen=True)
class Counted:
    """What one slide came to."""

    report: SlideReport
    cells: Cells
    """Level-0 pixels; none by ``patches``, which counts and does not find."""
    patches: PatchCounts | None = None
    """What each patch counted in its core, by ``patches``."""


def count_by(
    choice: ModelChoice, slide: Slide, slide_id: str, marked: Cells | None = None, known: Known | None = None
) -> Counted:
    """Count one slide in the way that was chosen.

    Parameters
    ----------
    choice
        The way, and the models.
    slide
        The open slide, or a store's patches put together.
    slide_id
        Its name in the output.
    marked
        Cells that a person marked: they are counted, whatever the method.
    known
        The cells, if they were found already, and told where the method tells them.

    Raises
    ------
    SlideError
        The slide cannot be read.
    ModelError, UsageError
        The models cannot be used, or not on this slide.
    """
    if marked is not None or choice.method == FOUND:
        sharpen = None if choice.sharpen is None else SharpenSettings(choice.sharpen)
        finder = load_finder(choice.finder, choice.device, choice.precision)
        classifier = choice.committee() if choice.method == FOUND else None
        return Counted(*count_slide(slide, slide_id, classifier, sharpen, marked, finder, known))
    if choice.method == PATCHES:
        return _by_patches(choice, slide, slide_id)
    return _by_boxes(choice, slide, slide_id, known)


def _by_boxes(choice: ModelChoice, slide: Slide, slide_id: str, known: Known | None) -> Counted:
    began, chosen = time.monotonic(), choice.detector()
    told = known.told if known is not None else None
    cells, probabilities = told or detect_cells(slide, chosen.detector)
    report = with_focus(started(slide, slide_id, cells, DETECTED), slide, cells)
    if probabilities is None:
        report = replace(report, extra={**report.extra, "finder": chosen.name, "finder_sha256": chosen.sha256})
    if chosen.card is not None:
        report = with_likeness(report, slide, cells, chosen.card, diameter_of(cells))
    limits = "" if chosen.card is None else chosen.card.limits
    warnings = (*report.warnings, f"model {chosen.name}: {limits}") if limits else report.warnings
    report = replace(report, model=chosen.name, weights_sha256=chosen.sha256, warnings=warnings)
    scores = cells.attributes.get(FINDER_SCORE, cells.score)
    shift = 0.0 if chosen.card is None else chosen.card.slide_shift
    report = with_found(report, scores, probabilities, chosen.reliability, shift)
    return Counted(replace(report, extra={**report.extra, "seconds": round(time.monotonic() - began, 2)}), cells)


def _by_patches(choice: ModelChoice, slide: Slide, slide_id: str) -> Counted:
    finder, model = load_finder(choice.finder, choice.device, choice.precision), choice.patch_model()
    from wsi_patches.models.counter import CellCounter

    if isinstance(model, CellCounter):
        report, counted = count_patches(slide, slide_id, model, choice.overlap, finder=finder)
    else:
        told = choice.patch_calibration
        calibration = None if told is None else read_presence_calibration(told)
        report, counted = count_presence(
            slide,
            slide_id,
            model,
            choice.overlap,
            calibration=calibration,
            finder=finder,
            batch_size=choice.batch_size,
        )
    extra = {"finder": finder.name, "finder_sha256": finder.sha256} if slide.info.mpp is None else {}
    report = replace(report, extra={**report.extra, **extra})
    return Counted(report, Cells.at(np.empty((0, 2)), counted.class_names), counted)


@lru_cache(maxsize=2)
def _patch_model(
    model: str, device: str, precision: str, backend: str, *, compiled: bool
) -> CellCounter | CellClassifier:
    """Return a counter, or a classifier of patches, by what the file says that it is; each process loads it once."""
    from wsi_patches.models import CellClassifier
    from wsi_patches.models.counter import CellCounter
    from wsi_patches.models.weights import kind_of

    if model not in MODELS and Path(model).is_file() and kind_of(model) == "counter":
        return CellCounter.load(model, device, precision)
    return CellClassifier.load(model, device, precision, backend, compiled=compiled)
