"""The splits of an export: dealt anew, or those that the store or its slides already have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from wsi_patches.datasets.split_file import write_split
from wsi_patches.datasets.splits import Split, SplitRow, make_split
from wsi_patches.errors import UsageError
from wsi_patches.export.columns import has_derived
from wsi_patches.stores import Store
from wsi_patches.stores.splits import NO_SPLIT, SPLIT, read_store_split
from wsi_patches.workflows.split import PATCH_MARK, slide_rows

__all__ = ["PatchSplit", "SplitWish", "split_patches"]

Kept = Literal["store", "published", "none"]


@dataclass(frozen=True)
class SplitWish:
    """Which splits are asked for."""

    what: Mapping[str, float] | Kept | None = None
    """Shares, or the store's own split, or the one that its slides were published with, or none; by default the first
    of these three that there is."""
    by: Literal["patient", "slide"] = "patient"
    seed: int = 0


@dataclass(frozen=True)
class PatchSplit:
    """The patches that are in a split, or all where there are no splits."""

    positions: NDArray[np.int64]
    codes: NDArray[np.int64]
    """Index into ``names`` of each; -1 where there are no splits."""
    names: tuple[str, ...]
    told: str
    """How it was made."""
    split: Split | None = None
    """What is written down."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader of figures measured on it should know."""
        return () if self.split is None else self.split.warnings

    def write(self, out: Path) -> None:
        """Write ``split.csv`` and ``split.json``, as ``wsi-patches split`` does; nothing where there are no splits.

        An export is handed on: of slides it has the names, not the folders that they lie in.
        """
        if self.split is not None:
            rows = tuple(replace(row, path=PurePath(row.path).name) for row in self.split.rows)
            write_split(replace(self.split, rows=rows), out, overwrite=True)


def split_patches(store: Store, positions: NDArray[np.int64], wish: SplitWish) -> PatchSplit:
    """Give each of some patches its split; those that are in none are left out, unless there are no splits at all.

    Raises
    ------
    UsageError
        There is no such split, or none can be made.
    """
    what = wish.what or _usual(store)
    if what == "none":
        return PatchSplit(positions, np.full(len(positions), -1, np.int64), (), "There are no splits.")
    rows = np.unique(store.slide_rows[positions])
    slides = [one for number, one in enumerate(slide_rows(store)) if number in set(rows.tolist())]
    if isinstance(what, Mapping):
        made = make_split(slides, wish.by, what, wish.seed)
        told = f"Splits were dealt by {wish.by} (seed {wish.seed}); `split.csv` has each slide's."
        return _of_slides(store, positions, made, tuple(what), told)
    if what == "published":
        known = {one.id: one.split or NO_SPLIT for one in store.slides}
        stated = [one for one in slides if known[one.id]]
        made = Split(tuple(stated), tuple(known[one.id] for one in stated))
        names = tuple(sorted(set(made.names)))
        if not names:
            msg = f"{store.path}: its slides state no published split; give shares, such as --split 0.7/0.15/0.15"
            raise UsageError(msg)
        return _of_slides(store, positions, made, names, "Splits are those that the slides were published with.")
    return _of_store(store, positions, slides)


def _usual(store: Store) -> Kept:
    if has_derived(store, SPLIT):
        return "store"
    return "published" if any(record.split for record in store.slides) else "none"


def _of_slides(
    store: Store, positions: NDArray[np.int64], made: Split, names: tuple[str, ...], told: str
) -> PatchSplit:
    code = {row.id: names.index(name) for row, name in zip(made.rows, made.names, strict=True)}
    of_slide = np.array([code.get(record.id, -1) for record in store.slides], np.int64)
    codes = of_slide[store.slide_rows[positions]]
    return PatchSplit(positions[codes >= 0], codes[codes >= 0], names, told, made)


def _of_store(store: Store, positions: NDArray[np.int64], slides: list[SplitRow]) -> PatchSplit:
    """Return the split that the store keeps, written down by slides where no slide is in two of them."""
    kept = read_store_split(store)[positions]
    positions, kept = positions[kept != NO_SPLIT], kept[kept != NO_SPLIT]
    names, codes = np.unique(kept, return_inverse=True)
    of = store.slide_rows[positions]
    pairs = np.unique(np.stack([of, codes], axis=1), axis=0)
    row_of = {row.id: row for row in slides}
    ids = [record.id for record in store.slides]
    told = "Splits are those that `wsi-patches split` keeps in the store."
    if len(pairs) == len(np.unique(of)):
        made = Split(tuple(row_of[ids[row]] for row, _ in pairs.tolist()), tuple(names[pairs[:, 1]].tolist()))
    else:
        marks = zip(of.tolist(), store.grid_index[positions].tolist(), strict=True)
        rows = tuple(_patch_row(row_of[ids[row]], index) for row, index in marks)
        made = Split(rows, tuple(kept.tolist()))
    return PatchSplit(positions, codes.astype(np.int64), tuple(names.tolist()), told, made)


def _patch_row(row: SplitRow, index: int) -> SplitRow:
    return SplitRow(f"{row.id}{PATCH_MARK}{index}", row.path, row.group, row.group_kind, row.label, row.slide)
