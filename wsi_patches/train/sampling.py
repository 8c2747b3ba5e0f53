"""What to do about rare classes: weights, more draws, balanced draws by group, and made-up features.

All of it is for the training split only: pass it nothing of what is judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wsi_patches.errors import UsageError, needs_extra

__all__ = ["ClassWeights", "balanced_draws", "check_smote", "class_weights", "oversampled", "smote"]

ClassWeights = Literal["none", "inverse", "effective"]
Indices = NDArray[np.int64]
EFFECTIVE_BETA = 0.999
"""Of the four that the paper tries, 0.9 to 0.9999, the one whose prototypes are about 1000."""
SMOTE_NEIGHBOURS = 5


def class_weights(truth: ArrayLike, classes: int, kind: ClassWeights = "inverse") -> NDArray[np.float32]:
    """Return a weight for each class, so that the mean weight of the samples is 1.

    Parameters
    ----------
    truth
        Class of each sample, ``(n,)``.
    classes
        How many there are.
    kind
        ``inverse`` of the class's frequency, or of its ``effective`` number of samples, (1 - b^n) / (1 - b) with b of
        0.999 (Cui et al., "Class-balanced loss based on effective number of samples", CVPR 2019); ``none`` gives ones.

    Returns
    -------
    float32 ``(classes,)``

    Raises
    ------
    UsageError
        There is no such kind, a class has no sample, or a sample has no class.
    """
    counts = _counts(np.asarray(truth), classes).astype(np.float64)
    if kind not in ("none", "inverse", "effective"):
        msg = f"no class weights {kind!r}: choose from none, inverse, effective"
        raise UsageError(msg)
    if kind == "none":
        return np.ones(classes, np.float32)
    worth = counts if kind == "inverse" else (1 - EFFECTIVE_BETA**counts) / (1 - EFFECTIVE_BETA)
    return np.asarray(counts.sum() / worth / (counts / worth).sum(), np.float32)


def oversampled(truth: ArrayLike, classes: int, count: int, seed: int) -> Indices:
    """Return positions that hold every sample at least once, and of each class ``count`` or all that there are.

    A class that lacks samples is repeated whole as often as it fits, and the rest is drawn without replacement.

    Parameters
    ----------
    truth
        Class of each sample, ``(n,)``.
    classes
        How many there are.
    count
        How many of each class are wanted.
    seed
        Of what is drawn.

    Returns
    -------
    int64, in ascending order

    Raises
    ------
    UsageError
        A class has no sample, or a sample has no class.
    """
    truth, rng = np.asarray(truth), np.random.default_rng(seed)
    _counts(truth, classes)
    chosen = []
    for one in range(classes):
        members = np.flatnonzero(truth == one)
        whole, rest = divmod(max(count, len(members)), len(members))
        chosen += [np.tile(members, whole), rng.choice(members, rest, replace=False)]
    return np.sort(np.concatenate(chosen)).astype(np.int64)


def balanced_draws(truth: ArrayLike, groups: ArrayLike, count: int, seed: int) -> Indices:
    """Draw samples so that classes weigh equally, and within a class its groups.

    A class is drawn, then a group that has it, then one of the group's samples of that class: a patient with many cells
    counts no more than one with few. Within a group samples come in turn, so that none is repeated before all were
    there.

    Parameters
    ----------
    truth
        Class of each sample, ``(n,)``; classes without samples are not drawn.
    groups
        What belongs together (patient, else slide), ``(n,)``.
    count
        How many to draw.
    seed
        Of what is drawn: for another epoch give another.

    Returns
    -------
    int64 ``(count,)``
        Positions, shuffled.

    Raises
    ------
    UsageError
        There is no sample, or not one group for each.
    """
    truth, groups, rng = np.asarray(truth), np.asarray(groups), np.random.default_rng(seed)
    if not len(truth) or groups.shape != truth.shape:
        msg = f"balanced draws need samples, and a group for each: found {len(truth)} samples, {len(groups)} groups"
        raise UsageError(msg)
    drawn = []
    for one, wanted in _shares(np.unique(truth), count, rng):
        members = np.flatnonzero(truth == one)
        for group, some in _shares(np.unique(groups[members]), wanted, rng):
            drawn.append(_in_turn(members[groups[members] == group], some, rng))
    return rng.permutation(np.concatenate(drawn)).astype(np.int64)


def smote(
    features: NDArray[np.float32], truth: ArrayLike, seed: int, neighbours: int = SMOTE_NEIGHBOURS
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return features and classes with as many samples of each class as of the largest.

    The added ones lie between a sample and one of its nearest neighbours of its class (Chawla et al., "SMOTE", JAIR
    2002), by imbalanced-learn. They stand after those that were given.

    Parameters
    ----------
    features
        Float ``(n, dim)`` of the training split.
    truth
        Class of each, ``(n,)``.
    seed
        Of what is drawn.
    neighbours
        How many of a sample's neighbours are drawn from.

    Raises
    ------
    UsageError
        There are fewer than two classes, or a class that must grow has no more samples than ``neighbours``.
    MissingExtra
        imbalanced-learn is not installed.
    """
    with needs_extra("train", "SMOTE"):
        from imblearn.over_sampling import SMOTE
    truth = np.asarray(truth)
    present, counts = np.unique(truth, return_counts=True)
    short = (counts < counts.max(initial=0)) & (counts <= neighbours)
    if len(present) < 2 or short.any():
        told = ", ".join(f"{one}: {count}" for one, count in zip(present.tolist(), counts.tolist(), strict=True))
        msg = f"SMOTE from {neighbours} neighbours needs two classes of more samples than that, found {told or 'none'}"
        raise UsageError(msg)
    grown, classes = SMOTE(random_state=seed, k_neighbors=neighbours).fit_resample(features, truth)
    return np.asarray(grown, np.float32), np.asarray(classes, np.int64)


def check_smote(truth: ArrayLike, class_names: Sequence[str]) -> None:
    """Refuse a training split that `smote` cannot grow, before anything is learnt from it.

    Parameters
    ----------
    truth
        Class of each sample of the training split, ``(n,)``.
    class_names
        Of the classes.

    Raises
    ------
    UsageError
        A class that must grow has too few samples.
    MissingExtra
        imbalanced-learn is not installed.
    """
    with needs_extra("train", "SMOTE"):
        import imblearn.over_sampling  # noqa: F401  # to be told now, and not after the training
    counts = np.bincount(np.asarray(truth), minlength=len(class_names)).tolist()
    short = [
        f"{count} of {name}"
        for name, count in zip(class_names, counts, strict=True)
        if count <= SMOTE_NEIGHBOURS and count < max(counts)
    ]
    if short:
        msg = (
            f"balance: smote needs {SMOTE_NEIGHBOURS + 1} patches or more of each class in the training split, found "
            f"{', '.join(short)}: give more, leave the class out, or take balance: weights or oversample"
        )
        raise UsageError(msg)


def _counts(truth: NDArray[Any], classes: int) -> NDArray[np.int64]:
    """Return how many samples each class has, one at least."""
    if not len(truth) or not 0 <= truth.min() <= truth.max() < classes:
        msg = f"{classes} classes were to be weighed by samples of classes {sorted(set(truth.tolist()))}"
        raise UsageError(msg)
    counts = np.bincount(truth, minlength=classes)
    if not counts.all():
        absent = ", ".join(map(str, np.flatnonzero(counts == 0).tolist()))
        msg = f"class {absent} has no sample to learn from: add some, or leave the class out"
        raise UsageError(msg)
    return counts.astype(np.int64)


def _shares(kinds: NDArray[Any], count: int, rng: np.random.Generator) -> list[tuple[Any, int]]:
    """Share a count among kinds as evenly as it goes; which of them get one more is drawn."""
    each, rest = divmod(count, len(kinds))
    more = np.zeros(len(kinds), np.int64)
    more[rng.permutation(len(kinds))[:rest]] = 1
    return [(kind, each + int(one)) for kind, one in zip(kinds, more, strict=True)]


def _in_turn(members: NDArray[np.intp], count: int, rng: np.random.Generator) -> NDArray[np.intp]:
    rounds = [rng.permutation(members) for _ in range(-(-count // len(members)))]
    return np.concatenate([members[:0], *rounds])[:count]
