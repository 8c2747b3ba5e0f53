"""One centred patch for each cell, and what a model says of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wsi_patches.cells import ALL_IDB_CLASSES, Cells
from wsi_patches.counting.centred import centred_patch, patch_side
from wsi_patches.imaging.painted_outside import paint_outside
from wsi_patches.imaging.sharpen import SharpenSettings
from wsi_patches.infer.masked import NUCLEUS_SEEN, NucleiLooked
from wsi_patches.infer.types import are_blasts, tells_types, type_columns
from wsi_patches.slide import Slide

if TYPE_CHECKING:
    from wsi_patches.infer.engine import Engine
    from wsi_patches.models import CellClassifier
    from wsi_patches.models.backends import Backend
    from wsi_patches.models.committee import Committee

__all__ = ["FINDER_SCORE", "CellPatches", "classify_cells", "engine_for", "load_classifier", "load_committee"]

FINDER_SCORE = "finder_score"
"""The attribute that keeps how sure the finder was, when the score becomes that of the class."""


@lru_cache(maxsize=16)
def load_classifier(
    model: str, device: str = "auto", precision: str = "auto", backend: str = "torch", *, compiled: bool = False
) -> CellClassifier:
    """Return a cell classifier; each process loads it once.

    Parameters
    ----------
    model
        Name of a shipped model, or a weight file.
    device, precision, backend, compiled
        Where, in which arithmetic and by what its network is run; see `CellClassifier`.

    Raises
    ------
    ModelError
        There is no such model, or it does not tell blasts from other white cells: neither its classes nor its card say
        which of its types are blasts.
    MissingExtra
        The backend's library is not installed.
    UsageError
        The device is not there, or the backend does not have it or the precision.
    """
    from wsi_patches.models import CellClassifier

    classifier = CellClassifier.load(model, device, precision, backend, compiled=compiled, paint=paint_outside)
    are_blasts(classifier.card, model)  # refuses one that cannot say
    return classifier


@lru_cache(maxsize=2)
def load_committee(
    models: tuple[str, ...],
    views: int = 1,
    device: str = "auto",
    precision: str = "auto",
    backend: str = "torch",
    batch_size: int | None = None,
    *,
    compiled: bool = False,
) -> Committee:
    """Return classifiers whose probabilities are averaged, each patch seen in several views.

    Parameters
    ----------
    models
        Names or files, one or more.
    views
        One of `wsi_patches.models.committee.VIEWS`.
    device, precision, backend, compiled
        As `load_classifier` takes them.
    batch_size
        How many patches go through the networks at a time; measured if None.

    Raises
    ------
    ModelError, MissingExtra, UsageError
        As of `load_classifier`; or the models do not go together.
    """
    from wsi_patches.models.committee import Committee

    loaded = [load_classifier(model, device, precision, backend, compiled=compiled) for model in models]
    return Committee(tuple(loaded), views, batch_size)


@dataclass(frozen=True)
class CellPatches:
    """One patch around each cell of a slide, for an `Engine` to read."""

    slide: Slide
    """Safe to be read in several threads, as all are."""
    cells: Cells
    """Their centres, level-0 pixels."""
    side: float
    """Of a patch, level-0 pixels."""
    input_px: int
    """Side of what is read, in pixels."""

    def __len__(self) -> int:
        return len(self.cells)

    def read(self, positions: ArrayLike) -> NDArray[np.uint8]:
        """Return the patches at ``positions``, uint8 RGB ``(n, input_px, input_px, 3)``.

        Raises
        ------
        SlideError
            The pixels cannot be read.
        """
        rows, x, y = np.asarray(positions, np.int64).tolist(), self.cells.x, self.cells.y
        return np.stack([centred_patch(self.slide, x[row], y[row], self.side, self.input_px) for row in rows])


def engine_for(backend: Backend, sharpen: SharpenSettings | None = None, batch_size: int | None = None) -> Engine:
    """Return what runs a network; kept for the next slide, so that the batch size is found once."""
    return _engine(backend, sharpen, batch_size)  # type: ignore[arg-type] # protocols are not known to be hashable


@lru_cache(maxsize=2)
def _engine(backend: Backend, sharpen: SharpenSettings | None, batch_size: int | None) -> Engine:
    from wsi_patches.infer.engine import Engine, EngineSettings

    return Engine(backend, EngineSettings(batch_size, sharpen=sharpen))


def classify_cells(
    slide: Slide,
    cells: Cells,
    classifier: CellClassifier | Committee,
    diameter_px: float,
    progress: Callable[[int, int], None] | None = None,
    sharpen: SharpenSettings | None = None,
) -> tuple[Cells, NDArray[np.float64]]:
    """Classify one centred patch for each cell.

    Parameters
    ----------
    slide
        Where the cells were found.
    cells
        Their centres, level-0 pixels.
    classifier
        Its card says how large a patch is: in um where the slide states its resolution, else in cell diameters. A
        committee also says how unsure it is of each cell: the attributes ``entropy`` and ``disagreement``, nats, and
        ``variance``. One that is shown masked cells adds ``nucleus_seen``.
    diameter_px
        Typical diameter of a white cell on this slide, level-0 pixels.
    progress
        Told how many cells are done, and of how many.
    sharpen
        Sharpen soft patches first.

    Returns
    -------
    The cells with the classes ``blast`` and ``other`` and the probability of their class as score, and the
    probability of being a blast for each. Of a classifier of types the attributes ``type`` and ``type_score`` besides,
    and those that `with_types` takes; the probabilities of types that are blasts are summed.
    """
    from wsi_patches.models.committee import Committee

    card, side = classifier.card, patch_side(slide, classifier.card, diameter_px)
    told_of, done = np.empty((len(cells), len(card.classes)), np.float32), 0
    doubts: dict[str, NDArray[np.float64]] = {}
    asked = classifier.batch_size if isinstance(classifier, Committee) else None
    engine = engine_for(classifier.runner, sharpen, asked)
    patches = NucleiLooked.of(classifier, CellPatches(slide, cells, side, card.input_px))
    for batch in engine.run(patches):
        told_of[batch.positions] = classifier.calibrated(batch.outputs)
        if isinstance(classifier, Committee) and classifier.size > 1:
            for name, doubt in classifier.doubt(batch.outputs)._asdict().items():
                doubts.setdefault(name, np.empty(len(cells)))[batch.positions] = doubt
        done += len(batch.positions)
        if progress is not None:
            progress(done, len(cells))
    blast = np.minimum(told_of[:, are_blasts(card)].sum(axis=1, dtype=np.float64), 1.0)
    is_other = (blast < 0.5).astype(np.int32)
    score = np.where(is_other, 1 - blast, blast).astype(np.float32)
    types = type_columns(card, told_of) if tells_types(card) else {}
    seen = {} if patches.card is None else {NUCLEUS_SEEN: patches.seen}
    attributes = {**cells.attributes, FINDER_SCORE: cells.score, **doubts, **types, **seen}
    told = replace(cells, class_index=is_other, score=score, class_names=ALL_IDB_CLASSES, attributes=attributes)
    return told, blast
