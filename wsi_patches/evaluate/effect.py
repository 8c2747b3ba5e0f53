"""What a preprocessing step does for a classifier: the paired difference of two arms, with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsi_patches.evaluate.bootstrap import DRAWS, GroupBootstrap, group_draws, percentile_interval
from wsi_patches.outcome import Interval

__all__ = ["EffectFigure", "Said", "measure_effect"]


@dataclass(frozen=True)
class Said:
    """What both arms said of the test patches of every repetition."""

    truth: NDArray[np.int32]
    """Class of each patch, ``(n,)``."""
    groups: NDArray[np.str_]
    """What counts as one independent sample, ``(n,)``."""
    tested: NDArray[np.bool_]
    """Which patches each repetition tested, ``(repetitions, n)``; the same in both arms."""
    predicted: NDArray[np.int32]
    """Class that each arm gave, ``(2, repetitions, n)``, without the step first; -1 where not tested."""
    in_rank: NDArray[np.bool_] | None = None
    """Whether the true class was among the nearest neighbours, of the same shape; None where there are none."""


@dataclass(frozen=True)
class EffectFigure:
    """One figure of both arms, and how much the step changes it."""

    name: str
    values: NDArray[np.float64]
    """Of each arm in each repetition, ``(2, repetitions)``."""
    difference: Interval
    """With the step less without it, mean over the repetitions."""

    @property
    def means(self) -> tuple[float, float]:
        """Of each arm over the repetitions."""
        without, with_step = self.values.mean(axis=1).tolist()
        return without, with_step

    @property
    def stds(self) -> tuple[float, float]:
        """Of each arm over the repetitions, of a sample; nan of a single one."""
        if self.values.shape[1] < 2:
            return float("nan"), float("nan")
        without, with_step = self.values.std(axis=1, ddof=1).tolist()
        return without, with_step


def measure_effect(said: Said, draws: int = DRAWS, seed: int = 0) -> tuple[EffectFigure, ...]:
    """Return accuracy, balanced accuracy and, of neighbours, rank-5 of both arms, with the paired difference.

    Its interval draws groups and repetitions with replacement, the same ones for both arms, so that what both have in
    common (hard patches, lucky splits) falls out, and arms that say the same differ by exactly 0. Without two groups
    there is no interval.

    Raises
    ------
    UsageError
        There is no patch, or ``draws`` is negative.
    """
    right = (said.predicted == said.truth) & said.tested
    every = np.ones((1, len(said.truth)), np.bool_)
    classes = said.truth == np.unique(said.truth)[:, None]
    figures = {"accuracy": (right, every), "balanced_accuracy": (right, classes)}
    if said.in_rank is not None:
        figures["rank_5"] = (said.in_rank & said.tested, every)
    boot, repetitions = GroupBootstrap.of(said.groups, draws, seed), len(said.tested)
    # Another seed than the groups': the two are drawn independently.
    shares = group_draws(np.arange(repetitions), len(boot.counts), seed + 1).astype(np.float64)
    if repetitions < 2:
        shares = np.ones((len(boot.counts), 1))
    made = (_figure(name, hits, kinds, said.tested, boot, shares) for name, (hits, kinds) in figures.items())
    return tuple(made)


def _figure(
    name: str,
    hits: NDArray[np.bool_],
    kinds: NDArray[np.bool_],
    tested: NDArray[np.bool_],
    boot: GroupBootstrap,
    shares: NDArray[np.float64],
) -> EffectFigure:
    """Return the mean over kinds of patches ``(kinds, n)`` of the share of hits ``(2, repetitions, n)``."""
    own = [(tested & kind).sum(axis=1) for kind in kinds]
    values = np.stack([_mean_share([(hit & kind).sum(axis=1) for kind in kinds], own) for hit in hits])
    counts = [boot.totals((tested & kind).T) for kind in kinds]
    without, with_step = (_mean_share([boot.totals((hit & kind).T) for kind in kinds], counts) for hit in hits)
    change = np.nan_to_num(with_step - without)
    weights = shares * ~np.isnan(without)  # a draw may hold no patch that a repetition tested
    total = weights.sum(axis=1)
    drawn = np.divide((weights * change).sum(axis=1), total, out=np.full(len(total), np.nan), where=total > 0)
    means = values.mean(axis=1)
    return EffectFigure(name, values, percentile_interval(float(means[1] - means[0]), drawn))


def _mean_share(hits: Sequence[NDArray[Any]], counts: Sequence[NDArray[Any]]) -> NDArray[np.float64]:
    """Return the mean of hits / counts over those kinds that occur; nan where none does."""
    top, below = np.stack(hits).astype(np.float64), np.stack(counts).astype(np.float64)
    shares = np.divide(top, below, out=np.zeros_like(top), where=below > 0)
    known = (below > 0).sum(axis=0)
    return np.asarray(np.divide(shares.sum(axis=0), known, out=np.full(known.shape, np.nan), where=known > 0))
