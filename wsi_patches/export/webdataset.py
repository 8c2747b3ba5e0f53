"""Tar files of some thousand patches each: ``SPLIT-000000.tar``, with a picture, a JSON file and a class a patch.

A tar file is whole or absent, so ``--resume`` writes those that are missing.
"""

from __future__ import annotations

import json
import tarfile
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from wsi_patches.export.base import ExportJob
from wsi_patches.export.in_turn import write_shards
from wsi_patches.export.patches import ExportPatches, safe_names

__all__ = ["export_webdataset"]

BUFFER_BYTES = 1 << 20
ONE = "patches"
"""Begins the shards' names where there are no splits."""


def export_webdataset(job: ExportJob) -> str:
    """Write the shards.

    Raises
    ------
    StoreError
        A patch cannot be read.
    """
    patches, keys = job.patches, _keys(job.patches)
    numbers, files = Counter[int](), list[tuple[Path, NDArray[np.int64]]]()
    for rows in job.shards():
        split = int(patches.split[rows[0]])
        files.append((job.out / f"{_stem(patches, split)}-{numbers[split]:06d}.tar", rows))
        numbers[split] += 1
    write_shards(job, files, partial(_write_shard, job, keys))
    job.write_facts()
    return _told(job, numbers)


def _keys(patches: ExportPatches) -> list[str]:
    """Return what each slide's samples begin with; a reader cuts a file's name at its first dot, so there is none."""
    return safe_names([record.id.replace(".", "_") for record in patches.store.slides])


def _stem(patches: ExportPatches, split: int) -> str:
    return patches.split_folders[split] if patches.split_names else ONE


def _write_shard(job: ExportJob, keys: list[str], path: Path, pictures: Iterator[tuple[int, bytes]], done: int) -> None:
    patches = job.patches
    with path.open("wb", BUFFER_BYTES) as tar:
        for count, (row, picture) in enumerate(pictures, start=1):
            key = f"{keys[patches.slide_rows[row]]}_{patches.index[row]:06d}"
            _add(tar, f"{key}{job.image.suffix}", picture)
            _add(tar, f"{key}.json", json.dumps(patches.columns(row)).encode())
            if patches.label[row] >= 0:
                _add(tar, f"{key}.cls", str(patches.label[row]).encode())
            job.progress(done + count, len(patches))
        tar.write(bytes(2 * tarfile.BLOCKSIZE))  # the archive's end


def _add(tar: IO[bytes], name: str, content: bytes) -> None:
    """Append a member; `tarfile` writes its header, and would take twice as long to add it."""
    member = tarfile.TarInfo(name)  # no time and no user in it: equal exports are equal bytes
    member.size = len(content)
    tar.write(b"".join((member.tobuf(tarfile.PAX_FORMAT), content, bytes(-len(content) % tarfile.BLOCKSIZE))))


def _told(job: ExportJob, numbers: Counter[int]) -> str:
    patches = job.patches
    shards = [f"`{_stem(patches, split)}-{{000000..{count - 1:06d}}}.tar`" for split, count in numbers.items()]
    classes = ", ".join(f"{number} {name}" for number, name in enumerate(patches.label_names))
    return (
        f"{', '.join(shards)}: of each patch a `{job.image.suffix[1:]}`, a `json` with all that is known of it, and a "
        f"`cls`, the number of its class ({classes or 'none is known'}). A shard's patches are of few slides, so "
        "shuffle shards and samples to train: `webdataset.WebDataset(shards, shardshuffle=100).shuffle(5000)"
        '.decode("pil")`.'
    )
