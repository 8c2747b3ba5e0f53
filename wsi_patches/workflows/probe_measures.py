"""What ``wsi-patches probe`` measures: the classifier that was asked for, and what stands beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wsi_patches.evaluate.classification import ClassificationResult
from wsi_patches.pipeline import Progress
from wsi_patches.workflows.folded import NEIGHBOURS, Folded, colour_alone
from wsi_patches.workflows.probe_selection import Selection
from wsi_patches.workflows.probe_settings import ProbeSettings

if TYPE_CHECKING:
    from wsi_patches.train.selection import SelectionSettings

__all__ = ["ALL_FEATURES", "BY_CHANCE", "LINE", "asked", "beside", "searched", "selected"]

LINE = "linear probe"
ALL_FEATURES, BY_CHANCE = "all features", "as many features by chance"


def searched(settings: ProbeSettings) -> SelectionSettings | None:
    """Return how features are to be searched, if they are.

    Raises
    ------
    UsageError
        A value is out of range.
    """
    from wsi_patches.train.selection import SelectionSettings

    if settings.select == "none" or settings.classifier == "hosvd":
        return None
    return SelectionSettings(
        search=settings.select,
        judged_by=settings.classifier,
        population=settings.population,
        generations=settings.generations,
        price=settings.price,
        seed=settings.seed,
    )


def selected(
    how: SelectionSettings, folded: Folded, features: NDArray[np.float32], progress: Progress | None
) -> Selection:
    """Select features for each fold from the others."""
    from wsi_patches.train.selection import select_in_folds

    return Selection(select_in_folds(features, folded.patches.truth, folded.folds, how, progress))


def asked(
    settings: ProbeSettings,
    folded: Folded,
    features: NDArray[np.float32],
    shape: tuple[int, ...],
    selection: Selection | None,
) -> ClassificationResult:
    """Measure the classifier that was asked for."""
    grid = None if settings.rank is None else (settings.rank,)
    kept = None if selection is None else selection.kept
    kind, draws, seed = settings.classifier, settings.draws, settings.seed
    return folded.probed(features, kind, draws, seed, grid=grid, shape=shape, kept=kept)


def beside(
    settings: ProbeSettings, folded: Folded, features: NDArray[np.float32], selection: Selection | None
) -> dict[str, ClassificationResult]:
    """Measure what stands beside it: the same on all features and on some by chance, the other probes, colour alone."""
    from wsi_patches.train.selection import chance_masks

    kind, draws, seed = settings.classifier, settings.draws, settings.seed
    found = {}
    if selection is not None:
        by_chance = chance_masks(selection.of_folds, seed)
        found[ALL_FEATURES] = folded.probed(features, kind, draws, seed)
        found[BY_CHANCE] = folded.probed(features, kind, draws, seed, kept=by_chance)
    if kind != "linear":
        found[LINE] = folded.probed(features, "linear", draws, seed)
    if kind != "knn":
        found[NEIGHBOURS] = folded.probed(features, "knn", draws, seed)
    return {**found, **colour_alone(folded, draws, seed)}
