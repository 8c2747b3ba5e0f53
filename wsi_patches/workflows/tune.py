"""The focus score above which patches are sharpened, given or found from a store's labels."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import UsageError
from wsi_patches.imaging.focus import FLAT_SCORE, fqpath
from wsi_patches.imaging.focus_threshold import tune_by_accuracy, tune_by_correlation
from wsi_patches.imaging.sharpen import SharpenSettings
from wsi_patches.stores import Store

__all__ = ["GIVEN", "tune_threshold"]

GIVEN = {"threshold_from": "given"}
"""What is kept with patches that were sharpened above a threshold of the user\'s own."""

SAMPLE = 200
"""Patches that a threshold is found on, of both labels alike."""
SEED = 20210


def tune_threshold(
    store: Store, asked: float | str | None, how: SharpenSettings
) -> tuple[float | None, dict[str, Any]]:
    """Return the threshold, and how it was found, to be kept with what is sharpened.

    With ``auto``, first the threshold at which focus tells least about the label (find_th_focus), then, around it, the
    one at which the nearest neighbour of PCANet features has the same label most often. Source: Genovese et al., ICASSP
    2021; specs of CNN-ALL's steps A and C.

    Parameters
    ----------
    store
        With ``auto`` its patches must be labelled: those with a cell of the first class against the others.
    asked
        A threshold, ``auto``, or None for no sharpening.
    how
        Amount, tries and what is kept, as they will be used; its threshold says nothing.

    Raises
    ------
    UsageError
        ``auto`` was asked of a store whose patches do not have both labels.
    """
    if asked is None:
        return None, {}
    if not isinstance(asked, str):
        return float(asked), dict(GIVEN)
    positions, labels = _sample(store)
    images, score = store.read(positions), partial(fqpath, precision="float32")
    shows = score(images) < FLAT_SCORE  # a few patches of nothing would decide a correlation by themselves
    images, labels = images[shows], labels[shows]
    coarse = tune_by_correlation(images, labels, how, score=score)
    fine = tune_by_accuracy(images, labels, coarse.chosen, how, score=score)
    found = {"correlation": coarse.to_dict(), "accuracy": fine.to_dict(), "patches": len(images)}
    return float(fine.chosen), {"threshold_from": "auto", "tuning": found}


def _sample(store: Store) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return some patches of both labels, the same at every call."""
    annotated = np.array([record.annotated for record in store.slides], bool)[store.slide_rows]
    positive = store.labels[:, 0] > 0
    groups = [np.flatnonzero(annotated & (positive == wanted)) for wanted in (True, False)]
    count = min(SAMPLE // 2, *(len(group) for group in groups))
    if count < 2:
        name = store.settings.rule.class_names[0]
        msg = (
            f"--sharpen auto learns from labels, and {store.path} has {len(groups[0])} annotated patches with {name} "
            f"and {len(groups[1])} without: extract it with --annotations, or give a threshold"
        )
        raise UsageError(msg)
    draw = np.random.default_rng(SEED)
    chosen = [np.sort(draw.choice(group, count, replace=False)) for group in groups]
    return np.concatenate(chosen), np.repeat([1, 0], count)
