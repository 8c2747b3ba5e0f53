"""SpatialData folders: their layout, and as spatialdata itself reads them in an environment of its own."""

import json
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
import zarr

from wsi_patches.export.spatialdata import check, export_spatialdata

READ_BACK = """
import json, sys, warnings
warnings.simplefilter("ignore")
import spatialdata
found = {}
for path in sys.argv[1:]:
    data = spatialdata.read_zarr(path)
    tiles, table = data["tiles"], data["patches"]
    seen = spatialdata.bounding_box_query(
        data, axes=("x", "y"), min_coordinate=[0, 0], max_coordinate=[63, 63], target_coordinate_system="global"
    )
    label = table.obs["label"].astype(object)
    found[path] = {
        "bounds": tiles.geometry.bounds.to_numpy().tolist(),
        "tile_id": tiles["tile_id"].tolist(),
        "counts": [[None if one != one else one for one in row] for row in table.X.tolist()],
        "classes": table.var_names.tolist(),
        "label": label.where(label.notna(), None).tolist(),
        "of": table.obs["tile_id"].tolist(),
        "attributes": table.uns["spatialdata_attrs"],
        "seen": [len(seen["tiles"]), len(seen["patches"])],
    }
print(json.dumps(found))
"""


def rows_of(patches, name):
    return [row for row in range(len(patches)) if patches.slide(row).id == name]


def expected(patches, name):
    """Return what must be read back of a slide."""
    rows = rows_of(patches, name)
    return {
        "bounds": [list(map(float, (box.x, box.y, box.right, box.bottom))) for box in map(patches.box, rows)],
        "tile_id": patches.index[rows].tolist(),
        "counts": patches.counts[rows].astype(float).tolist(),
        "classes": ["blast", "other"],
        "label": [patches.label_of(row) for row in rows],
        "of": patches.index[rows].tolist(),
        "attributes": {"region": "tiles", "region_key": "library_id", "instance_key": "tile_id"},
        "seen": [1, 1],
    }


@pytest.mark.network
def test_spatialdata_itself_loads_places_counts_and_labels(make_job, patches, tmp_path):
    """It asks for older versions of dask and pandas than the project has, so it gets an environment of its own."""
    job = make_job()
    export_spatialdata(job)
    folders = {name: str(job.out / f"{name}.zarr") for name in ("a.b", "c", "d~2")}
    uv = [sys.executable, "-m", "uv", "run", "-q", "--isolated", "--no-project", "--with", "spatialdata==0.7.3"]
    read = [*uv, "python", "-c", READ_BACK, *folders.values()]
    done = subprocess.run(read, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {name: found[path] for name, path in folders.items()} == {name: expected(patches, name) for name in folders}


def corners(well_known):
    """Return the points of a polygon's only ring."""
    header = np.frombuffer(well_known[1:13], "<u4")
    assert (well_known[0], *header) == (1, 3, 1, 5)
    return np.frombuffer(well_known[13:], "<f8").reshape(5, 2)


def test_the_layout_is_that_of_spatialdata(make_job, patches):
    job = make_job()
    told = export_spatialdata(job)
    assert "spatialdata.read_zarr" in told
    assert sorted(path.name for path in job.out.iterdir()) == ["a.b.zarr", "c.zarr", "d~2.zarr"]
    for name in ("a.b", "c", "d~2"):
        rows, root = rows_of(patches, name), zarr.open_group(job.out / f"{name}.zarr", mode="r")
        assert root.attrs["spatialdata_attrs"] == {"version": "0.2"}
        assert root.attrs["tile_spec"]["tiles"]["width"] == 64
        assert root["shapes/tiles"].attrs["spatialdata_attrs"] == {"version": "0.3"}
        shapes = pq.read_table(job.out / f"{name}.zarr" / "shapes" / "tiles" / "shapes.parquet")
        assert json.loads(shapes.schema.metadata[b"geo"])["columns"]["geometry"]["encoding"] == "WKB"
        for row, one in zip(rows, shapes.to_pylist(), strict=True):
            box, points = patches.box(row), corners(one["geometry"])
            assert (one["tile_id"], one["x"], one["y"]) == (patches.index[row], box.x, box.y)
            assert [*points.min(axis=0), *points.max(axis=0)] == [box.x, box.y, box.right, box.bottom]
            assert np.array_equal(points[0], points[-1])
        table = root["tables/patches"]
        assert dict(table.attrs).items() >= {"region": "tiles", "instance_key": "tile_id", "version": "0.2"}.items()
        assert np.array_equal(table["X"], patches.counts[rows])
        categories, codes = table["obs/label/categories"][:], table["obs/label/codes"][:]
        assert [categories[code] for code in codes] == [patches.label_of(row) for row in rows]


def test_what_is_there_is_left_as_it_is_and_a_torn_folder_is_written_anew(make_job):
    job = make_job()
    export_spatialdata(job)
    kept, torn = job.out / "c.zarr", job.out / "a.b.zarr"
    (kept / "mark").write_text("kept")
    torn.rename(job.out / "a.b.zarr.partial")
    (job.out / "a.b.zarr.partial" / "zarr.json").unlink()
    export_spatialdata(job)
    assert sorted(path.name for path in job.out.iterdir()) == ["a.b.zarr", "c.zarr", "d~2.zarr"]
    assert (kept / "mark").read_text() == "kept"
    assert (torn / "zarr.json").is_file()


def test_a_slide_that_nobody_marked_has_no_counts_and_no_labels(make_job, patches, monkeypatch):
    record = patches.store.slides[0]
    unmarked = type(record).from_dict({**record.to_dict(), "annotated": False})
    monkeypatch.setattr(patches.store, "slides", [unmarked, *patches.store.slides[1:]])
    patches.label[rows_of(patches, record.id)] = -1
    job = make_job()
    export_spatialdata(job)
    table = zarr.open_group(job.out / f"{record.id}.zarr" / "tables" / "patches", mode="r")
    assert np.isnan(table["X"][:]).all()
    assert set(table["obs/label/codes"][:].tolist()) == {-1}


def test_features_are_the_table_that_wsidata_looks_for(make_job, patches, described):
    patches.store, vectors = described
    job = make_job(features="made")
    check(job)
    export_spatialdata(job)
    for name in ("a.b", "c", "d~2"):
        tables = zarr.open_group(job.out / f"{name}.zarr" / "tables", mode="r")
        assert list(tables) == ["made_tiles"]
        assert np.array_equal(tables["made_tiles/X"], vectors[rows_of(patches, name)])
