"""Files of many patches, one after the other: the disk is waited for by a thread of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsi_patches.export.base import ExportJob
from wsi_patches.stores.files import PARTIAL_SUFFIX, replacing

__all__ = ["write_in_turn", "write_shards"]

Rows = NDArray[np.int64]


def write_in_turn(job: ExportJob, files: Sequence[tuple[Path, Rows]], write: Callable[[Path, Rows, int], None]) -> None:
    """Write files that are whole or absent; what is there is left as it is.

    While a file waits for the disk (fsync) the next one is written.

    Parameters
    ----------
    job
        The export.
    files
        Each file, and the rows that it holds.
    write
        Is given where to write, the rows, and how many patches were done before.
    """
    done, waiting = 0, list[Future[None]]()
    with ThreadPoolExecutor(1) as disk:
        for path, rows in files:
            if not path.is_file():
                _write_beside(path, lambda beside, rows=rows, done=done: write(beside, rows, done))  # type: ignore[misc]
                for before in waiting:
                    before.result()
                waiting = [disk.submit(_put, path)]
            done += len(rows)
            job.progress(done, len(job.patches))
        for last in waiting:
            last.result()


def write_shards(
    job: ExportJob,
    files: Sequence[tuple[Path, Rows]],
    write: Callable[[Path, Iterator[tuple[int, bytes]], int], None],
) -> None:
    """Write files of encoded pictures in turn; threads encode on from one file to the next.

    Parameters
    ----------
    job, files
        As in `write_in_turn`.
    write
        Is given where to write, rows with their encoded pictures, and how many patches were done before.

    Raises
    ------
    StoreError
        A patch cannot be read.
    """
    missing = [rows for path, rows in files if not path.is_file()]
    with closing(job.encoded(np.concatenate([np.empty(0, np.int64), *missing]))) as pictures:
        write_in_turn(job, files, lambda beside, rows, done: write(beside, islice(pictures, len(rows)), done))


def _write_beside(path: Path, write: Callable[[Path], None]) -> None:
    beside = path.with_name(path.name + PARTIAL_SUFFIX)
    try:
        write(beside)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _put(path: Path) -> None:
    """Give a file that was written beside its place its name, once the disk has it."""
    with replacing(path, durable=True):
        pass
