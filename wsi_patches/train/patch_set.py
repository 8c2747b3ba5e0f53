"""Labelled patches of many slides: pixels in a file, so that memory stays flat however many there are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from wsi_patches.datasets import SlideItem, assign_ids
from wsi_patches.datasets.splits import By, Split, SplitRow, group_warning, make_split
from wsi_patches.errors import AnnotationError, SlideError, UsageError

__all__ = ["CellMark", "PatchSet", "PatchSplit", "PatchWriter", "patch_side_px", "split_patches"]


@dataclass(frozen=True)
class CellMark:
    """What is known of one patch beside its pixels."""

    slide: int
    """Row in the set's slides."""
    truth: int
    """Index into the class names."""
    x: float
    """Centre, level-0 pixels."""
    y: float


@dataclass(frozen=True)
class PatchSet:
    """Labelled patches of some slides."""

    class_names: tuple[str, ...]
    slides: tuple[SlideItem, ...]
    """Those that were asked for, also where nothing could be had of them."""
    images: NDArray[np.uint8]
    """RGB ``(n, s, s, 3)``, read from a file as needed."""
    truth: NDArray[np.int32]
    """Index into ``class_names``, shape ``(n,)``."""
    slide: NDArray[np.int32]
    """Row in ``slides``, shape ``(n,)``."""
    xy: NDArray[np.float64]
    """Centres, level-0 pixels, shape ``(n, 2)``."""
    left_out: tuple[str, ...] = ()
    """Sentences: slides that could not be read, slides and cells that nothing could be learnt from."""
    mpp: tuple[float, float] | None = None
    """Smallest and largest level-0 pixel size in um of the slides that stated it; None if none did."""

    def __len__(self) -> int:
        return len(self.truth)

    @property
    def slide_ids(self) -> NDArray[np.str_]:
        """The id of each slide, shape ``(slides,)``: its file's stem, numbered where two share one."""
        return np.array(assign_ids([(item.path, "") for item in self.slides]), str)

    @property
    def ids(self) -> NDArray[np.str_]:
        """A name for each patch, shape ``(n,)``: its slide's, with a number where the slide has several."""
        names, several = self.slide_ids[self.slide], np.bincount(self.slide, minlength=len(self.slides)) > 1
        first = np.searchsorted(self.slide, self.slide)  # patches lie slide by slide
        numbers = (np.arange(len(self)) - first).tolist()
        rows = zip(names.tolist(), numbers, several[self.slide].tolist(), strict=True)
        return np.array([f"{name}#{number}" if many else name for name, number, many in rows], str)

    @property
    def groups(self) -> NDArray[np.str_]:
        """The patient or slide of each patch, shape ``(n,)``; the slide itself where nobody says."""
        named = [item.group or one for item, one in zip(self.slides, self.slide_ids.tolist(), strict=True)]
        return np.array(named, str)[self.slide]


PatchSplit = tuple[Split, NDArray[np.str_]]
"""A split, a row a slide, and the name of each patch's split, shape ``(n,)``."""


class PatchWriter:
    """Writes patches to a file without a name, slide by slide; what a slide that fails has written is taken back.

    Parameters
    ----------
    folder
        Of the file, which is gone when the patches are; made if absent.
    side_px
        Side of a patch.
    """

    def __init__(self, folder: Path, side_px: int) -> None:
        self.side_px = side_px
        self.marks: list[CellMark] = []
        self.left_out: list[str] = []
        folder.mkdir(parents=True, exist_ok=True)
        self._file = TemporaryFile(dir=folder)  # noqa: SIM115 - closed by __exit__

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: Any) -> None:
        self._file.close()

    def add(self, mark: CellMark, image: NDArray[np.uint8]) -> None:
        """Append one patch, uint8 RGB ``(side_px, side_px, 3)``."""
        self._file.write(np.ascontiguousarray(image).tobytes())
        self.marks.append(mark)

    @contextmanager
    def slide(self, path: str) -> Iterator[None]:
        """Take back what was added inside, and say why, where a slide or its annotations cannot be read."""
        count, end = len(self.marks), self._file.tell()
        try:
            yield
        except (SlideError, AnnotationError) as error:
            del self.marks[count:]
            self._file.seek(end)
            self._file.truncate()
            self.left_out.append(f"{path} was left out: {error}")

    def finished(
        self, class_names: Sequence[str], slides: Sequence[SlideItem], stated_mpp: Sequence[float] = ()
    ) -> PatchSet:
        """Return what was written.

        Raises
        ------
        UsageError
            Nothing was written, or it is all of one class.
        """
        truth = np.array([mark.truth for mark in self.marks], np.int32)
        _check_classes(truth, class_names, self.left_out)
        shape = (len(self.marks), self.side_px, self.side_px, 3)
        self._file.flush()
        return PatchSet(
            class_names=tuple(class_names),
            slides=tuple(slides),
            images=np.memmap(self._file, np.uint8, "r", shape=shape),
            truth=truth,
            slide=np.array([mark.slide for mark in self.marks], np.int32),
            xy=np.array([(mark.x, mark.y) for mark in self.marks], np.float64).reshape(-1, 2),
            left_out=tuple(self.left_out),
            mpp=(min(stated_mpp), max(stated_mpp)) if stated_mpp else None,
        )


def _check_classes(truth: NDArray[np.int32], class_names: Sequence[str], left_out: Sequence[str]) -> None:
    counts = np.bincount(truth, minlength=len(class_names))
    absent = [name for name, count in zip(class_names, counts.tolist(), strict=True) if not count]
    if absent or len(class_names) < 2:
        found = ", ".join(f"{count} {name}" for name, count in zip(class_names, counts.tolist(), strict=True)) or "none"
        why = f"; {'; '.join(left_out[:3])}" if left_out else ""
        msg = f"a classifier learns from examples of two classes or more, found {found}{why}"
        raise UsageError(msg)


def patch_side_px(input_px: int, margin: float) -> int:
    """Return the side of a patch that is kept with a margin around the network's input, even on both sides of it."""
    return input_px + 2 * int(np.ceil(input_px * (margin - 1) / 2))


def split_patches(patches: PatchSet, by: By, shares: Mapping[str, float], seed: int) -> PatchSplit:
    """Deal whole patients, slides or blocks of files to splits, so that each gets its share of every class.

    Parameters
    ----------
    patches
        What is to be split.
    by
        What is kept together; never less than a slide.
    shares
        Of each named split; they sum to 1.
    seed
        Equal seeds give equal splits.

    Returns
    -------
    The split, a row a slide, and the name of each patch's split, shape ``(n,)``.

    Raises
    ------
    UsageError
        ``by`` keeps not even slides together, or there are too few slides.
    """
    if by == "none":
        msg = "cells of one slide must not be learnt and measured: split by patient, slide or block"
        raise UsageError(msg)
    slide_rows = [_row(item, one) for item, one in zip(patches.slides, patches.slide_ids.tolist(), strict=True)]
    rows = [
        SplitRow(one, of.path, of.group, of.group_kind, patches.class_names[truth], of.slide)
        for one, of, truth in zip(
            patches.ids.tolist(), (slide_rows[k] for k in patches.slide.tolist()), patches.truth.tolist(), strict=True
        )
    ]
    of_patch = np.array(make_split(rows, by, shares, seed).names, str)
    used = np.unique(patches.slide, return_index=True)
    kept = tuple(slide_rows[row] for row in used[0].tolist())
    warning = group_warning(kept, by)
    names = tuple(of_patch[used[1]].tolist())
    return Split(kept, names, by, seed, dict(shares), (warning,) if warning else ()), of_patch


def _row(item: SlideItem, slide_id: str) -> SplitRow:
    return SplitRow(slide_id, item.path, item.group, item.group_kind, item.label, slide_id)
