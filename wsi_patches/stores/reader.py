"""Reading a store: its complete parts as one source of patches."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wsi_patches.cells import Cells
from wsi_patches.errors import StoreError, UsageError
from wsi_patches.geometry import Box, round_half_up
from wsi_patches.grid import PatchPlace
from wsi_patches.patch import SlideRecord
from wsi_patches.stores.arrays import METADATA, METADATA_ERRORS, read_column
from wsi_patches.stores.derived import read_derived
from wsi_patches.stores.format import COMPLETE, PARTS, StoreSettings
from wsi_patches.stores.shards import ImageReader

__all__ = ["Part", "Store", "is_store", "open_store", "shared_store"]


@dataclass(frozen=True)
class Part:
    """One complete part."""

    id: str
    folder: Path
    slides: tuple[SlideRecord, ...]
    images: ImageReader

    @property
    def count(self) -> int:
        """How many patches it holds."""
        return len(self.images)

    def column(self, name: str) -> NDArray[Any]:
        """Return one of the part's small arrays.

        Raises
        ------
        StoreError
            The array is absent or damaged.
        """
        try:
            return read_column(self.folder / name)
        except StoreError as error:
            msg = f"part {self.id}: {error}: run wsi-patches verify on the store"
            raise StoreError(msg) from error


def is_store(path: Path) -> bool:
    """Return whether a folder is a Zarr v3 group that names this program's format; reads one small file."""
    metadata = path / METADATA
    return metadata.is_file() and '"wsi-patches"' in metadata.read_text(encoding="utf-8", errors="replace")


def open_store(path: Path | str, threads: int = 1) -> Store:
    """Open a store for reading.

    Parameters
    ----------
    path
        The store's folder.
    threads
        How many threads decode a batch.

    Raises
    ------
    StoreError
        There is no store, or it is of another format or damaged.
    """
    path = Path(path)
    if not path.exists():
        msg = f"{path} does not exist: give a store that wsi-patches extract wrote"
        raise StoreError(msg)
    try:
        settings = StoreSettings.from_attributes(_attributes(path), str(path))
        folders = sorted(entry for entry in (path / PARTS).glob("*") if entry.is_dir())
        parts = [part for part in map(_part, folders) if part is not None]
    except METADATA_ERRORS as error:
        msg = f"{path} cannot be read as a store: {error}"
        raise StoreError(msg) from error
    names = {part.id for part in parts}
    return Store(path, settings, parts, [folder.name for folder in folders if folder.name not in names], threads)


def shared_store(path: Path | str) -> Store:
    """Return an open store that the tasks of this process share, opened anew when something was added to it.

    Raises
    ------
    StoreError
        As `open_store`.
    """
    folder = Path(path)
    try:
        state = tuple((folder / name).stat().st_mtime_ns for name in (METADATA, PARTS))
    except OSError:
        return open_store(folder)  # which says what is wrong
    return _shared(str(path), state)


@lru_cache(maxsize=2)
def _shared(path: str, _state: tuple[int, ...]) -> Store:
    return open_store(path)


def _attributes(folder: Path) -> dict[str, Any]:
    attributes: dict[str, Any] = json.loads((folder / METADATA).read_bytes()).get("attributes", {})
    return attributes


def _part(folder: Path) -> Part | None:
    """Return a part, or None for one that was begun and never completed."""
    if not (folder / METADATA).exists():
        return None
    attributes = _attributes(folder)
    if attributes.get("status") != COMPLETE:
        return None
    records = tuple(SlideRecord.from_dict(row) for row in attributes["slides"])
    return Part(folder.name, folder, records, ImageReader(folder / "images"))


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
    threads
        How many threads decode a batch.
    """

    def __init__(
        self,
        path: Path,
        settings: StoreSettings,
        parts: Sequence[Part],
        unfinished: Sequence[str] = (),
        threads: int = 1,
    ) -> None:
        self.path, self.settings, self.parts, self.unfinished = path, settings, list(parts), list(unfinished)
        self.threads = threads
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
    def row_of(self) -> dict[str, int]:
        """The row in `slides` of each slide's id."""
        return {record.id: row for row, record in enumerate(self.slides)}

    @cached_property
    def unreadable(self) -> dict[str, set[int]]:
        """Of each slide, the grid indices of the places that could not be read."""
        places: dict[str, set[int]] = {record.id: set() for record in self.slides}
        for _, record in self.records():
            places[record.id].update(record.unreadable)
        return places

    @cached_property
    def _by_slide(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """All positions, slide by slide, and where each slide's begin."""
        order = np.argsort(self.slide_rows, kind="stable")
        return order, np.searchsorted(self.slide_rows[order], np.arange(len(self.slides) + 1))

    def positions_of(self, slide_id: str) -> NDArray[np.int64]:
        """Return the positions of a slide's patches, ascending.

        Raises
        ------
        UsageError
            There is no such slide.
        """
        if slide_id not in self.row_of:
            msg = f"{self.path} has no slide {slide_id!r}"
            raise UsageError(msg)
        order, starts = self._by_slide
        row = self.row_of[slide_id]
        return order[starts[row] : starts[row + 1]]

    @cached_property
    def slide_rows(self) -> NDArray[np.int64]:
        """Row in `slides` of each patch, shape ``(n,)``."""
        rows = [np.empty(0, np.int64)]
        for part in self.parts:
            of_part = np.array([self.row_of[record.id] for record in part.slides], np.int64)
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
        """Return the patches at ``positions``, in any order, uint8 RGB of shape ``(n, h, w, 3)``.

        Each patch is one read of the disk and is decoded straight into its place; neighbours share a file's opening.

        Raises
        ------
        StoreError
            A chunk is damaged.
        """
        wanted = np.atleast_1d(np.asarray(positions, np.int64))
        if len(wanted) and not -len(self) <= wanted.min() <= wanted.max() < len(self):
            msg = f"patch {wanted.max()} was asked of {self.path}, which holds {len(self)}"
            raise IndexError(msg)
        wanted = np.where(wanted < 0, wanted + len(self), wanted)
        side = self.settings.spec.size_px
        out = np.empty((len(wanted), side, side, 3), np.uint8)
        order = np.argsort(wanted, kind="stable")
        shares = [share for share in np.array_split(order, self.threads) if len(share)]
        if len(shares) < 2:
            self._read_share(order, wanted, out)
            return out
        with ThreadPoolExecutor(len(shares)) as pool:
            for done in [pool.submit(self._read_share, share, wanted, out) for share in shares]:
                done.result()
        return out

    def _read_share(self, order: NDArray[np.int64], wanted: NDArray[np.int64], out: NDArray[np.uint8]) -> None:
        """Read the patches ``wanted[order]``, ascending, into their places in ``out``."""
        part_of = np.searchsorted(self.offsets, wanted[order], side="right") - 1
        for part_row in sorted(set(part_of.tolist())):
            places = order[part_of == part_row]
            rows = wanted[places] - self.offsets[part_row]
            self.parts[part_row].images.read(rows.tolist(), [out[place] for place in places.tolist()])

    def derived(self, name: str, column: str) -> NDArray[Any]:
        """Return a column that a later stage derived for every patch, in the order of the patches.

        Raises
        ------
        StoreError
            Not every part holds that derived group complete.
        """
        return np.concatenate([read_derived(part.folder, name).column(column) for part in self.parts])

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
