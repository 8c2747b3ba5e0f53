"""The patches of ``wsi-patches effect``: of a store or of a folder's pictures, and the step that they go through."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from wsi_patches.datasets import GroupRule, SlideItem, find_inputs, with_groups
from wsi_patches.datasets.item import GroupKind
from wsi_patches.datasets.splits import By, SplitRow, group_warning, keep_together, make_split
from wsi_patches.errors import UsageError
from wsi_patches.imaging.painted_outside import paint_outside
from wsi_patches.imaging.sharpen import SharpenSettings, sharpen_adaptively
from wsi_patches.models.input_mask import InputMask, MaskBy, MaskPart
from wsi_patches.patch import SlideRecord
from wsi_patches.stores import Store, derived_settings, open_store, read_derived
from wsi_patches.stores.derived import IMAGES
from wsi_patches.train.fields import FieldSettings, field_patches
from wsi_patches.train.masked import blank_words
from wsi_patches.train.patch_set import CellMark, PatchSet, PatchWriter
from wsi_patches.train.two_arms import Step
from wsi_patches.workflows.labelled import labelled_patches

__all__ = ["Halves", "Masking", "folder_patches", "halve", "kept_step", "sharpening", "store_patches"]

BATCH_PATCHES = 64
KEPT = ("sharpened", "colour")
"""Derived groups that hold images."""
BLOCKS = 10
"""Runs of neighbouring files that each label is cut into for the intervals, where patients are not known."""


def sharpening(settings: SharpenSettings) -> Step:
    """Return the adaptive unsharpening of patches as they come."""
    return lambda _rows, images: sharpen_adaptively(images, settings, precision="float32").images


@dataclass
class Masking:
    """The step that paints patches of single cells black outside of the cell or of its nucleus."""

    part: MaskPart
    by: MaskBy
    blank: set[int] = field(default_factory=set)
    """Rows of the patches seen so far in which no nucleus stood out: these are black all over."""

    def __call__(self, rows: NDArray[np.int64], images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the patches after the step."""
        painted = paint_outside(images, self.part, self.by)
        self.blank.update(rows[painted.blank].tolist())
        return painted.images

    def told(self, patches: int) -> tuple[str, ...]:
        """Return a sentence on patches that became black all over, if any did."""
        if not self.blank:
            return ()
        mask = InputMask(self.part, self.by)
        return (f"With the step: {blank_words(len(self.blank), patches, mask, 'classified so')}.",)


def kept_step(store: Store, name: str, positions: NDArray[np.int64]) -> Step:
    """Return what replaces patches by those that ``preprocess`` kept; the ones that it left alone stay.

    Parameters
    ----------
    store
        That of the patches.
    name
        Of the derived group: ``sharpened`` or ``colour``.
    positions
        Where the patches are in the store, shape ``(n,)``.

    Raises
    ------
    UsageError
        The group holds no images, or no command keeps one of that name.
    StoreError
        Not every part has the group complete.
    """
    if name not in KEPT and all(derived_settings(part.folder, name) is None for part in store.parts):
        msg = f"no step {name!r}: choose {' or '.join(KEPT)}, which preprocess keeps, or cell-mask or nucleus-mask"
        raise UsageError(msg)
    groups = [read_derived(part.folder, name) for part in store.parts]
    if any(IMAGES not in group.arrays for group in groups):
        msg = f"derived {name} of {store.path} holds no images: choose sharpened or colour with --step"
        raise UsageError(msg)

    @cache
    def places_of(part: int) -> dict[int, int]:
        """Return where each patch of a part lies among the images that were kept of it."""
        whole = np.arange(store.parts[part].count)
        rows: NDArray[Any] = groups[part].column("row") if "row" in groups[part].arrays else whole
        return {row: at for at, row in enumerate(rows.tolist())}

    def replaced(rows: NDArray[np.int64], images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        out = images.copy()
        parts = np.searchsorted(store.offsets, positions[rows], side="right") - 1
        for part in np.unique(parts).tolist():
            mine = np.flatnonzero(parts == part)
            place = places_of(part)
            local = (positions[rows[mine]] - store.offsets[part]).tolist()
            known = [(place[row], out[one]) for row, one in zip(local, mine.tolist(), strict=True) if row in place]
            groups[part].images().read([at for at, _ in known], [image for _, image in known])
        return out

    return replaced


def store_patches(path: Path, target: str | None, folder: Path) -> tuple[PatchSet, Callable[[str], Step]]:
    """Return the labelled patches of a store, and what returns a step that was kept in it, by its name.

    Raises
    ------
    UsageError
        The store has no two classes.
    StoreError
        It cannot be read.
    """
    store = open_store(path)
    labelled = labelled_patches(store, target)
    places = store.xy[labelled.positions].tolist()
    with PatchWriter(folder, store.settings.spec.size_px) as writer:
        for start in range(0, len(labelled), BATCH_PATCHES):
            rows = range(start, min(start + BATCH_PATCHES, len(labelled)))
            for row, image in zip(rows, labelled.read(rows), strict=True):
                mark = CellMark(int(labelled.slides[row]), int(labelled.truth[row]), *map(float, places[row]))
                writer.add(mark, image)
        items = [_item(record) for record in store.slides]
        made = writer.finished(labelled.class_names, items)
    return made, lambda name: kept_step(store, name, labelled.positions)


def _item(record: SlideRecord) -> SlideItem:
    kind = cast(GroupKind | None, record.group_kind)  # what extract wrote there came from an item
    return SlideItem(record.path, group=record.group, group_kind=kind, label=record.label)


def folder_patches(path: Path, side_px: int, groups: GroupRule, folder: Path) -> tuple[PatchSet, tuple[str, ...]]:
    """Return the labelled pictures of a folder, their middle squares of one side, and what is wrong with others.

    Raises
    ------
    UsageError
        There are fewer than two classes.
    """
    found = find_inputs([path])
    patches = field_patches(with_groups(found.items, groups), FieldSettings(input_px=side_px), folder)
    return patches, (*found.problems, *patches.left_out)


@dataclass(frozen=True)
class Halves:
    """How patches are halved, again and again."""

    by: By
    train: NDArray[np.bool_]
    """Which patches each repetition learns from, ``(repetitions, n)``; it tests the others."""
    groups: NDArray[np.str_]
    """What counts as one independent sample in the intervals, ``(n,)``."""
    group_kind: str
    warnings: tuple[str, ...]


def halve(patches: PatchSet, by: By | None, repetitions: int, seed: int) -> Halves:
    """Cut patches into two halves of like classes, again and again; a draw says which half is learnt from.

    Parameters
    ----------
    patches
        With the slide and maybe the patient of each.
    by
        What is kept together; patients where all are known, else blocks of files in name order, if None. ``none`` cuts
        between any two patches, as published.
    repetitions
        How often.
    seed
        Equal seeds give equal halves.

    Raises
    ------
    UsageError
        There are too few groups to be halved.
    """
    rows = _rows(patches)
    known = all(row.group is not None and row.group_kind == "patient" for row in rows)
    chosen: By = by or ("patient" if known else "block")
    train = np.empty((repetitions, len(rows)), np.bool_)
    for number in range(repetitions):
        names = make_split(rows, chosen, 2, seed + number).names
        first = np.random.default_rng([seed, number]).integers(2)
        train[number] = np.array(names) == f"fold{first + 1}"
    groups, kind = _independent(rows, chosen, known=known)
    warning = group_warning(rows, chosen)
    return Halves(chosen, train, groups, kind, (warning,) if warning else ())


def _independent(rows: Sequence[SplitRow], by: By, *, known: bool) -> tuple[NDArray[np.str_], str]:
    """Return what the intervals draw, however patches are halved: patients, else slides, or blocks of files.

    Blocks hold files that may share a patient.
    """
    if by == "block" and not known:
        fewest = min(np.unique([row.label or "" for row in rows], return_counts=True)[1].tolist())
        blocks = make_split(rows, "block", max(2, min(BLOCKS, fewest)), 0).names
        return np.array([f"{row.label} {name}" for row, name in zip(rows, blocks, strict=True)], str), "block of files"
    return np.array(keep_together(rows, "patient"), str), "patient" if known else "picture or slide"


def _rows(patches: PatchSet) -> list[SplitRow]:
    columns = zip(patches.ids.tolist(), patches.slide.tolist(), patches.truth.tolist(), strict=True)
    names, items = patches.slide_ids.tolist(), patches.slides
    return [
        SplitRow(one, items[k].path, items[k].group, items[k].group_kind, patches.class_names[truth], names[k])
        for one, k, truth in columns
    ]
