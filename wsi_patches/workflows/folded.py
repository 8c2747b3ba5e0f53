"""Labelled patches in folds, and how well a probe or colour alone predicts each fold from the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wsi_patches.datasets.splits import By, Split, SplitRow, keep_together, make_split
from wsi_patches.errors import UsageError
from wsi_patches.evaluate.classification import ClassificationResult, measure_classes
from wsi_patches.evaluate.predictions import Predictions
from wsi_patches.stores import Store
from wsi_patches.workflows.labelled import LabelledPatches
from wsi_patches.workflows.split import slide_rows

if TYPE_CHECKING:
    from wsi_patches.train.probe import ProbeKind

__all__ = ["COLOUR", "NEIGHBOURS", "Folded", "Labelled", "colour_alone", "fold_patches"]

COLOUR, NEIGHBOURS = "colour alone", "nearest neighbours"
FEW_FOLDS, FIXED_PENALTY = 3, (0.1,)
"""With fewer folds than the first there is none left to choose the linear probe's penalty by: it is the second."""
SIDES = ("train", "validation", "test")
"""Names of the parts of a split that are not each predicted from the others."""


class Labelled(Protocol):
    """``n`` patches whose class is known: `LabelledPatches` of a store, or those that a training held back."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """All classes."""

    @property
    def ids(self) -> NDArray[np.str_]:
        """A name for each patch, shape ``(n,)``."""

    @property
    def truth(self) -> NDArray[np.int32]:
        """Index into ``class_names``, shape ``(n,)``."""

    def __len__(self) -> int: ...

    def read(self, rows: ArrayLike) -> NDArray[np.uint8]:
        """Return the patches at ``rows``, uint8 RGB of shape ``(n, h, w, 3)``."""


@dataclass(frozen=True)
class Folded:
    """Labelled patches and the fold that each is predicted in; what ``split`` keeps together is in one."""

    patches: Labelled
    folds: NDArray[np.int64]
    """Shape ``(n,)``."""
    groups: NDArray[np.str_]
    """What was kept together, shape ``(n,)``."""
    group_kind: str
    warnings: tuple[str, ...]

    def probed(
        self,
        features: NDArray[np.float32],
        kind: ProbeKind,
        draws: int,
        seed: int,
        *,
        grid: Sequence[float] | None = None,
        shape: Sequence[int] | None = None,
        kept: NDArray[np.bool_] | None = None,
    ) -> ClassificationResult:
        """Return how well a probe on features of shape ``(n, dim)`` predicts each fold from the others.

        Parameters are those of `wsi_patches.train.probe.probe`.
        """
        from wsi_patches.train.probe import probe

        patches = self.patches
        if kind == "linear" and len(np.unique(self.folds)) < FEW_FOLDS:
            grid = FIXED_PENALTY
        known = patches.truth, self.groups, self.folds, patches.class_names
        return self.measured(probe(features, *known, kind, grid, shape=shape, kept=kept), draws, seed)

    def measured(self, probabilities: NDArray[np.float32], draws: int, seed: int) -> ClassificationResult:
        """Return how good probabilities of shape ``(n, classes)`` are."""
        patches = self.patches
        predictions = Predictions(patches.class_names, patches.ids, self.groups, patches.truth, probabilities)
        result = measure_classes(predictions, draws=draws, seed=seed, group_kind=self.group_kind)
        return replace(result, warnings=(*self.warnings, *result.warnings))


def colour_alone(folded: Folded, draws: int, seed: int) -> dict[str, ClassificationResult]:
    """Return what means and deviations of red, green and blue tell of the same patches in the same folds.

    Both probes are tried: where stain and lamp differ from batch to batch, neighbours tell more than a line.
    """
    from wsi_patches.train.features import colour_of

    colours = colour_of(folded.patches)
    return {
        COLOUR: folded.probed(colours, "linear", draws, seed),
        f"{COLOUR}, {NEIGHBOURS}": folded.probed(colours, "knn", draws, seed),
    }


def fold_patches(
    patches: LabelledPatches, by: By = "patient", folds: int = 5, seed: int = 0, made: Split | None = None
) -> Folded:
    """Put labelled patches into folds, whole patients (or else slides) into one.

    Parameters
    ----------
    patches
        What is put into folds.
    by, folds, seed
        As `make_split` takes them.
    made
        A split of the store's slides that is taken instead.

    Raises
    ------
    UsageError
        There are too few groups, or the split leaves a slide out.
    """
    rows = _rows(patches)
    if made is not None and set(made.names) & set(SIDES):
        msg = f"the split has the names {', '.join(sorted(set(made.names)))}: a probe takes folds (split --folds)"
        raise UsageError(msg)
    made = made or make_split(rows, by, folds, seed)
    of_slide = {row.id: name for row, name in zip(made.rows, made.names, strict=True)}
    missing = [row.id for row in rows if row.id not in of_slide]
    if missing:
        msg = f"the split says nothing of slide {missing[0]} of {patches.store.path}: split the store again"
        raise UsageError(msg)
    numbers = {name: number for number, name in enumerate(sorted(set(of_slide.values())))}
    together = dict(zip((row.id for row in rows), keep_together(rows, made.by or by), strict=True))
    ids = [patches.store.slides[row].id for row in patches.slides.tolist()]
    fold_of_patch = np.array([numbers[of_slide[one]] for one in ids], np.int64)
    groups = np.array([together[one] for one in ids], str)
    kind = "patient" if all(name.startswith("patient ") for name in groups.tolist()) else "slide"
    return Folded(patches, fold_of_patch, groups, kind, made.warnings)


def _rows(patches: LabelledPatches) -> list[SplitRow]:
    """Return the slides of labelled patches; the label that folds share evenly is the slide's rarest class."""
    store: Store = patches.store
    highest = np.full(len(store.slides), -1, np.int64)
    np.maximum.at(highest, patches.slides, patches.truth)
    known = {row.id: row for row in slide_rows(store)}
    rows = [known[record.id] for record, label in zip(store.slides, highest.tolist(), strict=True) if label >= 0]
    labels = [patches.class_names[label] for label in highest.tolist() if label >= 0]
    return [
        SplitRow(row.id, row.path, row.group, row.group_kind, label, row.slide)
        for row, label in zip(rows, labels, strict=True)
    ]
