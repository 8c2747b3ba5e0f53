"""What every format is given: the patches to write, how their pictures are encoded, and where they go.

A format is one function in a file of its own. It takes an `ExportJob`, writes below `ExportJob.out`, and returns one
or two sentences of Markdown for the dataset card: what the files are, and how their own library loads them. What is
there whole is left as it is, so that a run that was killed goes on: a format writes each file by `stores.files`
(`write_whole`, `WholeFile` or `replacing`), so a file that has its name is complete, and asks for the pixels of the
others only. A format that cannot hold everything has a function ``check`` beside it, which takes the same job and
raises a `UsageError` before anything is written. The workflow has seen to it that what is there was written with the
same settings.
"""

from __future__ import annotations

import importlib
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import UsageError, needs_extra
from wsi_patches.export.attributes import AttributeTable
from wsi_patches.export.images import ImageSettings, encode
from wsi_patches.export.patches import ExportPatches
from wsi_patches.stores.facts import FACTS, write_facts
from wsi_patches.stores.files import write_whole

__all__ = ["FORMATS", "OWN_PICTURES", "WITH_FEATURES", "Export", "ExportJob", "check_format", "find_format"]

FORMATS = {
    "all-idb": "wsi_patches.export.all_idb:export_all_idb",
    "imagefolder": "wsi_patches.export.imagefolder:export_imagefolder",
    "csv": "wsi_patches.export.csv_table:export_csv",
    "webdataset": "wsi_patches.export.webdataset:export_webdataset",
    "hdf5": "wsi_patches.export.hdf5:export_hdf5",
    "parquet": "wsi_patches.export.parquet:export_parquet",
    "captions": "wsi_patches.export.captions:export_captions",
    "coco": "wsi_patches.export.coco:export_coco",
    "yolo": "wsi_patches.export.yolo:export_yolo",
    "spatialdata": "wsi_patches.export.spatialdata:export_spatialdata",
}
"""Where each format's function is; its module is imported when it is asked for."""

OWN_PICTURES = {"all-idb": "TIFF, without loss", "hdf5": "kept as pixels", "spatialdata": "left in the slide"}
"""How formats keep pictures that take no choice of it."""
WITH_FEATURES = ("hdf5", "spatialdata")
"""Formats that can hold features in place of pixels."""
WITH_ATTRIBUTES = ("captions",)
"""Formats that say what a cell looks like."""
WITH_BOXES = ("coco", "yolo")
"""Formats that hold a box for each marked cell."""
BOX_PX = 80.0
"""Side of a box: about a white cell of ALL-IDB1 at level 0."""
BATCH_BYTES = 4 << 20
"""Of pixels that a thread reads and encodes at a time."""
SHARD_PATCHES = 1000
ROWS_AT_ONCE = 10_000
"""Rows whose names are held in memory: an export may have millions."""
Made = TypeVar("Made")


def _ignore(_done: int, _total: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class ExportJob:
    """One export."""

    out: Path
    """The folder to write below; it is there."""
    patches: ExportPatches
    """Which patches, in order, and what is known of each."""
    image: ImageSettings = field(default_factory=ImageSettings)
    """How pictures are encoded, for formats that keep encoded pictures."""
    workers: int = 1
    """How many threads read and encode."""
    shard_patches: int = SHARD_PATCHES
    """How many patches go into a file, for formats that keep many in one."""
    features: str | None = None
    """Instead of pixels: the derived features of this name, for formats that can hold them."""
    box_px: float = BOX_PX
    """Side of the box that stands for a marked cell, in pixels of the patch, for formats of boxes."""
    attributes: AttributeTable | None = None
    """What is stated of cells, for formats that say what a cell looks like."""
    progress: Callable[[int, int], None] = _ignore
    """Told how many patches are done, of how many."""

    def encoded(self, rows: Sequence[int] | NDArray[np.int64]) -> Generator[tuple[int, bytes]]:
        """Yield each of some rows of `patches`, in their order, with its encoded picture.

        Threads read and encode ahead of whoever writes, a few batches and no more.

        Raises
        ------
        StoreError
            A patch cannot be read.
        """
        for batch in self._ahead(self._encode_batch, rows):
            yield from batch

    def write_pictures(self, path_of: Callable[[int], Path], beside: Callable[[int], None] | None = None) -> None:
        """Write a file a patch, whole or absent; one that is there stays. Threads write what they encode.

        Parameters
        ----------
        path_of
            The file of a row, relative to `out`; its folder must be there.
        beside
            Called with every row, in order, in this thread, while others encode: it writes what is known of a patch.

        Raises
        ------
        StoreError
            A patch cannot be read.
        """
        total = len(self.patches)
        for start in range(0, total, ROWS_AT_ONCE):
            stop = min(start + ROWS_AT_ONCE, total)
            paths = {row: self.out / path_of(row) for row in range(start, stop)}
            missing = [row for row, path in paths.items() if not path.is_file()]
            done, rows = stop - len(missing), iter(paths)
            for written in self._ahead(partial(self._write_batch, paths), missing):
                done += written
                if beside is not None:
                    deque(map(beside, islice(rows, written)), maxlen=0)
                self.progress(done, total)
            if beside is not None:
                deque(map(beside, rows), maxlen=0)
            self.progress(stop, total)

    def _write_batch(self, paths: Mapping[int, Path], batch: NDArray[np.int64]) -> int:
        for row, picture in self._encode_batch(batch):
            write_whole(paths[row], picture, durable=False)
        return len(batch)

    def _encode_batch(self, batch: NDArray[np.int64]) -> list[tuple[int, bytes]]:
        own = self.patches.own_jpegs(batch) if self.image.keeps_own else {}
        others = np.array([row for row in batch.tolist() if row not in own], np.int64)
        pictures = dict(zip(others.tolist(), self.patches.read(others), strict=True)) if len(others) else {}
        return [(row, own[row] if row in own else encode(pictures[row], self.image)) for row in batch.tolist()]

    def pixels(self, rows: Sequence[int] | NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint8]]]:
        """Yield batches of rows, in their order, with their pixels, uint8 RGB ``(n, h, w, 3)``.

        Raises
        ------
        StoreError
            A patch cannot be read.
        """
        yield from self._ahead(lambda batch: (batch, self.patches.read(batch)), rows)

    def write_facts(self) -> None:
        """Write what the store says of the slides of these patches, by which ``import`` makes the same store again.

        Raises
        ------
        StoreError
            A part cannot be read.
        """
        rows = np.unique(self.patches.slide_rows).tolist()
        write_facts(self.out / FACTS, self.patches.store, [self.patches.store.slides[row].id for row in rows])

    def shards(self) -> list[NDArray[np.int64]]:
        """Return all rows, cut into runs of `shard_patches`, split by split; a run holds patches of one split."""
        runs: list[NDArray[np.int64]] = []
        for code in np.unique(self.patches.split).tolist():
            rows = np.flatnonzero(self.patches.split == code)
            runs += np.split(rows, range(self.shard_patches, len(rows), self.shard_patches))
        return runs

    def _ahead(
        self, act: Callable[[NDArray[np.int64]], Made], rows: Sequence[int] | NDArray[np.int64]
    ) -> Iterator[Made]:
        """Yield what comes of each batch of rows, in order, made by threads that are a little ahead."""
        wanted = np.asarray(rows, np.int64)
        size = max(1, BATCH_BYTES // (3 * self.patches.side_px**2))
        waiting: deque[Future[Made]] = deque()
        with ThreadPoolExecutor(self.workers) as pool:
            try:
                for start in range(0, len(wanted), size):
                    waiting.append(pool.submit(act, wanted[start : start + size]))
                    if len(waiting) > 2 * self.workers:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for left in waiting:
                    left.cancel()


Export = Callable[[ExportJob], str]


def find_format(name: str) -> Export:
    """Return a format's function.

    Raises
    ------
    UsageError
        There is no such format.
    """
    if name not in FORMATS:
        msg = f"there is no format {name!r}: choose one of {', '.join(FORMATS)}"
        raise UsageError(msg)
    module, function = FORMATS[name].split(":")
    with needs_extra("export", f"the format {name}"):
        export: Export = getattr(importlib.import_module(module), function)
    return export


def check_format(name: str, job: ExportJob) -> None:
    """Let a format refuse what it cannot hold, before anything is written.

    Raises
    ------
    UsageError
        It cannot hold these patches, or has not the options that were given.
    """
    module = importlib.import_module(FORMATS[name].split(":")[0])
    check: Callable[[ExportJob], None] | None = getattr(module, "check", None)
    if check is not None:
        check(job)
