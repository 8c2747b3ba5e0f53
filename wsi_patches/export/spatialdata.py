"""SpatialData, a folder a slide: where its patches lie and what is known of each, as wsidata and LazySlide keep tiles.

``SLIDE.zarr`` holds the shapes ``tiles``, a square a patch in level-0 pixels, and a table ``patches`` of cells or
``NAME_tiles`` of features, whose region is these shapes. There are no pixels in it: wsidata reads those from the slide
(``open_wsi(slide, store="SLIDE.zarr")``). Formats: SpatialData's container 0.2, shapes 0.3 and tables 0.2, GeoParquet
1.1.0 (Marconato et al., DOI 10.1038/s41592-024-02212-x). A folder is whole or absent, so ``--resume`` writes those that
are missing; what is known of one slide's patches is in memory.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from wsi_patches._version import __version__
from wsi_patches.export.base import ExportJob
from wsi_patches.export.features import check, read_features
from wsi_patches.export.patches import ExportPatches
from wsi_patches.export.text import spelt_out
from wsi_patches.slide import level_for
from wsi_patches.stores.anndata import write_anndata
from wsi_patches.stores.files import PARTIAL_SUFFIX, sync_tree, write_json

__all__ = ["TILES", "check", "export_spatialdata"]

TILES, PATCHES = "tiles", "patches"
"""Names of the shapes, as wsidata looks for them, and of the table of cells."""
REGION, INSTANCE = "library_id", "tile_id"
"""Columns of a table: the shapes that a row speaks of, and which of them."""
AXES = [{"name": name, "type": "space", "unit": "unit"} for name in "xy"]
SHAPES = {
    "encoding-type": "ngff:shapes",
    "axes": ["x", "y"],
    "coordinateTransformations": [
        {"type": "identity", "input": {"name": "xy", "axes": AXES}, "output": {"name": "global", "axes": AXES}}
    ],
    "spatialdata_attrs": {"version": "0.3"},
}
LINK = {"region": TILES, "region_key": REGION, "instance_key": INSTANCE}
SQUARE = np.dtype(
    [("order", "u1"), ("kind", "<u4"), ("rings", "<u4"), ("points", "<u4"), ("xy", "<f8", (5, 2))], align=False
)
"""A polygon of four corners in well-known binary (OGC 06-103r4, 8.2): little-endian, kind 3, one ring of five points,
the last being the first."""
CORNERS = np.array([(1, 0), (1, 1), (0, 1), (0, 0), (1, 0)])


def export_spatialdata(job: ExportJob) -> str:
    """Write a folder a slide.

    Raises
    ------
    StoreError
        A patch's features cannot be read.
    """
    patches, done = job.patches, 0
    for rows in patches.by_slide():
        path = job.out / f"{patches.slide_names[int(patches.slide_rows[rows[0]])]}.zarr"
        if not path.is_dir():
            beside = path.with_name(path.name + PARTIAL_SUFFIX)
            shutil.rmtree(beside, ignore_errors=True)
            _write_slide(job, rows, beside)
            sync_tree(beside)
            beside.rename(path)
        done += len(rows)
        job.progress(done, len(patches))
    return (
        f"`SLIDE.zarr`, a SpatialData a slide: `shapes/{TILES}`, a square a patch in level-0 pixels, and the table "
        f"`{_table(job)}` of the same patches. There are no pixels in it. Load with `spatialdata.read_zarr(path)`, or "
        'with the slide by `wsidata.open_wsi(slide, store="SLIDE.zarr")`.'
    )


def _table(job: ExportJob) -> str:
    return PATCHES if job.features is None else f"{job.features}_{TILES}"


def _write_slide(job: ExportJob, rows: NDArray[np.int64], path: Path) -> None:
    patches = job.patches
    (path / "shapes" / TILES).mkdir(parents=True)
    (path / "tables").mkdir()
    _write_group(path, {"spatialdata_attrs": {"version": "0.2"}, **_notes(patches, rows)})
    _write_group(path / "shapes", {})
    _write_group(path / "shapes" / TILES, SHAPES)
    _write_shapes(patches, rows, path / "shapes" / TILES / "shapes.parquet")
    _write_group(path / "tables", {})
    matrix, names = _matrix(job, rows)
    write_anndata(
        path / "tables" / _table(job),
        matrix,
        names,
        {INSTANCE: patches.index[rows], REGION: [TILES] * len(rows), **_known(patches, rows)},
        {"spatialdata_attrs": LINK},
        {"spatialdata-encoding-type": "ngff:regions_table", "version": "0.2", **LINK},
    )


def _matrix(job: ExportJob, rows: NDArray[np.int64]) -> tuple[NDArray[np.float32], list[str]]:
    """Return features, or cells of each class: not a number where nobody marked the slide's cells; and their names."""
    patches = job.patches
    if job.features is not None:
        features = np.concatenate(list(read_features(patches, job.features, rows)))
        return features, [str(number) for number in range(features.shape[1])]
    counts = patches.counts[rows].astype(np.float32)
    if not patches.slide(int(rows[0])).annotated:
        counts[:] = np.nan
    return counts, [*map(spelt_out, patches.class_names)]


def _write_group(folder: Path, attributes: dict[str, Any]) -> None:
    write_json(folder / "zarr.json", {"attributes": attributes, "zarr_format": 3, "node_type": "group"}, durable=False)


def _write_shapes(patches: ExportPatches, rows: NDArray[np.int64], path: Path) -> None:
    """Write the squares as GeoParquet; ``tile_id`` is a patch's index in its slide's grid."""
    xy, side = patches.store.xy[patches.positions[rows]], patches.box(int(rows[0])).width
    squares = np.zeros(len(rows), SQUARE)
    squares["order"], squares["kind"], squares["rings"], squares["points"] = 1, 3, 1, len(CORNERS)
    squares["xy"] = xy[:, None] + side * CORNERS
    (left, top), (right, bottom) = xy.min(axis=0).tolist(), (xy.max(axis=0) + side).tolist()
    column = {"encoding": "WKB", "crs": None, "geometry_types": ["Polygon"], "bbox": [left, top, right, bottom]}
    geo = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}
    columns = {INSTANCE: patches.index[rows], "x": xy[:, 0], "y": xy[:, 1]}
    table = pa.table({**columns, "geometry": pa.array([one.tobytes() for one in squares], pa.binary())})
    pq.write_table(table.replace_schema_metadata({"geo": json.dumps(geo)}), path)


def _known(patches: ExportPatches, rows: NDArray[np.int64]) -> dict[str, Any]:
    """Return what is known of some patches beside their place."""
    texts = {
        "label": [spelt_out(patches.label_of(row)) or None for row in rows.tolist()],
        "split": [spelt_out(patches.split_of(row)) or None for row in rows.tolist()],
    }
    return texts if patches.focus is None else {**texts, "focus": patches.focus[rows]}


def _notes(patches: ExportPatches, rows: NDArray[np.int64]) -> dict[str, Any]:
    """Return what is known of the slide, and how it was cut, as wsidata keeps it."""
    record, spec = patches.slide(int(rows[0])), patches.store.settings.spec
    levels = record.info().levels
    level = level_for(levels, record.downsample) if record.level is None else record.level
    tile = {
        "height": spec.size_px,
        "width": spec.size_px,
        "stride_height": spec.step_px,
        "stride_width": spec.step_px,
        "mpp": None if record.mpp is None else record.mpp * record.downsample,
        "ops_level": level,
        "ops_downsample": record.downsample / levels[level].downsample,
        "base_level": 0,
        "base_downsample": record.downsample,
        "tissue_name": None,
    }
    known = {"id": record.id, "group": record.group, "label": record.label, "licence": record.licence}
    told = {name: spelt_out(text) if text else None for name, text in known.items()}
    return {"tile_spec": {TILES: tile}, "wsi_patches": {"version": __version__, "slide": told}}
