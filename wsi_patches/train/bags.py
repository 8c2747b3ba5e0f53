"""Bags: the patches of one slide, or of one patient, of which nobody says which matter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from wsi_patches.datasets.item import GroupKind
from wsi_patches.datasets.slide_labels import SlideLabels
from wsi_patches.datasets.splits import SplitRow, keep_together
from wsi_patches.errors import UsageError
from wsi_patches.patch import SlideRecord
from wsi_patches.stores import Store

__all__ = ["Bag", "BagKind", "BagSet", "find_bags", "mean_vectors", "record_row"]

BagKind = Literal["patient", "slide"]
"""What a bag is: a patient's patches (of one whose patient nobody says, the slide's), or a slide's."""


@dataclass(frozen=True)
class Bag:
    """The patches of one slide or patient."""

    id: str
    """The patient's or the slide's name."""
    group: str | None
    """What a split must keep together beside it: the patient, or the slide that its pictures were taken from."""
    group_kind: GroupKind | None
    label: str | None
    slides: tuple[tuple[int, str], ...]
    """Number of the store, and the slide's id, of each of its slides."""
    path: str
    """Of its first slide."""
    rows: NDArray[np.int64]
    """Its patches: their positions, the stores' lying one after the other, shape ``(n,)``, ascending."""

    @property
    def row(self) -> SplitRow:
        """What a split is told of it."""
        return SplitRow(self.id, self.path, self.group, self.group_kind, self.label, self.id)


@dataclass(frozen=True)
class BagSet:
    """Bags with a label, and the features of their patches."""

    bags: tuple[Bag, ...]
    features: NDArray[np.float32]
    """Of all patches of all stores, ``(patches, dim)``; `Bag.rows` point into it."""
    class_names: tuple[str, ...]
    truth: NDArray[np.int32]
    """Index into ``class_names`` of each bag, shape ``(bags,)``."""

    def __len__(self) -> int:
        return len(self.bags)

    def instances(self, number: int) -> NDArray[np.float32]:
        """Return the features of a bag's patches, ``(n, dim)``."""
        return np.asarray(self.features[self.bags[number].rows])

    @property
    def ids(self) -> NDArray[np.str_]:
        """Of each bag, shape ``(bags,)``."""
        return np.array([bag.id for bag in self.bags], str)

    @property
    def groups(self) -> NDArray[np.str_]:
        """The patient of each bag, shape ``(bags,)``; the bag itself where nobody says."""
        return np.array([bag.group or bag.id for bag in self.bags], str)

    @property
    def group_kind(self) -> str:
        """What ``groups`` are: patients if they are for all, else slides."""
        return "patient" if all(bag.group_kind == "patient" for bag in self.bags) else "slide"


def find_bags(
    stores: Sequence[Store], kept: Sequence[NDArray[np.bool_]], kind: BagKind, labels: SlideLabels | None = None
) -> tuple[list[Bag], tuple[str, ...]]:
    """Return the bags of some stores, and what was left out of them, in sentences.

    Parameters
    ----------
    stores
        Open ones.
    kept
        Which patches of each store count, shape ``(n,)`` each: those that could be read.
    kind
        What a bag is.
    labels
        Labels that count in place of the stores' own.

    Raises
    ------
    UsageError
        Slides of one patient bear different labels, or two stores have slides of one name.
    """
    offsets = np.cumsum([0, *(len(store) for store in stores)])
    members: dict[str, list[tuple[int, SlideRecord]]] = {}
    for number, store in enumerate(stores):
        rows = [record_row(record) for record in store.slides]
        for record, name in zip(store.slides, keep_together(rows, kind), strict=True):
            members.setdefault(name, []).append((number, record))
    _check_names(stores)
    names = _names(list(members))
    bags, empty = [], 0
    for key, slides in members.items():
        rows = [
            offsets[number] + position
            for number, record in slides
            for position in stores[number].positions_of(record.id)
            if kept[number][position]
        ]
        empty += not rows
        if rows:
            bags.append(_bag(names[key], slides, np.sort(np.array(rows, np.int64)), labels))
    return bags, (f"{empty} slides or patients without a readable patch were left out",) if empty else ()


def mean_vectors(features: NDArray[np.float32], bags: Sequence[Bag]) -> NDArray[np.float32]:
    """Return the mean of each bag's features, float32 ``(bags, dim)``."""
    return np.stack([features[bag.rows].mean(axis=0) for bag in bags])


def record_row(record: SlideRecord) -> SplitRow:
    """Return what a split is told of a slide of a store."""
    kind: GroupKind | None = None
    if record.group is not None:
        kind = "patient" if record.group_kind == "patient" else "slide"
    return SplitRow(record.id, record.path, record.group, kind, record.label, record.id)


def _check_names(stores: Sequence[Store]) -> None:
    times = Counter(record.id for store in stores for record in store.slides)
    twice = [name for name, count in times.items() if count > 1]
    if twice:
        msg = f"{len(twice)} slides are in two of the stores, such as {twice[0]}: `wsi-patches merge --prefix` renames"
        raise UsageError(msg)


def _names(keys: Sequence[str]) -> dict[str, str]:
    """Return what to call each bag: without the word that says what it is, where that leaves them different."""
    short = {key: key.split(" ", 1)[1] for key in keys}
    return short if len(set(short.values())) == len(keys) else {key: key for key in keys}


def _bag(name: str, slides: list[tuple[int, SlideRecord]], rows: NDArray[np.int64], labels: SlideLabels | None) -> Bag:
    first = slides[0][1]
    said = {_label(record, labels) for _, record in slides} - {None}
    if len(said) > 1:
        found = ", ".join(sorted(map(str, said)))
        msg = f"the slides of {name} are labelled {found}: let `bag: slide` make a bag of each, or give their --labels"
        raise UsageError(msg)
    of = record_row(first)
    own = tuple((number, record.id) for number, record in slides)
    return Bag(name, of.group, of.group_kind, next(iter(said), None), own, first.path, rows)


def _label(record: SlideRecord, labels: SlideLabels | None) -> str | None:
    return record.label if labels is None else labels.of(record.id, record.path, record.group)
