"""Reading a store: its complete parts as one source of patches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wsi_patches.cells import Cells
from wsi_patches.errors import StoreError
from wsi_patches.geometry import Box, round_half_up
from wsi_patches.grid import PatchPlace
from wsi_patches.patch import SlideRecord
from wsi_patches.stores.format import COMPLETE, PARTS, StoreSettings

if TYPE_CHECKING:
    import zarr

__all__ = ["Part", "Store", "is_store", "open_store"]

READ_ERRORS = (OSError, ValueError, RuntimeError, KeyError)
"""What zarr and its codecs raise on damaged metadata or chunks."""


@dataclass(frozen=True)
class Part:
    """One complete part."""

    id: str
    group: zarr.Group
    slides: tuple[SlideRecord, ...]
    count: int
    """How many patches it holds."""

    def column(self, name: str) -> NDArray[np.generic]:
        """Return one of the part's small arrays.

        Raises
        ------
        StoreError
            The array is absent or damaged.
        """
        try:
            return np.asarray(self.group[name][...])  # type: ignore[index]
        except READ_ERRORS as error:
            msg = f"{name} of part {self.id} cannot be read ({error}): run wsi-patches verify on the store"
            raise StoreError(msg) from error


def is_store(path: Path) -> bool:
    """Return whether a folder is a Zarr v3 group that names this program's format; reads one small file."""
    metadata = path / "zarr.json"
    return metadata.is_file() and '"wsi-patches"' in metadata.read_text(encoding="utf-8", errors="replace")


def open_store(path: Path) -> Store:
    """Open a store for reading.

    Raises
    ------
    StoreError
        There is no store, or it is of another format or damaged.
    """
    import zarr

    if not path.exists():
        msg = f"{path} does not exist: give a store that wsi-patches extract wrote"
        raise StoreError(msg)
    try:
        root = zarr.open_group(path, mode="r", zarr_format=3)
        settings = StoreSettings.from_attributes(dict(root.attrs), str(path))
        groups = sorted(root[PARTS].groups()) if PARTS in root else []  # type: ignore[union-attr]
        parts = [_part(name, group) for name, group in groups if group.attrs.get("status") == COMPLETE]
    except READ_ERRORS as error:
        if isinstance(error, StoreError):
            raise
        msg = f"{path} cannot be read as a store: {error}"
        raise StoreError(msg) from error
    names = {part.id for part in parts}
    folders = sorted(entry.name for entry in (path / PARTS).glob("*") if entry.is_dir())
    return Store(path, settings, parts, [name for name in folders if name not in names])


def _part(name: str, group: zarr.Group) -> Part:
    records = tuple(SlideRecord.from_dict(row) for row in group.attrs["slides"])  # type: ignore[union-attr, arg-type]
    return Part(name, group, records, group["images"].shape[0])  # type: ignore[union-attr]


class Store:
    """The patches of a store's complete parts, in the order of the parts' names.

    Parameters
    ----------
    path
        The store's folder.
    settings
        What all its patches share.
    parts
        The complete parts.
    unfinished
        Names of parts that were begun and never completed; they never read as data.
    """

    def __init__(
        self, path: Path, settings: StoreSettings, parts: Sequence[Part], unfinished: Sequence[str] = ()
    ) -> None:
        self.path, self.settings, self.parts, self.unfinished = path, settings, list(parts), list(unfinished)
        self.offsets = np.cumsum([0, *(part.count for part in self.parts)])

    def __len__(self) -> int:
        return int(self.offsets[-1])

    @cached_property
    def slides(self) -> list[SlideRecord]:
        """One row a slide, in the order of the parts; of a slide in several parts the first part's."""
        rows: dict[str, SlideRecord] = {}
        for part in self.parts:
            for record in part.slides:
                rows.setdefault(record.id, record)
        return list(rows.values())

    def records(self) -> Iterator[tuple[Part, SlideRecord]]:
        """Yield every slide's row of every part."""
        for part in self.parts:
            for record in part.slides:
                yield part, record

    @cached_property
    def slide_rows(self) -> NDArray[np.int64]:
        """Row in `slides` of each patch, shape ``(n,)``."""
        row_of = {record.id: row for row, record in enumerate(self.slides)}
        rows = [np.empty(0, np.int64)]
        for part in self.parts:
            of_part = np.array([row_of[record.id] for record in part.slides], np.int64)
            rows.append(of_part[part.column("slide").astype(np.int64)])
        return np.concatenate(rows)

    @cached_property
    def labels(self) -> NDArray[np.uint16]:
        """Annotated cells of each class in each patch, shape ``(n, classes)``."""
        empty = np.empty((0, len(self.settings.rule.class_names)), np.uint16)
        return np.concatenate([empty, *(part.column("counts").astype(np.uint16) for part in self.parts)])

    @cached_property
    def xy(self) -> NDArray[np.int64]:
        """Level-0 top left corners, shape ``(n, 2)``."""
        blocks = [part.column("xy").astype(np.int64) for part in self.parts]
        return np.concatenate([np.empty((0, 2), np.int64), *blocks])

    @cached_property
    def grid_index(self) -> NDArray[np.int64]:
        """Each patch's index in its slide's grid, shape ``(n,)``."""
        return np.concatenate([np.empty(0, np.int64), *(part.column("index").astype(np.int64) for part in self.parts)])

    def place(self, position: int) -> PatchPlace:
        """Return where a patch lies on its slide."""
        record = self.slides[self.slide_rows[position]]
        side = round_half_up(self.settings.spec.size_px * record.downsample)
        x, y = self.xy[position].tolist()
        return PatchPlace(int(self.grid_index[position]), Box(x, y, side, side))

    def read(self, positions: ArrayLike) -> NDArray[np.uint8]:
        """Return the patches at ``positions``, uint8 RGB of shape ``(n, h, w, 3)``.

        Raises
        ------
        StoreError
            A chunk is damaged.
        """
        wanted = np.atleast_1d(np.asarray(positions, np.int64))
        side = self.settings.spec.size_px
        out = np.empty((len(wanted), side, side, 3), np.uint8)
        part_of = np.searchsorted(self.offsets, wanted, side="right") - 1
        for row, (part_row, position) in enumerate(zip(part_of.tolist(), wanted.tolist(), strict=True)):
            part = self.parts[part_row]
            # One chunk at a time: fancy selections over sharded arrays cost seconds and gigabytes.
            out[row] = _read_patch(part, position - int(self.offsets[part_row]))
        return out

    def cells(self, slide_id: str) -> Cells:
        """Return the annotated cells of a slide, level-0 pixels."""
        for part, record in self.records():
            if record.id == slide_id:
                mine = part.column("cells/slide") == part.slides.index(record)
                xy = np.stack([part.column("cells/x"), part.column("cells/y")], axis=1)[mine]
                classes = part.column("cells/class")[mine].astype(np.int32)
                return Cells.at(xy, self.settings.rule.class_names, classes, slide=slide_id)
        msg = f"{self.path} has no slide {slide_id}; it has {', '.join(record.id for record in self.slides[:10])}"
        raise StoreError(msg)


def _read_patch(part: Part, row: int) -> NDArray[np.uint8]:
    try:
        return np.asarray(part.group["images"][row], np.uint8)  # type: ignore[index]
    except READ_ERRORS as error:
        msg = f"patch {row} of part {part.id} cannot be read ({error}): run wsi-patches verify on the store"
        raise StoreError(msg) from error
