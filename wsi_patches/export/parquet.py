"""Parquet shards that Hugging Face ``datasets`` loads: ``data/SPLIT-00000-of-00003.parquet``.

The column ``image`` holds encoded pictures as ``datasets`` keeps them, a struct of bytes and a file's name; what each
column is stands in the schema's metadata under ``huggingface``, so that a picture comes back as one of Pillow and a
label with its name. The files' names tell the splits. A shard is whole or absent, so ``--resume`` writes those that are
missing; the pictures of one row group are in memory at a time.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from wsi_patches.export.base import ExportJob
from wsi_patches.export.in_turn import write_shards
from wsi_patches.export.patches import ExportPatches
from wsi_patches.export.text import spelt_out

__all__ = ["export_parquet"]

WHOLE = "train"
"""The split where there are no splits, as ``datasets`` calls it too."""
GROUP_PATCHES, GROUP_BYTES = 100, 32 << 20
"""Of a row group: no more patches, as the hub advises for pictures, and no more of their pixels."""
IMAGE = pa.struct({"bytes": pa.binary(), "path": pa.string()})
KINDS = {
    "slide": "string",
    "index": "int32",
    "x": "int32",
    "y": "int32",
    "width": "int32",
    "height": "int32",
    "mpp": "float64",
    "group": "string",
    "slide_label": "string",
    "split": "string",
    "focus": "float32",
    "licence": "string",
}
"""What is known of each patch, and as what it is kept; names are those of Arrow and of ``datasets``."""
COUNT = "uint16"


def export_parquet(job: ExportJob) -> str:
    """Write the shards.

    Raises
    ------
    StoreError
        A patch cannot be read.
    """
    patches, shards, words = job.patches, job.shards(), _split_words(job.patches)
    (job.out / "data").mkdir(exist_ok=True)
    totals = Counter(int(patches.split[rows[0]]) for rows in shards)
    written, files = Counter[int](), list[tuple[Path, NDArray[np.int64]]]()
    for rows in shards:
        split = int(patches.split[rows[0]])
        name = f"{words[split]}-{written[split]:05d}-of-{totals[split]:05d}.parquet"
        files.append((job.out / "data" / name, rows))
        written[split] += 1
    write_shards(job, files, partial(_write_shard, job))
    splits = ", ".join(words[code] for code in totals)
    return (
        f"`data/SPLIT-NNNNN-of-NNNNN.parquet`, {len(shards)} files of the splits {splits}: a row a patch, its picture "
        "in the column `image`; x, y, width and height are level-0 pixels of the slide, `mpp` is um per pixel of the "
        "patch, `count_CLASS` the cells marked in it. Load this folder with `datasets.load_dataset(folder)`."
    )


def _split_words(patches: ExportPatches) -> list[str]:
    """Return a name of each split that ``datasets`` takes: letters, digits and ``_``; the last where there are none."""
    words: list[str] = []
    for name in patches.split_folders[:-1]:
        word = re.sub(r"\W", "_", name)
        while word.casefold() in map(str.casefold, words):
            word += "_"
        words.append(word)
    return [*words, WHOLE]


def _write_shard(job: ExportJob, path: Path, pictures: Iterator[tuple[int, bytes]], done: int) -> None:
    schema = _schema(job.patches)
    size = max(1, min(GROUP_PATCHES, GROUP_BYTES // (3 * job.patches.side_px**2)))
    small = [name for name in schema.names if name != "image"]
    # Pictures are compressed already, and a dictionary or a least and largest of them would only take room.
    options = {"compression": {"image.bytes": "NONE"}, "use_dictionary": small, "write_statistics": small}
    group: list[dict[str, Any]] = []
    with pq.ParquetWriter(path, schema, **options) as writer:
        for row, picture in pictures:
            name = f"{job.patches.name(row)}{job.image.suffix}"
            group.append({"image": {"bytes": picture, "path": spelt_out(name)}, **_known(job.patches, row)})
            if len(group) == size:
                writer.write_batch(pa.RecordBatch.from_pylist(group, schema))
                group.clear()
            done += 1
            job.progress(done, len(job.patches))
        if group:
            writer.write_batch(pa.RecordBatch.from_pylist(group, schema))


def _known(patches: ExportPatches, row: int) -> dict[str, Any]:
    """Return a patch's columns but its picture; a file's name that is no UTF-8 is written with its bytes spelt out."""
    label = int(patches.label[row])
    known = {**patches.columns(row), "label": label if label >= 0 else None}
    return {name: spelt_out(value) if isinstance(value, str) else value for name, value in known.items()}


def _schema(patches: ExportPatches) -> pa.Schema:
    """Return the columns, with what ``datasets`` is to make of each."""
    kinds = {**KINDS, **{f"count_{name}": COUNT for name in patches.class_names}}
    fields = [pa.field("image", IMAGE), pa.field("label", pa.int64())]
    fields += [pa.field(name, pa.type_for_alias(kind)) for name, kind in kinds.items()]
    features = {
        "image": {"_type": "Image"},
        "label": {"_type": "ClassLabel", "names": [spelt_out(name) for name in patches.label_names]},
        **{name: {"_type": "Value", "dtype": kind} for name, kind in kinds.items()},
    }
    return pa.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": features}})})
