"""Reading a store: its complete parts as one source of patches."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wsi_patches.cells import Cells
from wsi_patches.errors import StoreError, UsageError
from wsi_patches.geometry import Box, round_half_up
from wsi_patches.grid import PatchPlace
from wsi_patches.locations import is_remote, path_of, patiently
from wsi_patches.patch import SlideRecord
from wsi_patches.stores.arrays import METADATA, METADATA_ERRORS
from wsi_patches.stores.derived import read_derived
from wsi_patches.stores.files import PARTIAL_SUFFIX
from wsi_patches.stores.format import PARTS, StoreSettings
from wsi_patches.stores.parts import Part, attributes_in, columns_of, each_part, read_parts

__all__ = ["Part", "Store", "is_store", "open_store", "shared_store"]


def is_store(path: Path) -> bool:
    """Return whether a folder is a Zarr v3 group that names this program's format; reads one small file."""
    metadata = path_of(path) / METADATA
    return metadata.is_file() and '"wsi-patches"' in metadata.read_text(encoding="utf-8", errors="replace")


def open_store(path: Path | str, threads: int = 1, parts: Collection[str] | None = None) -> Store:
    """Open a store for reading.

    Parameters
    ----------
    path
        The store's folder.
    threads
        How many threads decode a batch.
    parts
        Open these parts only, by their names; of a store of very many, that saves reading of all of them.

    Raises
    ------
    StoreError
        There is no store, or it is of another format or damaged.
    """
    path = path_of(path)
    if not path.exists():
        msg = f"{path} does not exist: give a store that wsi-patches extract wrote"
        raise StoreError(msg)
    try:
        settings = StoreSettings.from_attributes(attributes_in(patiently((path / METADATA).read_bytes)), str(path))
        folders = _folders(path / PARTS, parts)
        complete = read_parts([folder for folder in folders if folder.suffix != PARTIAL_SUFFIX])
    except METADATA_ERRORS as error:
        msg = f"{path} cannot be read as a store: {error}"
        raise StoreError(msg) from error
    names = {part.id for part in complete} | {part.replaces for part in complete}
    return Store(path, settings, complete, [folder.name for folder in folders if folder.name not in names], threads)


def _folders(folder: Path, names: Collection[str] | None) -> list[Path]:
    if names is not None:
        return [folder / name for name in sorted(names)]
    return sorted(entry for entry in folder.glob("*") if entry.is_dir())


def shared_store(path: Path | str) -> Store:
    """Return an open store that the tasks of this process share, opened anew when something was added to it.

    Raises
    ------
    StoreError
        As `open_store`.
    """
    folder = path_of(path)
    try:
        state = _state(folder)
    except OSError:
        return open_store(folder)  # which says what is wrong
    store = _shared(str(path), state)
    if store.unfinished and is_remote(folder):  # nothing in a listing tells when such a part becomes complete
        _shared.cache_clear()
        store = _shared(str(path), state)
    return store


def _state(folder: Path) -> tuple[Any, ...]:
    """Return what changes when a part is added to a store, or the store is replaced."""
    if not is_remote(folder):
        return tuple((folder / name).stat().st_mtime_ns for name in (METADATA, PARTS))
    names = (entry.name for entry in (folder / PARTS).iterdir())  # a folder of an object store has no time
    return (folder / METADATA).stat().st_mtime_ns, *names


@lru_cache(maxsize=2)
def _shared(path: str, _state: tuple[Any, ...]) -> Store:
    return open_store(path)


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
        for part, slide in zip(self.parts, columns_of(self.parts, "slide"), strict=True):
            of_part = np.array([self.row_of[record.id] for record in part.slides], np.int64)
            rows.append(of_part[slide.astype(np.int64)])
        return np.concatenate(rows)

    @cached_property
    def labels(self) -> NDArray[np.uint16]:
        """Annotated cells of each class in each patch, shape ``(n, classes)``."""
        empty = np.empty((0, len(self.settings.rule.class_names)), np.uint16)
        return np.concatenate([empty, *(one.astype(np.uint16) for one in columns_of(self.parts, "counts"))])

    @cached_property
    def xy(self) -> NDArray[np.int64]:
        """Level-0 top left corners, shape ``(n, 2)``."""
        blocks = [one.astype(np.int64) for one in columns_of(self.parts, "xy")]
        return np.concatenate([np.empty((0, 2), np.int64), *blocks])

    @cached_property
    def grid_index(self) -> NDArray[np.int64]:
        """Each patch's index in its slide's grid, shape ``(n,)``."""
        return np.concatenate(
            [np.empty(0, np.int64), *(one.astype(np.int64) for one in columns_of(self.parts, "index"))]
        )

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
        return np.concatenate(each_part(self.parts, lambda part: read_derived(part.folder, name).column(column)))

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
