"""What ``explain`` compares: patches of a store, labelled pictures, or the cells that ``infer`` found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wsi_patches.annotations import read_geojson
from wsi_patches.counting.centred import PatchScale, centred_patch, diameter_of, patch_side
from wsi_patches.datasets import GroupRule, SlideItem, find_inputs, with_groups
from wsi_patches.errors import SlideError, UsageError
from wsi_patches.report import read_report
from wsi_patches.slides import open_slide
from wsi_patches.slides.fingerprint import fingerprint
from wsi_patches.stores import Store, is_store, open_store
from wsi_patches.workflows.labelled import LABEL, LabelledPatches, known_patches
from wsi_patches.workflows.output import COUNTS

__all__ = ["Cases", "find_cases"]

AT_ONCE = 32
Read = Callable[[int], NDArray[np.uint8]]


@dataclass(frozen=True)
class Cases:
    """Patches to be compared, ``n`` of them."""

    names: NDArray[np.str_]
    """Of each, for people."""
    files: NDArray[np.str_]
    """Where its slide or picture lies."""
    slides: NDArray[np.str_]
    """What tells its slide's or picture's file from every other."""
    patients: NDArray[np.str_]
    """Patient or other group; empty where nobody says."""
    labels: NDArray[np.str_]
    """Class; empty where nobody says."""
    reads: Callable[[NDArray[np.int64]], NDArray[np.uint8]]
    """Reads patches by number, uint8 RGB ``(k, s, s, 3)``."""
    store: Store | None = None
    """Where they lie, if they lie in one."""
    positions: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    """In the store, ``(n,)``."""
    notes: tuple[str, ...] = ()
    """What was left out, and why."""

    def __len__(self) -> int:
        return len(self.names)

    def read(self, rows: ArrayLike) -> NDArray[np.uint8]:
        """Return the patches at ``rows``, uint8 RGB ``(k, s, s, 3)``."""
        return self.reads(np.asarray(rows, np.int64))

    def batches(self) -> Iterator[NDArray[np.uint8]]:
        """Yield all patches, some at a time."""
        for start in range(0, len(self), AT_ONCE):
            yield self.read(np.arange(start, min(start + AT_ONCE, len(self))))

    def take(self, rows: NDArray[np.int64]) -> Cases:
        """Return some of them."""
        reads, store = self.reads, self.store
        columns: dict[str, Any] = {
            name: getattr(self, name)[rows] for name in ("names", "files", "slides", "patients", "labels")
        }
        return replace(
            self,
            **columns,
            reads=lambda asked: reads(rows[asked]),
            positions=self.positions if store is None else self.positions[rows],
        )


def find_cases(
    inputs: Sequence[Path], scale: PatchScale, input_px: int, rule: GroupRule, target: str | None = None
) -> Cases:
    """Return what lies in stores, in outputs of ``infer``, or as pictures: all of one kind.

    Parameters
    ----------
    inputs
        One store, one output of ``infer``, or pictures and folders of them.
    scale
        How much of a slide is taken around a cell that was found.
    input_px
        Side that pictures and cells are read at.
    rule
        Whose pictures are, where no layout says it.
    target
        Of a store: ``label``, or an annotated class.

    Raises
    ------
    UsageError
        Nothing is there, or kinds are mixed.
    """
    kinds = {_kind(path) for path in inputs}
    if len(inputs) > 1 and kinds != {"pictures"}:
        msg = f"{', '.join(map(str, inputs))}: give one store, one output of infer, or pictures and folders of them"
        raise UsageError(msg)
    if kinds == {"store"}:
        return _of_store(open_store(inputs[0]), target)
    if kinds == {"counts"}:
        return _of_counts(inputs[0], scale, input_px)
    return _of_pictures(inputs, input_px, rule)


def _kind(path: Path) -> str:
    if path.is_dir() and is_store(path):
        return "store"
    return "counts" if (path / COUNTS).is_file() else "pictures"


def _of_store(store: Store, target: str | None) -> Cases:
    known = known_patches(store, target)
    if not len(known) and target in (None, LABEL):  # queries need no class
        known = LabelledPatches(store, np.arange(len(store)), ("",), np.zeros(len(store), np.int32))
    records = [store.slides[row] for row in known.slides.tolist()]
    return Cases(
        names=known.ids,
        files=_texts(record.path for record in records),
        slides=_texts(record.fingerprint for record in records),
        patients=_texts(record.group or "" for record in records),
        labels=np.array(known.class_names, str)[known.truth],
        reads=known.read,
        store=store,
        positions=known.positions,
    )


def _of_pictures(inputs: Sequence[Path], input_px: int, rule: GroupRule) -> Cases:
    found = find_inputs(inputs)
    items, prints, notes = list[SlideItem](), list[str](), list(found.problems)
    for item in with_groups(found.items, rule):
        try:
            prints.append(_checked(item))
            items.append(item)
        except SlideError as error:
            notes.append(f"{item.path} was left out: {error}")
    if not items:
        msg = f"no picture of {', '.join(map(str, inputs))} can be read: {'; '.join(notes[:3])}"
        raise UsageError(msg)

    def read(row: int) -> NDArray[np.uint8]:
        with open_slide(items[row].path) as slide:
            width, height = slide.info.size
            return centred_patch(slide, width / 2, height / 2, min(width, height), input_px)

    return Cases(
        names=_texts(Path(item.path).name for item in items),
        files=_texts(item.path for item in items),
        slides=_texts(prints),
        patients=_texts(item.group or "" for item in items),
        labels=_texts(item.label or "" for item in items),
        reads=_one_by_one(read),
        notes=tuple(notes),
    )


def _checked(item: SlideItem) -> str:
    """Return what tells a picture from every other, after it has shown that it opens."""
    with open_slide(item.path):
        return fingerprint(Path(item.path))


def _of_counts(folder: Path, scale: PatchScale, input_px: int) -> Cases:
    reports = [one for entry in sorted(folder.iterdir()) if entry.is_dir() and (one := read_report(entry))]
    cells = {one.slide_id: folder / one.slide_id / "cells.geojson" for one in reports}
    rows: list[tuple[int, float, float]] = []
    sides, notes = dict[int, float](), list[str]()
    for number, report in enumerate(reports):
        if not cells[report.slide_id].is_file():
            notes.append(f"{report.slide_id} has no cells: it failed, or its patches were counted")
            continue
        found = read_geojson(cells[report.slide_id])
        with open_slide(report.path) as slide:
            sides[number] = patch_side(slide, scale, diameter_of(found))
        rows += [(number, x, y) for x, y in found.xy.tolist()]
    if not rows:
        msg = f"{folder} holds no cells to ask about: {'; '.join(notes) or 'infer found none'}"
        raise UsageError(msg)

    def read(row: int) -> NDArray[np.uint8]:
        number, x, y = rows[row]
        with open_slide(reports[number].path) as slide:
            return centred_patch(slide, x, y, sides[number], input_px)

    prints = {number: fingerprint(Path(reports[number].path)) for number in sides}
    return Cases(
        names=_texts(f"{reports[number].slide_id} at {x:.0f}, {y:.0f}" for number, x, y in rows),
        files=_texts(reports[number].path for number, _, _ in rows),
        slides=_texts(prints[number] for number, _, _ in rows),
        patients=_texts(reports[number].group or "" for number, _, _ in rows),
        labels=_texts("" for _ in rows),
        reads=_one_by_one(read),
        notes=tuple(notes),
    )


def _one_by_one(read: Read) -> Callable[[NDArray[np.int64]], NDArray[np.uint8]]:
    return lambda rows: np.stack([read(row) for row in rows.tolist()])


def _texts(values: Iterator[str] | Sequence[str]) -> NDArray[np.str_]:
    return np.array(list(values), str)
