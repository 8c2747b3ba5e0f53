"""Retrieval: the most similar known patches of others, and what they vote for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import UsageError, needs_extra

__all__ = ["NeighbourSettings", "Neighbours", "OwnedVectors", "TieRule", "Vote", "find_neighbours", "own_rows", "vote"]

TieRule = Literal["abstain", "nearest", "boyer_moore"]
"""What is said where no class has more than half of the votes: nothing; what the nearest is; or what is left of Boyer's
and Moore's count from near to far, which of three that differ is the farthest (as DSS-XAI's released code has it)."""
LINKS = 32
"""Of each vector in the approximate index (HNSW, Malkov and Yashunin, 2018)."""
SEARCHED = 128
"""Candidates that the approximate index keeps in hand: more find more of the true neighbours, more slowly."""
SPARE = 4
"""How many times as many as are wanted it is asked for, since some are of the query's own slide."""

DISTANCES_MIB = 128
"""Distances that are held at a time."""


@dataclass(frozen=True)
class NeighbourSettings:
    """How neighbours are found, and how they vote.

    Raises
    ------
    UsageError
        A value is unknown or out of range.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    k: int = 3
    tie: TieRule = "abstain"
    approximate_above: int = 50_000
    """Known patches above which they are searched by an approximate index (faiss), instead of all of them."""

    def __post_init__(self) -> None:
        if self.k < 1 or self.approximate_above < 0:
            msg = f"k is 1 or more and approximate_above 0 or more, got {self.k} and {self.approximate_above}"
            raise UsageError(msg)
        if self.tie not in get_args(TieRule):
            msg = f"no tie rule {self.tie!r}: choose from {', '.join(get_args(TieRule))}"
            raise UsageError(msg)


class Vote(NamedTuple):
    """What neighbours say."""

    label: int | None
    """The class; None where they abstain."""
    margin: float
    """Votes for the class (or, where they abstain, for the foremost) less those for the next one, as a share of all."""


@dataclass(frozen=True)
class OwnedVectors:
    """Patches as vectors, and whose they are."""

    vectors: NDArray[np.float32]
    """``(n, d)``."""
    owners: NDArray[np.int64]
    """What each belongs to, patient and slide, as numbers ``(n, g)``: two patches are of one kind where any of the
    ``g`` agrees; negative numbers agree with none."""

    def __len__(self) -> int:
        return len(self.vectors)

    def take(self, rows: NDArray[np.int64]) -> OwnedVectors:
        """Return some of them."""
        return OwnedVectors(self.vectors[rows], self.owners[rows])


class Neighbours(NamedTuple):
    """The nearest known patches of each query."""

    rows: NDArray[np.int64]
    """In the reference, near to far, ``(n, k)``."""
    distances: NDArray[np.float32]
    """Euclidean, ``(n, k)``."""


def vote(labels: Sequence[int], tie: TieRule = "abstain") -> Vote:
    """Return what neighbours vote for.

    Parameters
    ----------
    labels
        Their classes, near to far.
    tie
        What holds without a majority: a class of which there are more than half.

    Raises
    ------
    UsageError
        There are no neighbours.
    """
    if not labels:
        msg = "there is no neighbour to vote"
        raise UsageError(msg)
    counts = {one: labels.count(one) for one in labels}
    foremost = max(counts, key=lambda one: counts[one])  # of equal ones the nearest, which comes first
    chosen: int | None = foremost
    if 2 * counts[foremost] <= len(labels):
        chosen = {"abstain": None, "nearest": labels[0], "boyer_moore": _boyer_moore(labels)}[tie]
    of = foremost if chosen is None else chosen
    others = max((count for one, count in counts.items() if one != of), default=0)
    return Vote(chosen, (counts[of] - others) / len(labels))


def _boyer_moore(labels: Sequence[int]) -> int:
    """Return the candidate of Boyer's and Moore's majority vote (1981) without the pass that would verify it."""
    candidate, count = labels[0], 0
    for one in labels:
        if count == 0:
            candidate = one
        count += 1 if one == candidate else -1
    return candidate


def find_neighbours(queries: OwnedVectors, reference: OwnedVectors, settings: NeighbourSettings) -> Neighbours:
    """Return the nearest rows of a reference for each query, none of them the query's own.

    Parameters
    ----------
    queries, reference
        ``n`` and ``m`` of them, whose owners are numbered alike.
    settings
        How many, and how they are found.

    Raises
    ------
    UsageError
        A query has fewer than k that are not its own.
    MissingExtra
        The extra that finds them is not installed.
    """
    find = _approximate if len(reference) > settings.approximate_above else _exact
    return find(queries, reference, settings.k)


def own_rows(own: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which rows of a reference are of a query's own patient or slide, ``(n, m)``, by owners as numbers."""
    alike = np.zeros((len(own), len(others)), bool)
    for mine, theirs in zip(own.T, others.T, strict=True):
        alike |= (mine[:, None] == theirs[None, :]) & (mine[:, None] >= 0)
    return alike


def _exact(queries: OwnedVectors, reference: OwnedVectors, k: int) -> Neighbours:
    with needs_extra("train", "retrieval"):
        from sklearn.metrics import pairwise_distances_chunked

    def nearest(distances: NDArray[np.float32], start: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        mine = own_rows(queries.owners[start : start + len(distances)], reference.owners)
        _check_enough((~mine).sum(axis=1), k)
        distances[mine] = np.inf
        rows = _smallest(distances, k)
        return rows, np.take_along_axis(distances, rows, axis=1)

    found: Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]] = pairwise_distances_chunked(
        queries.vectors, reference.vectors, reduce_func=nearest, metric="euclidean", working_memory=DISTANCES_MIB
    )
    rows, distances = zip(*found, strict=True)
    return Neighbours(np.concatenate(rows), np.concatenate(distances).astype(np.float32))


def _smallest(distances: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Return the columns of the k smallest values of each row ``(n, m)``, the smallest first; of equal ones the first.

    Nothing of the size of ``distances`` stays alive with them.
    """
    columns = np.empty((len(distances), k), np.int64)
    bounds = np.partition(distances, k - 1, axis=1)[:, k - 1].tolist()
    for row, bound in enumerate(bounds):
        near = np.flatnonzero(distances[row] <= bound)
        columns[row] = near[np.argsort(distances[row, near], kind="stable")[:k]]
    return columns


def _check_enough(counts: NDArray[np.intp], k: int) -> None:
    if counts.min() < k:
        msg = (
            f"a query has {counts.min()} known patches of other slides and patients, and {k} neighbours are asked for: "
            "give a larger reference, or a lower -k"
        )
        raise UsageError(msg)


def _approximate(queries: OwnedVectors, reference: OwnedVectors, k: int) -> Neighbours:
    """Ask an index for more than are wanted; a query that is left with too few others is answered exactly."""
    with needs_extra("explain", "the approximate index"):
        import faiss
    index = faiss.IndexHNSWFlat(reference.vectors.shape[1], LINKS)
    index.hnsw.efSearch = SEARCHED
    index.add(np.ascontiguousarray(reference.vectors))
    squares, rows = index.search(np.ascontiguousarray(queries.vectors), min(SPARE * k, len(reference)))
    out = Neighbours(np.empty((len(queries), k), np.int64), np.empty((len(queries), k), np.float32))
    short = []
    for row in range(len(queries)):
        there = rows[row] >= 0
        mine = own_rows(queries.owners[row : row + 1], reference.owners[rows[row][there]])[0]
        kept = np.flatnonzero(there)[~mine][:k]
        if len(kept) < k:
            short.append(row)
            continue
        out.rows[row], out.distances[row] = rows[row][kept], np.sqrt(squares[row][kept])
    if short:
        out.rows[short], out.distances[short] = _exact(queries.take(np.array(short)), reference, k)
    return out
