"""How often neighbours share the class of what they were found for, against chance and against colour alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wsi_patches.evaluate.bootstrap import GroupBootstrap
from wsi_patches.evaluate.result import Metric, Sampling

__all__ = ["NeighbourShares", "measure_neighbours"]


@dataclass(frozen=True)
class NeighbourShares:
    """What was measured of queries whose class is known."""

    metrics: Mapping[str, Metric]
    """``neighbours_of_own_class``, ``by_chance``, ``above_chance``, ``colour_alone``, ``votes_right`` (of those that
    did not abstain), ``abstained``: shares of 0 to 1 with 95 % intervals."""
    sampling: Sampling


def measure_neighbours(
    truth: NDArray[np.int64],
    said: NDArray[np.int64],
    neighbours: NDArray[np.int64],
    by_colour: NDArray[np.int64],
    chance: ArrayLike,
    groups: ArrayLike,
    group_kind: str = "slide",
    draws: int = 1000,
    seed: int = 0,
) -> NeighbourShares:
    """Measure how often neighbours, and their votes, are right.

    Parameters
    ----------
    truth
        Class of each query, ``(n,)``.
    said
        Class that was voted for, ``(n,)``; -1 where the neighbours abstain.
    neighbours, by_colour
        Class of each neighbour, ``(n, k)``: of those that the network found, and of those that the means and deviations
        of colours alone find.
    chance
        Share of each query's class among all that could have been its neighbours, ``(n,)``.
    groups
        The patient, or else the slide, of each query, ``(n,)``; intervals are over these.
    group_kind
        What they are.
    draws, seed
        Of groups with replacement.

    Raises
    ------
    UsageError
        There is no query.
    """
    bootstrap = GroupBootstrap.of(groups, draws, seed)
    own = (neighbours == truth[:, None]).mean(axis=1)
    colour = (by_colour == truth[:, None]).mean(axis=1)
    chances, told = np.asarray(chance, np.float64), (said >= 0).astype(np.float64)
    ones = np.ones(len(truth))
    shares = {
        "neighbours_of_own_class": (own, ones),
        "by_chance": (chances, ones),
        "above_chance": (own - chances, ones),
        "colour_alone": (colour, ones),
        "votes_right": ((said == truth) * told, told),
        "abstained": (1 - told, ones),
    }
    metrics = {name: _share(bootstrap, *values) for name, values in shares.items()}
    return NeighbourShares(metrics, bootstrap.sampling("query", group_kind))


def _share(bootstrap: GroupBootstrap, values: NDArray[np.float64], of: NDArray[np.float64]) -> Metric:
    with np.errstate(invalid="ignore", divide="ignore"):
        value = float(values.sum() / of.sum()) if of.sum() else float("nan")
        drawn = bootstrap.totals(values) / bootstrap.totals(of)
    return bootstrap.metric(value, drawn, of > 0)
