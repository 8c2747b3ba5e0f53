"""HDF5 as CLAM and TRIDENT keep it: one file a slide, with ``coords`` and ``imgs`` or ``features``.

``coords`` are level-0 top left corners, int64 ``(n, 2)``; ``imgs`` are uint8 RGB ``(n, h, w, 3)``, a chunk each;
``features`` are float32 ``(n, d)``. Beside them, which those tools leave alone, stand ``index``, ``counts``, ``labels``
and ``splits``. What the attributes are called and mean is as in ``save_hdf5`` of CLAM (Lu et al., DOI
10.1038/s41551-020-00682-w) and ``coords_to_h5`` of TRIDENT (Zhang et al., arXiv 2502.06750). A file is whole or absent,
so ``--resume`` writes those that are missing; a few batches of pixels, or the features of one part, are in memory.
"""

from __future__ import annotations

import csv
import importlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsi_patches.export.base import ExportJob
from wsi_patches.export.features import check, read_features
from wsi_patches.export.in_turn import write_in_turn
from wsi_patches.export.patches import NO_NAME, ExportPatches
from wsi_patches.export.text import spelt_out
from wsi_patches.geometry import round_half_up
from wsi_patches.patch import SlideRecord
from wsi_patches.slide import MAGNIFICATION_MPP, level_for
from wsi_patches.stores.files import replacing

__all__ = ["check", "export_hdf5"]

h5py: Any = importlib.import_module("h5py")  # which has no types
PATCHES, FEATURES = "patches", "h5_files"
"""The folders in which CLAM looks for files with pixels or places, and for those with features."""
TABLE = "slides.csv"
ROWS_IN_CHUNK = 256
"""Of columns and features: of 1280 numbers these are 1.3 MB."""


def export_hdf5(job: ExportJob) -> str:
    """Write a file a slide, and a table of the slides.

    Raises
    ------
    StoreError
        A patch, or its features, cannot be read.
    """
    patches, folder = job.patches, PATCHES if job.features is None else FEATURES
    (job.out / folder).mkdir(exist_ok=True)
    slides = patches.by_slide()
    files = [(job.out / folder / f"{_name(patches, rows)}.h5", rows) for rows in slides]
    write_in_turn(job, files, partial(_write_slide, job))
    _write_table(job, slides)
    held = "imgs`, pixels" if job.features is None else f"features`, of {job.features}"
    return (
        f"`{folder}/SLIDE.h5`, a file a slide as CLAM and TRIDENT keep it: `coords`, level-0 x and y of each patch, "
        f"and `{held}. `{TABLE}` has a row a slide: `case_id`, `slide_id`, `label`, `split`. Load with "
        f'`h5py.File("{folder}/SLIDE.h5")["coords"][:]`.'
    )


def _name(patches: ExportPatches, rows: NDArray[np.int64]) -> str:
    return patches.slide_names[int(patches.slide_rows[rows[0]])]


def _write_slide(job: ExportJob, path: Path, rows: NDArray[np.int64], done: int) -> None:
    with h5py.File(path, "w") as file:
        _write_datasets(job, file, rows, done)


def _write_datasets(job: ExportJob, file: Any, rows: NDArray[np.int64], done: int) -> None:
    patches, count = job.patches, len(rows)
    record, name = patches.slide(int(rows[0])), _name(patches, rows)
    coords = _growing(file, "coords", patches.store.xy[patches.positions[rows]].astype(np.int64))
    coords.attrs.update({**_of_level(record), **_of_patches(patches, int(rows[0])), "name": spelt_out(name)})
    _growing(file, "index", patches.index[rows])
    _named(_growing(file, "counts", patches.counts[rows]), patches.class_names)
    _named(_growing(file, "labels", patches.label[rows]), patches.label_names)
    if patches.split_names:
        _named(_growing(file, "splits", patches.split[rows]), patches.split_names)
    if job.features is not None:
        vectors = None
        for found in read_features(patches, job.features, rows):
            vectors = _growing(file, "features", found, vectors)
        return
    shape = (patches.side_px, patches.side_px, 3)
    images = file.create_dataset("imgs", (count, *shape), np.uint8, maxshape=(None, *shape), chunks=(1, *shape))
    images.attrs.update({**_of_level(record), "wsi_name": spelt_out(name)})
    first = 0
    for some, pixels in job.pixels(rows):
        images[first : first + len(some)] = pixels
        first += len(some)
        job.progress(done + first, len(patches))


def _growing(file: Any, name: str, values: NDArray[Any], there: Any = None) -> Any:
    """Append rows to a dataset that other tools may append to as well; it is made where it is not there."""
    if there is None:
        rest, chunk = values.shape[1:], max(1, min(len(values), ROWS_IN_CHUNK))
        return file.create_dataset(name, data=values, maxshape=(None, *rest), chunks=(chunk, *rest))
    there.resize(len(there) + len(values), axis=0)
    there[-len(values) :] = values
    return there


def _named(dataset: Any, names: Sequence[str]) -> None:
    """Say what the numbers, or the columns, of a dataset mean."""
    dataset.attrs["names"] = np.array([*map(spelt_out, names)], h5py.string_dtype())


def _of_level(record: SlideRecord) -> dict[str, Any]:
    """Return CLAM's attributes of the level that patches were read at; sizes are width and height."""
    levels = record.info().levels
    number = level_for(levels, record.downsample) if record.level is None else record.level
    level = levels[number]
    further = record.downsample / level.downsample
    # TRIDENT reads this of older files: by how much patches were shrunk that no level of the slide has.
    shrunk = {} if record.level is not None or further == 1 else {"custom_downsample": further}
    return {
        "patch_level": number,
        "downsample": (level.downsample, level.downsample),
        "downsampled_level_dim": tuple(level.size),
        "level_dim": tuple(level.size),
        **shrunk,
    }


def _of_patches(patches: ExportPatches, row: int) -> dict[str, Any]:
    """Return the attributes of size and magnification; no magnification where nobody says how large a pixel is.

    A magnification stands for a pixel size by convention, 40 for 0.25 um.
    """
    record, spec = patches.slide(row), patches.store.settings.spec
    level0 = None if record.mpp is None else round_half_up(MAGNIFICATION_MPP / record.mpp)
    target = None if level0 is None else level0 / record.downsample
    magnification = {"level0_magnification": level0, "target_magnification": target} if level0 else {}
    return {
        "patch_size": patches.side_px,
        "patch_size_level0": patches.box(row).width,
        "overlap": max(0, spec.size_px - spec.step_px),
        "level0_width": record.size[0],
        "level0_height": record.size[1],
        **{name: int(value) if value == int(value) else value for name, value in magnification.items() if value},
    }


def _write_table(job: ExportJob, slides: Sequence[NDArray[np.int64]]) -> None:
    """Write a row a slide, in the columns that CLAM asks for; one in several splits has no split there."""
    patches = job.patches
    with (
        replacing(job.out / TABLE, durable=True) as path,
        path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as stream,
    ):
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["case_id", "slide_id", "label", "split", "patches"])
        for rows in slides:
            record = patches.slide(int(rows[0]))
            splits = {patches.split_of(row) for row in rows.tolist()}
            split = splits.pop() if len(splits) == 1 else NO_NAME
            name = _name(patches, rows)
            writer.writerow([record.group or name, name, record.label or NO_NAME, split, len(rows)])
