"""The patches of a store that have a class, and which patient or slide each is of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wsi_patches.errors import UsageError
from wsi_patches.patch import SlideRecord
from wsi_patches.stores import Store

__all__ = ["LABEL", "LabelledPatches", "known_patches", "labelled_patches", "readable_patches"]

LABEL = "label"
"""The target that means each slide's own label."""


@dataclass(frozen=True)
class LabelledPatches:
    """The ``n`` patches of a store whose class is known."""

    store: Store
    positions: NDArray[np.int64]
    """Where they are in the store, shape ``(n,)``, ascending."""
    class_names: tuple[str, ...]
    truth: NDArray[np.int32]
    """Index into ``class_names``, shape ``(n,)``."""

    def __len__(self) -> int:
        return len(self.positions)

    def read(self, rows: ArrayLike) -> NDArray[np.uint8]:
        """Return the patches at ``rows`` of these, uint8 RGB of shape ``(n, h, w, 3)``."""
        return self.store.read(self.positions[np.asarray(rows, np.int64)])

    def __getitem__(self, row: int) -> NDArray[np.uint8]:
        """Return one patch, uint8 RGB of shape ``(h, w, 3)``."""
        patch: NDArray[np.uint8] = self.read([row])[0]
        return patch

    @property
    def group_kind(self) -> str:
        """What ``groups`` are: patients if they are for all, else slides."""
        kinds = {self.store.slides[row].group_kind for row in set(self.slides.tolist())}
        return "patient" if kinds == {"patient"} else "slide"

    @property
    def slides(self) -> NDArray[np.int64]:
        """Row in the store's ``slides`` of each patch, shape ``(n,)``."""
        return self.store.slide_rows[self.positions]

    @property
    def groups(self) -> NDArray[np.str_]:
        """What must be kept together, shape ``(n,)``: the group, or the slide where none is known."""
        names = np.array([record.group or record.id for record in self.store.slides], str)
        return names[self.slides]

    @property
    def ids(self) -> NDArray[np.str_]:
        """A name for each patch, shape ``(n,)``: its slide's, with its index in the grid if a slide has several."""
        names = [self.store.slides[row].id for row in self.slides.tolist()]
        if len(set(names)) == len(names):
            return np.array(names, str)
        indices = self.store.grid_index[self.positions].tolist()
        return np.array([f"{name}#{index}" for name, index in zip(names, indices, strict=True)], str)


def labelled_patches(store: Store, target: str | None = None) -> LabelledPatches:
    """Return the patches of a store that have a class.

    Parameters
    ----------
    store
        The store.
    target
        ``label`` for each slide's own label; the name of an annotated class for whether a patch holds such a cell.
        Without one it is the label if there are two different ones, else the first annotated class.

    Raises
    ------
    UsageError
        The store has no such classes, or all its patches are of one.
    """
    chosen, found = target or _usual(store), known_patches(store, target)
    if len(set(found.truth.tolist())) < 2:
        one = (
            f"all {len(found.truth)} are {found.class_names[found.truth[0]]!r}" if len(found.truth) else "none has one"
        )
        msg = (
            f"{store.path}: two or more classes of patches are needed, and by the target {chosen!r} {one}; choose "
            f"another --target ({_targets(store)})"
        )
        raise UsageError(msg)
    return found


def known_patches(store: Store, target: str | None = None) -> LabelledPatches:
    """Return the patches of a store whose class is known, though there be only one class, or none of them.

    Parameters and errors are those of `labelled_patches`.
    """
    chosen = target or _usual(store)
    return _readable(_by_label(store) if chosen == LABEL else _by_cells(store, chosen))


def readable_patches(store: Store) -> NDArray[np.bool_]:
    """Return which patches of a store were read, shape ``(n,)``; the others are background, whatever they were."""
    lost = [store.unreadable[record.id] for record in store.slides]
    places = zip(store.grid_index.tolist(), store.slide_rows.tolist(), strict=True)
    return np.array([index not in lost[row] for index, row in places], bool)


def _readable(found: LabelledPatches) -> LabelledPatches:
    kept = readable_patches(found.store)[found.positions]
    return LabelledPatches(found.store, found.positions[kept], found.class_names, found.truth[kept])


def _usual(store: Store) -> str:
    labels = {record.label for record in store.slides} - {None}
    annotated = any(record.annotated for record in store.slides)
    return LABEL if len(labels) > 1 or not annotated else store.settings.rule.class_names[0]


def _targets(store: Store) -> str:
    return ", ".join((LABEL, *store.settings.rule.class_names))


def _by_label(store: Store) -> LabelledPatches:
    names = tuple(sorted({record.label for record in store.slides if record.label}))
    of_slide = np.array([_index(names, record) for record in store.slides], np.int32)
    truth = of_slide[store.slide_rows]
    positions = np.flatnonzero(truth >= 0)
    return LabelledPatches(store, positions, names, truth[positions])


def _index(names: tuple[str, ...], record: SlideRecord) -> int:
    return names.index(record.label) if record.label else -1


def _by_cells(store: Store, class_name: str) -> LabelledPatches:
    known = store.settings.rule.class_names
    if class_name not in known:
        msg = f"{store.path} knows no target {class_name!r}: choose one of {_targets(store)}"
        raise UsageError(msg)
    annotated = np.array([record.annotated for record in store.slides], bool)
    positions = np.flatnonzero(annotated[store.slide_rows])
    holds = store.labels[positions, known.index(class_name)] > 0
    return LabelledPatches(store, positions, (f"no {class_name}", class_name), holds.astype(np.int32))
