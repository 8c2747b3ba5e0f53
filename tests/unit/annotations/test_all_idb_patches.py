"""The CSV of ALL-IDB Patches, under every header that published files have."""

import numpy as np
import pytest

from tests.unit.annotations.made_boxes import classes_of
from wsi_patches.annotations import all_idb_patches_index, label_patches, local_xy, read_all_idb_patches, read_xyc
from wsi_patches.cells import ALL_IDB_RULE
from wsi_patches.errors import AnnotationError
from wsi_patches.geometry import Size
from wsi_patches.grid import PatchGrid, PatchSpec

REFERENCE = (
    "Filename,White blood cell probable ALL lymphoblast,Other cases,Centroids blasts,Centroids other cases",
    "Filename,White blood cell probable ALL lymphoblast,White blood cell NOT a probable lymphoblast,"
    "Centroids blasts,Centroids NOT blasts",
    "filename,Blast_present,Normal_present,Centroids_blasts,centroids_other_cases",
)
NAME = "Im001_1_patch_28.tif"


def written(tmp_path, *rows, header=REFERENCE[0]):
    path = tmp_path / "patches.csv"
    path.write_text("\n".join((header, *rows)) + "\n")
    return path


@pytest.mark.parametrize("header", REFERENCE)
def test_labels_and_centres_under_every_header(tmp_path, header):
    path = written(tmp_path, f"{NAME},1,1,219   76    5  120,222    1", "b.tif,0,0,N/A,N/A", header=header)
    cells = read_all_idb_patches(path, NAME)
    assert cells.xy.tolist() == [[219, 76], [5, 120], [222, 1]]
    assert classes_of(cells) == ["blast", "blast", "other"]
    index = all_idb_patches_index(path)
    assert list(index) == [NAME, "b.tif"]
    assert [(patch.blast, patch.other) for patch in index.values()] == [(True, True), (False, False)]
    assert len(read_all_idb_patches(path, "b.tif")) == 0


def test_labels_without_centres_are_labels_only(tmp_path):
    path = written(tmp_path, "a.tif,1,0", header="Filename,Blast_present,Normal_present")
    assert all_idb_patches_index(path)["a.tif"].blast
    with pytest.raises(AnnotationError, match="labels but no centres"):
        read_all_idb_patches(path, "a.tif")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a.tif,1,0,1 2 3,N/A", "line 2, centres of blast: expected pairs"),
        ("a.tif,1,0,1 x,N/A", "line 2, centres of blast: expected a number"),
        ("a.tif,0,1,N/A,inf 2", "line 2, centres of other: expected a number"),
        ("a.tif,2,0,N/A,N/A", "line 2: expected a label of 0 or 1"),
        ("a.tif,,0,N/A,N/A", "line 2: expected a number"),
        (",1,0,N/A,N/A", "line 2: expected a patch's file name"),
        ("a.tif,0,0,N/A,N/A\na.tif,0,0,N/A,N/A", "line 3: expected a patch's file name that no other row has"),
        ("a.tif,0,0,N/A", "line 2: expected 5 fields"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, row, message):
    with pytest.raises(AnnotationError, match=message) as error:
        all_idb_patches_index(written(tmp_path, row))
    assert "patches.csv" in str(error.value)


def test_another_table_and_another_patch_are_refused(tmp_path):
    with pytest.raises(AnnotationError, match="expected a column 'Filename'"):
        all_idb_patches_index(written(tmp_path, header="x,y"))
    with pytest.raises(AnnotationError, match=r"does not speak of a patch 'z\.tif'"):
        read_all_idb_patches(written(tmp_path, "a.tif,0,0,N/A,N/A"), "z.tif")


def test_what_our_labels_give_comes_back(tmp_path, shared_data):
    """Patch by patch of a real image: the local coordinates, clamped as the reference clamps them."""
    others = read_xyc(shared_data / "all_idb1_other" / "Im001_1.xyc", "other")
    grid = PatchGrid(Size(1712, 1368), PatchSpec(256, overlap=0.25, edge="drop"))
    labels = label_patches(grid.xy(), grid.side, others, ALL_IDB_RULE)
    expected, rows = {}, []
    for number, place in enumerate(grid):
        members = others.take(labels.cells[labels.indptr[number] : labels.indptr[number + 1]])
        expected[f"Im001_1_patch_{number + 1}.tif"] = xy = local_xy(members, place.box)
        text = "  ".join(map(str, xy.ravel())) or "N/A"
        rows.append(f"Im001_1_patch_{number + 1}.tif,0,{int(len(xy) > 0)},N/A,{text}")
    path = written(tmp_path, *rows)
    assert len(all_idb_patches_index(path)) == 48
    for name, xy in expected.items():
        assert np.array_equal(read_all_idb_patches(path, name).xy, xy)
    assert read_all_idb_patches(path, "Im001_1_patch_36.tif").xy.tolist() == [[222, 1]]
