"""Shares of types in the blood, drawn from counts: a count is a sample, and the classifier takes types for others.

The counts of a patient are a multinomial sample of what the classifier says, and it says type ``j`` of a cell of type
``k`` as often as it did on patients that it did not learn from: only what a cell is said to be, not how common it is,
is taken from there, so the patient may be ill where those were not (prior shift). The posterior of the true shares is
drawn by Gibbs sampling, the confusion itself being drawn from its own posterior once for each chain.

References
----------
Ziegler and Czyz, Bayesian quantification with black-box estimators, TMLR 2024, arXiv 2302.09159.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wsi_patches.errors import UsageError

__all__ = ["draw_shares"]

WARM_UP, KEPT, APART = 30, 10, 3
"""Steps of a chain, which starts where the counts are, before one is kept; how many are kept, and how far apart."""
TINY = 1e-12


def draw_shares(
    counts: ArrayLike, confusion: ArrayLike | None = None, draws: int = 200, seed: int = 0
) -> NDArray[np.float64]:
    """Return draws of the true shares of types, shape ``(draws, types)``, rows summing to 1.

    The prior of the shares is Dirichlet with one cell in all (Perks, 1947), so that a few cells still tell.

    Parameters
    ----------
    counts
        Cells that were said to be of each type, shape ``(types,)``.
    confusion
        How often each type (row) was taken for each (column), shape ``(types, types)``; None where types are told
        without an error, so that only the chance of the sample is drawn.
    draws, seed
        How many, and where chance comes from; equal values give equal draws.

    Raises
    ------
    UsageError
        There is no cell, a count is below 0, or the shapes do not fit.
    """
    seen = np.asarray(counts, np.int64)
    table = None if confusion is None else np.asarray(confusion, np.float64)
    if seen.ndim != 1 or seen.sum() < 1 or seen.min() < 0 or (table is not None and table.shape != (len(seen),) * 2):
        shape = None if table is None else table.shape
        msg = f"shares are drawn from one cell or more, found counts {seen.tolist()} and a confusion of shape {shape}"
        raise UsageError(msg)
    rng, prior = np.random.default_rng([seed, 7901]), 1 / len(seen)
    chains = draws if table is None else -(-draws // KEPT)
    shares = _dirichlet(rng, np.broadcast_to(seen + prior, (chains, len(seen))))
    if table is None:
        return shares
    said, kept = _dirichlet(rng, np.broadcast_to(table + prior, (chains, *table.shape))), []
    for step in range(WARM_UP + KEPT * APART):
        true = _allocated(rng, seen, shares[:, :, None] * said)
        shares = _dirichlet(rng, true + prior)
        if step >= WARM_UP and step % APART == 0:
            kept.append(shares)
    return np.concatenate(kept)[:draws]


def _allocated(rng: np.random.Generator, seen: NDArray[np.int64], joint: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how many cells of each true type there may be, ``(draws, types)``: each said type is shared out."""
    true = np.zeros(joint.shape[:2])
    for column in np.flatnonzero(seen).tolist():
        chance = np.maximum(joint[:, :, column], TINY)
        true += rng.multinomial(seen[column], chance / chance.sum(axis=1, keepdims=True))
    return true


def _dirichlet(rng: np.random.Generator, concentration: NDArray[np.float64]) -> NDArray[np.float64]:
    """Draw along the last axis; gamma draws of a small concentration may all be 0, so none is."""
    drawn = np.maximum(rng.standard_gamma(concentration), TINY)
    return np.asarray(drawn / drawn.sum(axis=-1, keepdims=True))
