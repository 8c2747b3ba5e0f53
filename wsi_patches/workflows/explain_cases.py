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
from wsi_patches.errors import AnnotationError, SlideError, UsageError
from wsi_patches.outcome import SlideReport
from wsi_patches.report import read_report
from wsi_patches.slide import Slide
from wsi_patches.slides import open_slide
from wsi_patches.slides.fingerprint import fingerprint
from wsi_patches.stores import Store, is_store, open_store
from wsi_patches.workflows.labelled import LabelledPatches, known_patches, readable_patches
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
    groups: NDArray[np.str_]
    """Patient, or the slide that a picture was taken from; empty where nobody says."""
    group_kinds: NDArray[np.str_]
    """``patient`` or ``slide``; empty where nobody says what a group is."""
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

    @property
    def patients(self) -> NDArray[np.str_]:
        """Patient of each; empty where nobody says."""
        return np.where(self.group_kinds == "patient", self.groups, "")

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
            name: getattr(self, name)[rows] for name in ("names", "files", "slides", "groups", "group_kinds", "labels")
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

    Returns
    -------
    Also those whose class is not known; pictures and slides that cannot be read are left out, and noted.

    Raises
    ------
    UsageError
        Nothing is there, nothing of it can be read, or kinds are mixed.
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
    known, positions = known_patches(store, target), np.flatnonzero(readable_patches(store))
    if not len(positions):
        msg = f"{store.path} holds no patch that could be read: extract some first"
        raise UsageError(msg)
    rows = np.full(len(store), -1)
    rows[known.positions] = known.truth
    every = LabelledPatches(store, positions, (*known.class_names, ""), rows[positions].astype(np.int32))
    records = [store.slides[row] for row in every.slides.tolist()]
    return Cases(
        names=every.ids,
        files=_texts(record.path for record in records),
        slides=_texts(record.fingerprint for record in records),
        groups=_texts(record.group or "" for record in records),
        group_kinds=_texts(record.group_kind or "" for record in records),
        labels=np.array(every.class_names, str)[every.truth],
        reads=every.read,
        store=store,
        positions=positions,
    )


def _of_pictures(inputs: Sequence[Path], input_px: int, rule: GroupRule) -> Cases:
    found = find_inputs(inputs)
    items, prints, notes = list[SlideItem](), list[str](), list(found.problems)
    for item in with_groups(found.items, rule):
        try:
            _middle_square(item.path, input_px)  # read whole, once: a damaged one stops no other
        except SlideError as error:
            notes.append(f"{item.path} was left out: {error}")
        else:
            prints.append(fingerprint(Path(item.path)))
            items.append(item)
    if not items:
        msg = f"no picture of {', '.join(map(str, inputs))} can be read: {'; '.join(notes[:3])}"
        raise UsageError(msg)

    return Cases(
        names=_texts(Path(item.path).name for item in items),
        files=_texts(item.path for item in items),
        slides=_texts(prints),
        groups=_texts(item.group or "" for item in items),
        group_kinds=_texts(item.group_kind or "" for item in items),
        labels=_texts(item.label or "" for item in items),
        reads=_one_by_one(lambda row: _middle_square(items[row].path, input_px)),
        notes=tuple(notes),
    )


def _middle_square(path: str, input_px: int) -> NDArray[np.uint8]:
    with open_slide(path) as slide:
        width, height = slide.info.size
        return centred_patch(slide, width / 2, height / 2, min(width, height), input_px)


@dataclass(frozen=True)
class _FoundCells:
    """A slide and the cells that ``infer`` found on it."""

    report: SlideReport
    fingerprint: str
    xy: NDArray[np.float64]
    """Level-0 pixels, ``(n, 2)``."""
    side: float
    """Of the patch around each, level-0 pixels."""

    @classmethod
    def of(cls, report: SlideReport, cells: Path, scale: PatchScale) -> _FoundCells:
        found = read_geojson(cells)
        with _opened(report) as slide:
            side = patch_side(slide, scale, diameter_of(found))
        return cls(report, fingerprint(Path(report.path)), found.xy, side)

    def read(self, row: int, input_px: int) -> NDArray[np.uint8]:
        """Return the patch around a cell."""
        x, y = self.xy[row].tolist()
        with _opened(self.report) as slide:
            return centred_patch(slide, x, y, self.side, input_px)


def _opened(report: SlideReport) -> Slide:
    """Return a slide at the resolution at which it was counted, which a user may have stated."""
    return open_slide(report.path, mpp=report.extra.get("slide_mpp"))


def _of_counts(folder: Path, scale: PatchScale, input_px: int) -> Cases:
    slides, notes = list[_FoundCells](), list[str]()
    for entry in sorted(one for one in folder.iterdir() if one.is_dir()):
        report, cells = read_report(entry), entry / "cells.geojson"
        if report is not None and not cells.is_file():
            notes.append(f"{report.slide_id} has no cells: it failed, or its patches were counted")
        elif report is not None:
            try:
                slides.append(_FoundCells.of(report, cells, scale))
            except (SlideError, AnnotationError) as error:
                notes.append(f"{report.slide_id} was left out: {error}")
    rows = [(one, row) for one in slides for row in range(len(one.xy))]
    if not rows:
        msg = f"{folder} holds no cells to ask about: {'; '.join(notes) or 'infer found none'}"
        raise UsageError(msg)
    return Cases(
        names=_texts(f"{one.report.slide_id} at {one.xy[row, 0]:.0f}, {one.xy[row, 1]:.0f}" for one, row in rows),
        files=_texts(one.report.path for one, _ in rows),
        slides=_texts(one.fingerprint for one, _ in rows),
        groups=_texts(one.report.group or "" for one, _ in rows),
        group_kinds=_texts(one.report.extra.get("group_kind", "") for one, _ in rows),
        labels=_texts("" for _ in rows),
        reads=_one_by_one(lambda asked: rows[asked][0].read(rows[asked][1], input_px)),
        notes=tuple(notes),
    )


def _one_by_one(read: Read) -> Callable[[NDArray[np.int64]], NDArray[np.uint8]]:
    return lambda rows: np.stack([read(row) for row in rows.tolist()])


def _texts(values: Iterator[str] | Sequence[str]) -> NDArray[np.str_]:
    return np.array(list(values), str)
