"""Groups of rows dealt to splits, so that each split comes near to its share of every label."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import UsageError

__all__ = ["deal_groups", "summed"]

TIE_DECIMALS = 9
"""Sums differ in their last bits between processors; rounded, they are ties on all of them."""


def summed(values: NDArray[np.float64], groups: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the sums of rows ``(n, k)`` over each group, groups by name; and each row's group."""
    names, of_row = np.unique(np.asarray(groups, str), return_inverse=True)
    table = np.zeros((len(names), values.shape[1]))
    np.add.at(table, of_row, values)
    return table, of_row


def deal_groups(table: NDArray[np.float64], shares: NDArray[np.float64], seed: int) -> NDArray[np.int64]:
    """Deal groups, large ones first, each to the split that it brings nearest to its wish.

    Nearness is the chi-squared distance between the rows of each label and those wished for. scikit-learn's
    StratifiedGroupKFold deals in a like way, but to equal folds only; a test holds the folds against its own.

    Parameters
    ----------
    table
        Rows of each label in each group, ``(groups, labels)``; no label is without a row.
    shares
        Of each split; they sum to 1.
    seed
        Equal seeds deal equally.

    Returns
    -------
    The split of each group, shape ``(groups,)``

    Raises
    ------
    UsageError
        There are fewer groups than splits.
    """
    if len(table) < len(shares):
        msg = f"{len(table)} groups cannot fill {len(shares)} splits: ask for fewer, or keep something smaller together"
        raise UsageError(msg)
    wanted = shares[:, None] * table.sum(axis=0)
    held = np.zeros_like(wanted)
    split = np.empty(len(table), np.int64)
    for dealt, group in enumerate(_order(table, seed)):
        cost = ((held + table[group] - wanted) ** 2 - (held - wanted) ** 2) / wanted
        total = np.round(cost.sum(axis=1), TIE_DECIMALS)
        empty = held.sum(axis=1) == 0
        if len(table) - dealt <= empty.sum():
            total[~empty] = np.inf
        best = np.lexsort((held.sum(axis=1) / shares, total))[0]
        held[best] += table[group]
        split[group] = best
    return split


def _order(table: NDArray[np.float64], seed: int) -> NDArray[np.int64]:
    """Return the groups, those with many rows of one label first: they are the hardest to place.

    Groups of like size (within a factor of 1.4) are shuffled: by exact size, no seed would change anything.
    """
    shuffled = np.random.default_rng(seed).permutation(len(table))
    sizes = np.floor(2 * np.log2(table[shuffled].max(axis=1)))
    return shuffled[np.argsort(-sizes, kind="stable")]
