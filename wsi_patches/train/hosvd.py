"""Classes by how little of a patch their own bases leave over: a higher-order SVD of each class's features.

Source: Savas and Elden, "Handwritten digit classification using higher order singular value decomposition", Pattern
Recognition 40, 2007, algorithm 1: the tensor of a class has its samples along the last mode, its basis are the leading
slices of the core in that mode, and a test item is of the class whose basis leaves the least of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import UsageError, needs_extra

__all__ = ["RANKS", "HosvdClassifier", "class_basis", "fit_hosvd", "residuals"]

RANKS = (1, 2, 4, 8, 16, 32)
"""Numbers of vectors in the basis of a class that are tried, as far as each class has patches for them."""
SHARES = (0.9, 0.99, 1.0)
"""Shares of the squared singular values of each mode of a feature map that are tried; see `class_basis`."""
TEMPERATURES = (0.003, 0.01, 0.03, 0.1, 0.3)
"""Of the softmax over squared residuals; it makes them probabilities and changes no decision."""
UNCHOSEN_SHARE, UNCHOSEN_TEMPERATURE = 0.99, 0.03
"""Where there is one fold alone to learn from, and so nothing to choose by."""
TINY = 1e-6

Floats = NDArray[np.float32]


class Choice(NamedTuple):
    """What is chosen within the training folds."""

    rank: int
    share: float
    temperature: float


@dataclass(frozen=True)
class HosvdClassifier:
    """A basis a class, and how its residuals become probabilities."""

    mean: Floats
    """Of the features learnt from, ``(dim,)``."""
    std: Floats
    """Of the same; 1 where a feature never varies."""
    bases: tuple[Floats, ...]
    """Of each class, ``(dim, k)``, columns of length 1 at right angles."""
    choice: Choice

    def predict_proba(self, features: NDArray[Any]) -> Floats:
        """Return the probability of each class, float32 ``(n, classes)``, for features ``(n, dim)``."""
        scaled = (features - self.mean) / self.std
        left = np.stack([residuals(scaled, basis, (self.choice.rank,))[:, 0] for basis in self.bases], axis=1)
        return _probabilities(left, self.choice.temperature).astype(np.float32)


def class_basis(features: NDArray[Any], shape: Sequence[int], rank: int, share: float = 1.0) -> Floats:
    """Return the basis of one class by a truncated higher-order SVD of its tensor.

    Each mode of the features is cut to its leading singular vectors, then the samples' mode to ``rank``. For features
    without a shape, which are a matrix with the samples, that is the truncated SVD.

    Parameters
    ----------
    features
        Of the class alone, ``(n, dim)``.
    shape
        Of what a row of them is: ``(dim,)``, or rows, columns and channels of a feature map.
    rank
        Vectors of the basis; fewer come out where samples or modes have no more.
    share
        How much of each mode's squared singular values is kept, above 0 to 1.

    Returns
    -------
    float32 ``(dim, k)``
        Columns of length 1 at right angles, the first holding most.

    Raises
    ------
    MissingExtra
        tensorly is not installed.
    """
    with needs_extra("selection", "the HOSVD classifier"):
        from tensorly.base import unfold
        from tensorly.tenalg import multi_mode_dot, svd_interface
    tensor = np.asarray(features, np.float64).T.reshape(*shape, len(features))
    modes = list(range(len(shape)))
    factors = [_leading(unfold(tensor, mode), share) for mode in modes] if len(shape) > 1 and share < 1 else []
    core = multi_mode_dot(tensor, factors, modes, transpose=True) if factors else tensor
    samples = unfold(core, len(shape))
    most = min(rank, *samples.shape)
    _, _, slices = svd_interface(samples, n_eigenvecs=most)
    basis = slices.T.reshape(*core.shape[:-1], most)
    basis = multi_mode_dot(basis, factors, modes) if factors else basis
    return np.asarray(basis.reshape(prod(shape), most), np.float32)


def _leading(matrix: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """Return the left singular vectors, as columns, that hold a share of a matrix's squares.

    They are eigenvectors of the matrix by its transpose: an unfolding has few rows and very many columns.
    """
    squares, vectors = np.linalg.eigh(matrix @ matrix.T)
    squares, vectors = np.maximum(squares[::-1], 0), vectors[:, ::-1]
    held = np.cumsum(squares) / max(squares.sum(), np.finfo(np.float64).tiny)
    leading: NDArray[np.float64] = vectors[:, : int(np.searchsorted(held, share - 1e-12)) + 1]
    return leading


def residuals(features: NDArray[Any], basis: Floats, ranks: Sequence[int]) -> NDArray[np.float64]:
    """Return the share of each item's squared length that the first vectors of a basis leave, ``(n, len(ranks))``.

    A rank above what the basis has is the whole basis; without any vector all is left.
    """
    lengths = np.maximum(np.linalg.norm(features, axis=1, keepdims=True), TINY)
    explained = np.cumsum((features / lengths @ basis) ** 2, axis=1)
    explained = np.concatenate([np.zeros((len(features), 1)), explained], axis=1)
    columns = np.minimum(ranks, basis.shape[1])
    left: NDArray[np.float64] = np.clip(1 - explained[:, columns], 0, 1)
    return left


def fit_hosvd(
    features: NDArray[Any],
    truth: NDArray[Any],
    folds: NDArray[Any],
    classes: int,
    ranks: Sequence[int] = RANKS,
    shape: Sequence[int] | None = None,
) -> HosvdClassifier:
    """Fit a basis to each class; rank, share and temperature are those that predict each fold best from the others.

    Parameters
    ----------
    features
        Float ``(n, dim)``.
    truth
        Class of each, ``(n,)``.
    folds
        Fold of each, ``(n,)``.
    classes
        How many there are.
    ranks
        What is tried: of several, those that every class has patches for; a single one is taken as it is.
    shape
        Of a feature map that a row is; without, a row has no order and is one mode.

    Raises
    ------
    UsageError
        A class has fewer patches, or a patch fewer features, than the one rank that was asked for.
    MissingExtra
        tensorly is not installed.
    """
    shape = tuple(shape or (features.shape[1],))
    tried = _possible(ranks, np.bincount(truth, minlength=classes), features.shape[1])
    choice = _chosen(features, truth, folds, classes, tried, shape)
    mean, std = _scale(features)
    scaled = (features - mean) / std
    bases = (class_basis(scaled[truth == one], shape, choice.rank, choice.share) for one in range(classes))
    return HosvdClassifier(mean, std, tuple(bases), choice)


def _possible(ranks: Sequence[int], patches: NDArray[np.int64], dim: int) -> tuple[int, ...]:
    """Return the ranks that can be; a single one that cannot is an error."""
    fewest = min(int(patches.min()), dim)
    possible = tuple(int(rank) for rank in ranks if rank <= fewest)
    if not possible:
        msg = (
            f"a basis of {int(min(ranks))} vectors a class was asked for, where a class has as few as {patches.min()} "
            f"patches of {dim} features to learn from: ask for a smaller rank, or leave that class out"
        )
        raise UsageError(msg)
    return possible


def _chosen(
    features: NDArray[Any],
    truth: NDArray[Any],
    folds: NDArray[Any],
    classes: int,
    ranks: Sequence[int],
    shape: Sequence[int],
) -> Choice:
    """Return what gives the true classes of each fold, weighing equally, the highest mean log of their probability."""
    shares = SHARES if len(shape) > 1 else (1.0,)
    if len(np.unique(folds)) < 2:
        return Choice(max(ranks), UNCHOSEN_SHARE if len(shape) > 1 else 1.0, UNCHOSEN_TEMPERATURE)
    found: dict[Choice, float] = {}
    for share in shares:
        left = [*_held_out(features, truth, folds, classes, ranks, shape, share)]
        for place, rank in enumerate(ranks):
            for temperature in TEMPERATURES:
                scores = [_log_likelihood(_probabilities(one[:, :, place], temperature), said) for one, said in left]
                found[Choice(rank, share, temperature)] = float(np.mean(scores))
    return max(found, key=lambda choice: found[choice])


def _held_out(
    features: NDArray[Any],
    truth: NDArray[Any],
    folds: NDArray[Any],
    classes: int,
    ranks: Sequence[int],
    shape: Sequence[int],
    share: float,
) -> Iterator[tuple[NDArray[np.float64], NDArray[Any]]]:
    """Yield the squared residuals ``(n, classes, ranks)`` of each fold by bases of the others, and its classes.

    A class that the others lack explains nothing of anything.
    """
    for fold in np.unique(folds).tolist():
        held_out = folds == fold
        mean, std = _scale(features[~held_out])
        scaled, seen = (features - mean) / std, np.where(held_out, -1, truth)
        empty = np.zeros((features.shape[1], 0), np.float32)
        bases = [
            class_basis(scaled[seen == one], shape, max(ranks), share) if (seen == one).any() else empty
            for one in range(classes)
        ]
        yield np.stack([residuals(scaled[held_out], basis, ranks) for basis in bases], axis=1), truth[held_out]


def _scale(features: NDArray[Any]) -> tuple[Floats, Floats]:
    std = features.std(axis=0)
    return features.mean(axis=0).astype(np.float32), np.where(std > TINY, std, 1).astype(np.float32)


def _probabilities(left: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """Return the softmax over classes of squared residuals ``(n, classes)``."""
    odds = np.exp(-(left - left.min(axis=1, keepdims=True)) / temperature)
    shares: NDArray[np.float64] = odds / odds.sum(axis=1, keepdims=True)
    return shares


def _log_likelihood(probabilities: NDArray[np.float64], truth: NDArray[Any]) -> float:
    logs = np.log(np.maximum(probabilities[np.arange(len(truth)), truth], TINY))
    return float(np.mean([logs[truth == one].mean() for one in np.unique(truth)]))
