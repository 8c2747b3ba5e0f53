"""The patches of an export, in the order of the store, and what is known of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wsi_patches.cells import Cells
from wsi_patches.datasets.ids import safe_id
from wsi_patches.errors import StoreError
from wsi_patches.geometry import Box
from wsi_patches.patch import SlideRecord
from wsi_patches.stores import Store
from wsi_patches.stores.jpeg_files import own_jpegs

__all__ = ["NO_NAME", "UNKNOWN", "ExportPatches", "PatchCells", "safe_names"]

NO_NAME = ""
"""The split of a patch where there are no splits, and the label of one of which nobody says."""
UNKNOWN = "unlabelled"
"""The folder of patches of which nobody says the class."""


class PatchCells(NamedTuple):
    """The annotated cells that belong to a patch, in the order of their annotation."""

    cells: Cells
    """Level-0 pixels of the slide."""
    xy_px: NDArray[np.float64]
    """The same centres in pixels of the patch, 0-based, shape ``(n, 2)``; a label rule's tolerance lets a centre lie a
    few pixels outside."""


class _PartCells(NamedTuple):
    part: int
    cells: Cells
    indptr: NDArray[np.int64]
    members: NDArray[np.int64]


@dataclass
class ExportPatches:
    """The ``n`` patches that are exported; a *row* is 0 to ``n - 1``.

    Parameters
    ----------
    store
        Where they are.
    positions
        Their positions in the store, shape ``(n,)``, ascending, so that each part is read once.
    label, label_names
        The class of each as an index into the names, -1 where nobody says, shape ``(n,)``.
    split, split_names
        The split of each as an index into the names, shape ``(n,)``; -1 for all where there are no splits.
    """

    store: Store
    positions: NDArray[np.int64]
    label: NDArray[np.int64]
    label_names: tuple[str, ...]
    split: NDArray[np.int64]
    split_names: tuple[str, ...] = ()
    focus: NDArray[np.float32] | None = None
    """FQPath score of each, where the store has it; higher is softer."""
    _part: _PartCells | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def side_px(self) -> int:
        """Side of a patch in its own pixels."""
        return self.store.settings.spec.size_px

    @property
    def class_names(self) -> tuple[str, ...]:
        """The annotated classes, in the order of the counts' columns."""
        return self.store.settings.rule.class_names

    @cached_property
    def counts(self) -> NDArray[np.uint16]:
        """Annotated cells of each class in each, shape ``(n, classes)``."""
        return self.store.labels[self.positions]

    @cached_property
    def slide_rows(self) -> NDArray[np.int64]:
        """Row of each one's slide in the store's ``slides``, shape ``(n,)``."""
        return self.store.slide_rows[self.positions]

    @cached_property
    def index(self) -> NDArray[np.int64]:
        """Index of each in its slide's grid, shape ``(n,)``."""
        return self.store.grid_index[self.positions]

    @cached_property
    def slide_names(self) -> list[str]:
        """A name of each slide of the store that is safe in a file's name, and no other slide's."""
        return safe_names([record.id for record in self.store.slides])

    @property
    def used_slide_names(self) -> list[str]:
        """The `slide_names` of slides that have a patch among these."""
        return [self.slide_names[row] for row in np.unique(self.slide_rows).tolist()]

    @cached_property
    def label_folders(self) -> list[str]:
        """A name of each label that is safe as a folder's; the last, at -1, is of those of which nobody says."""
        return safe_names([*self.label_names, UNKNOWN])

    @cached_property
    def split_folders(self) -> list[str]:
        """A name of each split that is safe as a folder's; the last, at -1, is ``.``: where there are no splits."""
        return [*safe_names(self.split_names), "."]

    def by_slide(self) -> list[NDArray[np.int64]]:
        """Return the rows of each slide, ascending."""
        order = np.argsort(self.slide_rows, kind="stable")
        return np.split(order, np.flatnonzero(np.diff(self.slide_rows[order])) + 1)

    def slide(self, row: int) -> SlideRecord:
        """Return what is known of a patch's slide."""
        return self.store.slides[int(self.slide_rows[row])]

    def box(self, row: int) -> Box:
        """Return where a patch lies on its slide, level-0 pixels."""
        return self.store.place(int(self.positions[row])).box

    def name(self, row: int) -> str:
        """Return a patch's name: safe in a file's name, unique in the store, without a suffix."""
        return f"{self.slide_names[self.slide_rows[row]]}_{self.index[row]:06d}"

    def label_of(self, row: int) -> str:
        """Return a patch's class, or `NO_NAME`."""
        return self.label_names[self.label[row]] if self.label[row] >= 0 else NO_NAME

    def split_of(self, row: int) -> str:
        """Return a patch's split, or `NO_NAME`."""
        return self.split_names[self.split[row]] if self.split[row] >= 0 else NO_NAME

    def read(self, rows: ArrayLike) -> NDArray[np.uint8]:
        """Return the pixels of some, uint8 RGB ``(n, h, w, 3)``; several threads may ask at a time.

        Raises
        ------
        StoreError
            One cannot be read; its slide is named.
        """
        wanted = np.atleast_1d(np.asarray(rows, np.int64))
        with self._naming(wanted):
            return self.store.read(self.positions[wanted])

    def own_jpegs(self, rows: NDArray[np.int64]) -> dict[int, bytes]:
        """Return, of some rows, ascending, those that the store keeps as the slide's own JPEG, as files.

        Raises
        ------
        StoreError
            One cannot be read; its slide is named.
        """
        with self._naming(rows):
            found = zip(rows.tolist(), own_jpegs(self.store, self.positions[rows]), strict=True)
            return {row: data for row, data in found if data is not None}

    @contextmanager
    def _naming(self, rows: NDArray[np.int64]) -> Iterator[None]:
        try:
            yield
        except StoreError as error:
            msg = f"{self._damaged(rows)}{error}"
            raise StoreError(msg) from error

    def _damaged(self, rows: NDArray[np.int64]) -> str:
        """Return the beginning of a sentence that names the first of some patches that cannot be read."""
        for row in rows.tolist():
            try:
                self.store.read(self.positions[row])
            except StoreError:
                slide = self.slide(row).id
                return f"slide {slide}, index {self.index[row]} (--where \"slide != '{slide}'\" leaves it out): "
        return ""

    def columns(self, row: int) -> dict[str, Any]:
        """Return all that is known of a patch, as plain values: a row of a table, or a JSON file beside a picture.

        Cells of each class are counted in a column ``count_CLASS``, where somebody marked the slide's cells; else
        these are None. ``mpp`` is of the patch's own pixels, in um.
        """
        slide, box = self.slide(row), self.box(row)
        counts = self.counts[row].tolist() if slide.annotated else [None] * len(self.class_names)
        return {
            "slide": slide.id,
            "index": int(self.index[row]),
            "x": box.x,
            "y": box.y,
            "width": box.width,
            "height": box.height,
            "mpp": None if slide.mpp is None else slide.mpp * slide.downsample,
            "group": slide.group,
            "slide_label": slide.label,
            "split": self.split_of(row) or None,
            "label": self.label_of(row) or None,
            "focus": None if self.focus is None else float(self.focus[row]),
            "licence": slide.licence,
            **{f"count_{name}": count for name, count in zip(self.class_names, counts, strict=True)},
        }

    def cells(self, row: int) -> PatchCells:
        """Return the annotated cells of a patch; cheap when asked in order of the rows.

        Raises
        ------
        StoreError
            The part's arrays cannot be read.
        """
        position = int(self.positions[row])
        number = int(np.searchsorted(self.store.offsets, position, side="right")) - 1
        if self._part is None or self._part.part != number:
            self._part = self._read_part(number)
        at = position - int(self.store.offsets[number])
        found = self._part.cells.take(self._part.members[self._part.indptr[at] : self._part.indptr[at + 1]])
        box = self.box(row)
        # Pixels are centred on whole numbers in both frames, as annotations name the pixel that they mean.
        centres = (found.xy - (box.x, box.y) + 0.5) / self.slide(row).downsample - 0.5
        return PatchCells(found, centres)

    def _read_part(self, number: int) -> _PartCells:
        part = self.store.parts[number]
        xy = np.stack([part.column("cells/x"), part.column("cells/y")], axis=1)
        cells = Cells.at(xy, self.class_names, part.column("cells/class").astype(np.int32))
        members = part.column("patch_cells").astype(np.int64)
        return _PartCells(number, cells, part.column("patch_indptr").astype(np.int64), members)


def safe_names(names: Sequence[str]) -> list[str]:
    """Return a name for each that is one file or folder inside of the output, and no other one's.

    A disk may take capitals and small letters for the same, so names differ by more than these.
    """
    taken: set[str] = set()
    safe = []
    for name in map(safe_id, names):
        own, number = name, 1
        while own.casefold() in taken:
            number += 1
            own = f"{name}~{number}"
        taken.add(own.casefold())
        safe.append(own)
    return safe
