"""What each format that we write gives back, and what it cannot carry."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.annotations.made_boxes import assert_same_boxes, classes_of
from wsi_patches.annotations import (
    BOX_COLUMNS,
    AnnotationFile,
    boxes_of,
    read_annotations,
    write_coco,
    write_voc,
    write_xyc,
    write_yolo,
    write_yolo_names,
)
from wsi_patches.cells import ALL_IDB_CLASSES, Cells
from wsi_patches.datasets.yolo_folder import yolo_renames
from wsi_patches.geometry import Size
from wsi_patches.report.files import _write_cells

SIZE = Size(2592, 1944)
coordinates = st.floats(0, 1900)
lengths = st.floats(1, 90)
cell = st.tuples(coordinates, coordinates, lengths, lengths, st.integers(0, 1), st.floats(0, 1, width=32))
rows_of_cells = st.lists(cell, max_size=9)


def made(rows):
    """Return cells with boxes and scores, centres in the boxes' middles."""
    table = np.array(rows, float).reshape(-1, 6)
    left, top, width, height = table[:, :4].T
    edges = np.stack([left, top, left + width - 1, top + height - 1])
    xy = np.stack([(edges[0] + edges[2]) / 2, (edges[1] + edges[3]) / 2], axis=1)
    boxes = dict(zip(BOX_COLUMNS, edges, strict=True))
    return Cells.at(xy, ALL_IDB_CLASSES, table[:, 4].astype(int), table[:, 5].astype(np.float32), **boxes)


def voc(folder, cells):
    write_voc(folder / "a.xml", cells, SIZE, "a.png")
    return [AnnotationFile(str(folder / "a.xml"))]


def coco(folder, cells):
    write_coco(folder / "a.json", [("other.png", SIZE, cells.take([])), ("a.png", SIZE, cells)])
    return [AnnotationFile(str(folder / "a.json"), image="a.png")]


def yolo(folder, cells):
    write_yolo(folder / "a.txt", cells, SIZE)
    write_yolo_names(folder / "classes.txt", cells.class_names)
    return [AnnotationFile(str(folder / "a.txt"), renames=yolo_renames(folder))]


def geojson(folder, cells):
    (folder / "a.geojson").write_text(json.dumps(cells.to_geojson()))
    return [AnnotationFile(str(folder / "a.geojson"))]


def table(folder, cells):
    _write_cells(folder / "cells.csv", cells)
    return [AnnotationFile(str(folder / "cells.csv"))]


def xyc(folder, cells):
    """One file a class, as ALL-IDB1 has them."""
    files = []
    for number, name in enumerate(ALL_IDB_CLASSES):
        write_xyc(folder / f"{name}.xyc", cells.xy[cells.class_index == number])
        files.append(AnnotationFile(str(folder / f"{name}.xyc"), class_name=name))
    return files


# Writer -> how far a centre may move, how far an edge (None: no boxes), how far a score (None: no scores).
EXACT, ROUNDED = 1e-6, 0.5 + 1e-6
FORMATS = {
    geojson: (EXACT, EXACT, EXACT),
    coco: (EXACT, EXACT, None),
    yolo: (EXACT, EXACT, None),
    voc: (ROUNDED, ROUNDED, None),  # whole pixels, counted from 1
    table: (5e-5 + EXACT, 5e-5 + EXACT, 5e-5 + EXACT),  # four decimals of edges, which say where cells are
    xyc: (ROUNDED, None, None),  # whole pixels, counted from 1
}


@pytest.mark.parametrize("write", FORMATS)
@given(rows=rows_of_cells)
def test_what_is_written_comes_back_as_far_as_the_format_carries_it(tmp_path_factory, write, rows):
    cells, (centre, edge, score) = made(rows), FORMATS[write]
    folder = tmp_path_factory.mktemp(write.__name__)
    back = read_annotations(write(folder, cells), ALL_IDB_CLASSES, SIZE)
    # Points of one class a file come back class by class.
    order = np.argsort(cells.class_index, kind="stable") if write is xyc else np.arange(len(cells))
    expected = cells.take(order)
    assert classes_of(back) == classes_of(expected)
    assert np.allclose(back.xy, expected.xy, rtol=0, atol=centre)
    if not len(cells):
        return
    if edge is None:
        assert not set(BOX_COLUMNS) & set(back.attributes)
    else:
        assert np.allclose(boxes_of(back), boxes_of(expected), rtol=0, atol=edge)
    lost = np.ones(len(cells), np.float32)
    assert np.allclose(back.score, lost if score is None else expected.score, rtol=0, atol=score or 0)


@pytest.mark.parametrize("write", FORMATS)
@given(rows=rows_of_cells)
def test_what_came_back_goes_round_unchanged(tmp_path_factory, write, rows):
    """What a format rounds it rounds once."""
    folder = tmp_path_factory.mktemp(write.__name__)
    once = read_annotations(write(folder, made(rows)), ALL_IDB_CLASSES, SIZE)
    twice = read_annotations(write(folder, once), ALL_IDB_CLASSES, SIZE)
    assert classes_of(twice) == classes_of(once)
    assert np.allclose(twice.xy, once.xy, rtol=0, atol=EXACT)
    assert np.array_equal(twice.score, once.score)
    if len(once) and write is not xyc:
        assert_same_boxes(twice, once)


@given(st.lists(st.tuples(coordinates, coordinates, st.integers(0, 1), st.floats(0, 1, width=32)), max_size=9))
def test_points_of_cells_csv_come_back_to_a_decimal(tmp_path_factory, rows):
    values = np.array(rows, float).reshape(-1, 4)
    cells = Cells.at(values[:, :2], ALL_IDB_CLASSES, values[:, 2].astype(int), values[:, 3].astype(np.float32))
    back = read_annotations(table(tmp_path_factory.mktemp("table"), cells), ALL_IDB_CLASSES)
    assert classes_of(back) == classes_of(cells)
    assert np.allclose(back.xy, cells.xy, rtol=0, atol=0.05 + EXACT)
    assert np.allclose(back.score, cells.score, rtol=0, atol=5e-5 + EXACT)
