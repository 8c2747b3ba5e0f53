"""The two sides of ``explain``: what is asked about, the known patches, and which of these are nearest."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import UsageError
from wsi_patches.evaluate.neighbours import Neighbours, OwnedVectors, find_neighbours
from wsi_patches.pipeline import Progress
from wsi_patches.workflows.explain_cases import Cases, find_cases
from wsi_patches.workflows.explain_network import Network
from wsi_patches.workflows.explain_settings import ExplainSettings
from wsi_patches.workflows.explain_vectors import Vectors, describe_cases

__all__ = ["Compared", "compare"]


@dataclass(frozen=True)
class Compared:
    """Queries, known patches, and which of these are nearest."""

    queries: Cases
    reference: Cases
    asked: OwnedVectors
    """Features of the queries, and the patient and slide of each."""
    known: OwnedVectors
    """Of the known patches."""
    near: Neighbours
    same: bool
    """Whether the queries are the known patches themselves, row by row."""

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """The classes of the known patches, in alphabetical order."""
        return tuple(sorted(set(self.reference.labels.tolist())))

    @cached_property
    def query_classes(self) -> NDArray[np.int64]:
        """Index into ``class_names``, ``(n,)``; -1 where it is not known or is no class of the reference."""
        return self._index(self.queries.labels)

    @cached_property
    def reference_classes(self) -> NDArray[np.int64]:
        """Index into ``class_names``, ``(m,)``."""
        return self._index(self.reference.labels)

    @property
    def neighbour_classes(self) -> NDArray[np.int64]:
        """Of each neighbour, ``(n, k)``."""
        return self.reference_classes[self.near.rows]

    def _index(self, labels: NDArray[np.str_]) -> NDArray[np.int64]:
        rows = {name: row for row, name in enumerate(self.class_names)}
        return np.array([rows.get(one, -1) for one in labels.tolist()], np.int64)


def compare(
    settings: ExplainSettings, network: Network, progress: Progress | None = None
) -> tuple[Compared, tuple[str, ...]]:
    """Read and describe queries and known patches, and find the neighbours.

    Parameters
    ----------
    settings
        Which they are, and how many neighbours.
    network
        What describes them.
    progress
        Told how many patches are described, and of how many.

    Returns
    -------
    What was compared, and sentences on what was left out and what a reader must know.

    Raises
    ------
    UsageError
        There is nothing to ask about, or there are no known patches of two classes, or too few of others.
    SlideError, StoreError
        A patch cannot be read any more.
    """
    how = (network.scale, network.described.frame.input_px, settings.rule, settings.target)
    found = find_cases(settings.reference, *how)
    reference, left_out = _with_classes(found)
    is_asked = settings.queries == settings.reference
    queries = _as_known(found if is_asked else find_cases(settings.queries, *how), reference)
    same = is_asked and len(queries) == len(reference)
    asked, known = _described(queries, reference, network, progress, same=same)
    mine, theirs = _owners(queries, reference)
    vectors = (asked.logits, known.logits) if settings.in_logits else (asked.features, known.features)
    near = find_neighbours(OwnedVectors(vectors[0], mine), OwnedVectors(vectors[1], theirs), settings.neighbours)
    sides = OwnedVectors(asked.features, mine), OwnedVectors(known.features, theirs)
    notes = (*reference.notes, *queries.notes, *left_out, *_whose(queries))
    return Compared(queries, reference, *sides, near, same), tuple(dict.fromkeys(notes))


def _described(
    queries: Cases, reference: Cases, network: Network, progress: Progress | None, *, same: bool
) -> tuple[Vectors, Vectors]:
    """Return what the network says of both sides, which are described once where they are the same."""
    total, so_far = len(reference) + (0 if same else len(queries)), 0

    def done(count: int) -> None:
        nonlocal so_far
        so_far += count
        if progress is not None:
            progress(so_far, total)

    known = describe_cases(reference, network.described, network.identity, done)
    return known if same else describe_cases(queries, network.described, network.identity, done), known


def _with_classes(cases: Cases) -> tuple[Cases, tuple[str, ...]]:
    """Return the known patches that have a class."""
    known = np.flatnonzero(cases.labels != "")
    classes = sorted(set(cases.labels[known].tolist()))
    if len(classes) < 2:
        msg = (
            f"the reference holds {len(known)} patches with a class, of {', '.join(classes) or 'none'}: give a "
            "labelled store, or folders named as the classes, of two or more"
        )
        raise UsageError(msg)
    left = len(cases) - len(known)
    return cases.take(known), (f"{left} patches of the reference have no class and were left out.",) if left else ()


def _as_known(queries: Cases, reference: Cases) -> Cases:
    """Return queries with what the reference knows of those that are the same file: whose they are, and their class."""
    first = dict(zip(reversed(reference.slides.tolist()), reversed(range(len(reference))), strict=True))
    single = _single(queries.slides) & _single(reference.slides)  # of several patches nothing tells which is which
    told = {name: getattr(queries, name).tolist() for name in ("groups", "group_kinds", "labels")}
    for number, slide in enumerate(queries.slides.tolist()):
        if slide in first and not told["groups"][number]:
            told["groups"][number] = str(reference.groups[first[slide]])
            told["group_kinds"][number] = str(reference.group_kinds[first[slide]])
        if slide in single:
            told["labels"][number] = told["labels"][number] or str(reference.labels[first[slide]])
    columns: dict[str, Any] = {name: np.array(values, str) for name, values in told.items()}
    return replace(queries, **columns)


def _single(slides: NDArray[np.str_]) -> set[str]:
    """Return the slides of which there is one patch."""
    return {one for one, count in Counter(slides.tolist()).items() if count == 1}


def _owners(queries: Cases, reference: Cases) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the group and the file of each case of both sides as numbers, ``(n, 2)`` and ``(m, 2)``."""
    groups, files = _codes(queries.groups, reference.groups), _codes(queries.slides, reference.slides)
    mine, theirs = (np.stack(pair, axis=1) for pair in zip(groups, files, strict=True))
    return mine, theirs


def _codes(mine: NDArray[np.str_], theirs: NDArray[np.str_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return numbers for names, the same on both sides; -1 for an empty one."""
    names, numbers = np.unique(np.concatenate([mine, theirs]), return_inverse=True)
    codes = np.where(names[numbers] == "", -1, numbers)
    return codes[: len(mine)], codes[len(mine) :]


def _whose(queries: Cases) -> tuple[str, ...]:
    unknown = int(np.count_nonzero(queries.patients == ""))
    if not unknown:
        return ()
    return (
        f"Of {unknown} of {len(queries)} queries nobody says which patient they are of: only their own picture or "
        "slide is kept out of their neighbours, and other pictures of the same patient may be among them.",
    )
