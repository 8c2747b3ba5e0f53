"""What a selection of features leaves behind: who was kept in which fold, a picture, and sentences on both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wsi_patches.evaluate.album import Picture
from wsi_patches.evaluate.selection_picture import draw_selection
from wsi_patches.evaluate.tables import write_table

if TYPE_CHECKING:
    from wsi_patches.train.selection import Selected

__all__ = ["FEATURES", "SELECTION", "Selection"]

FEATURES, SELECTION = "selected_features.csv", "selection.png"


@dataclass(frozen=True)
class Selection:
    """What was selected for each fold, from the other folds."""

    of_folds: tuple[Selected, ...]

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Which features, ``(folds, dim)``."""
        return np.stack([one.kept for one in self.of_folds])

    @property
    def details(self) -> Mapping[str, str]:
        """Sentences for the page."""
        counts, scores = self.kept.sum(axis=1), [one.history[-1].score for one in self.of_folds]
        before = [one.of_all for one in self.of_folds]
        kept = f"{counts.min()} to {counts.max()} of {self.kept.shape[1]}"
        reached = f"balanced accuracy {np.mean(before):.3f} by all features, {np.mean(scores):.3f} by those kept"
        agreed = f"Jaccard index {_jaccard(self.kept):.3f}; by chance {_expected_jaccard(self.kept):.3f}"
        return {
            "Features kept": f"{kept}, selected for each fold from the other folds alone",
            "Within the training folds": f"{reached}: what the search was after, so no figure of how good they are",
            "Agreement of two folds": f"{agreed}, were as many kept",
        }

    def write(self, folder: Path) -> Picture:
        """Write ``selected_features.csv`` and ``selection.png``.

        Columns are the feature's place, counted from 0, the number of folds that kept it, and 0 or 1 for each fold.
        """
        kept = self.kept.T.astype(int)
        columns = ["feature", "folds_kept", *(f"fold_{number}" for number in range(kept.shape[1]))]
        rows = ([place, row.sum(), *row] for place, row in enumerate(kept))
        write_table(folder / FEATURES, columns, rows)
        searches = {f"fold {number}": one.history for number, one in enumerate(self.of_folds)}
        draw_selection(folder / SELECTION, searches, len(kept))
        alt = (
            "Balanced accuracy within the training folds, and features kept, over the generations of each fold's search"
        )
        return Picture(folder / SELECTION, "Selection of features", alt)


def _jaccard(kept: NDArray[np.bool_]) -> float:
    """Return the mean over pairs of folds of features kept by both, by features kept by any."""
    return float(np.mean([(one & other).sum() / (one | other).sum() for one, other in combinations(kept, 2)]))


def _expected_jaccard(kept: NDArray[np.bool_]) -> float:
    """Return about the same for features drawn by chance."""
    shares = kept.mean(axis=1)
    return float(np.mean([one * other / (one + other - one * other) for one, other in combinations(shares, 2)]))
