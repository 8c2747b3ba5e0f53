"""Cells into a store from every format, and out of it into COCO and YOLO and back by our own readers."""

import json

import cv2
import numpy as np
import pytest

from wsi_patches.annotations import (
    BOX_COLUMNS,
    boxes_of,
    coco_index,
    read_coco,
    read_yolo,
    read_yolo_names,
    write_coco,
    write_voc,
    write_xyc,
    write_yolo,
    write_yolo_names,
)
from wsi_patches.cells import ALL_IDB_CLASSES, Cells
from wsi_patches.geometry import Size
from wsi_patches.stores import open_store
from wsi_patches.workflows.export import ExportSettings, export
from wsi_patches.workflows.extract import ExtractSettings, extract

SIZE = Size(200, 140)
SIDE = 64
POINTS = [(20, 20), (70, 30), (64, 63), (150, 90), (190, 130)]
CLASSES = [0, 0, 1, 1, 0]
RADIUS = 10


def made_cells():
    xy = np.array(POINTS, float)
    boxes = zip(BOX_COLUMNS, np.concatenate([xy - RADIUS, xy + RADIUS], axis=1).T, strict=True)
    return Cells.at(xy, ALL_IDB_CLASSES, CLASSES, **dict(boxes))


def as_table(folder, cells):
    rows = [f"{x},{y},{cells.class_names[index]}\n" for (x, y), index in zip(cells.xy, cells.class_index, strict=True)]
    (folder / "a.csv").write_text("x,y,class\n" + "".join(rows))


def as_merged_xyc(folder, cells):
    write_xyc(folder / "a.xyc", cells.xy[cells.class_index == 0])
    write_xyc(folder / "other", cells.xy[cells.class_index == 1])
    lines = ["blasts\n", (folder / "a.xyc").read_text(), "normal\n", (folder / "other").read_text()]
    (folder / "a.xyc").write_text("".join(lines))


def as_yolo(folder, cells):
    write_yolo(folder / "a.txt", cells, SIZE)
    write_yolo_names(folder / "classes.txt", cells.class_names)


WRITERS = {
    "xyc": as_merged_xyc,
    "geojson": lambda folder, cells: (folder / "a.geojson").write_text(json.dumps(cells.to_geojson())),
    "voc": lambda folder, cells: write_voc(folder / "a.xml", cells, SIZE, "a.png"),
    "coco": lambda folder, cells: write_coco(folder / "a.json", [("a.png", SIZE, cells)]),
    "yolo": as_yolo,
    "csv": as_table,
}


def make_store(folder, kind):
    (folder / "marks").mkdir(parents=True)
    pixels = np.random.default_rng(2).integers(0, 256, (SIZE.height, SIZE.width, 3), np.uint8)
    cv2.imwrite(str(folder / "a.png"), pixels)
    WRITERS[kind](folder / "marks", made_cells())
    settings = ExtractSettings(
        (folder / "a.png",), folder / "a.zarr", annotations=folder / "marks", patch_size=SIDE, overlap=0.25, workers=1
    )
    return open_store(extract(settings).out)


@pytest.mark.parametrize("kind", WRITERS)
def test_a_store_holds_the_same_cells_whatever_format_they_came_in(tmp_path, kind):
    store = make_store(tmp_path, kind)
    cells = store.cells("a")
    assert store.settings.rule.class_names == ALL_IDB_CLASSES
    found = {
        (x, y, index) for (x, y), index in zip(cells.xy.round(6).tolist(), cells.class_index.tolist(), strict=True)
    }
    assert found == {(x, y, index) for (x, y), index in zip(POINTS, CLASSES, strict=True)}
    inside = [
        [
            sum(one == index and left <= x < left + SIDE and top <= y < top + SIDE for (x, y), one in marks)
            for index in (0, 1)
        ]
        for left, top in store.xy.tolist()
        for marks in [list(zip(POINTS, CLASSES, strict=True))]
    ]
    assert store.labels.tolist() == inside


def boxes_on_slide(store, read, box_px):
    """Return the boxes of all patches in level-0 pixels as whole numbers, with their classes.

    A box that the border of its patch cuts off stands for no cell's centre and is left out.
    """
    found = []
    for position in range(len(store)):
        cells, (x, y) = read(int(store.grid_index[position])), store.xy[position].tolist()
        for (left, top, right, bottom), index in zip(boxes_of(cells).tolist(), cells.class_index, strict=True):
            if right - left + 1 > box_px - 1e-3 and bottom - top + 1 > box_px - 1e-3:
                centre = round((left + right) / 2 + x, 3), round((top + bottom) / 2 + y, 3)
                found.append((*centre, cells.class_names[index]))
    return found


@pytest.mark.parametrize("kind", ["coco", "yolo"])
def test_exported_boxes_read_by_our_own_readers_are_the_cells_of_the_store(tmp_path, kind):
    store, side = make_store(tmp_path, "voc"), 2 * RADIUS + 1
    out = export(ExportSettings(store.path, tmp_path / "out", kind, box_px=side)).out
    if kind == "coco":
        file = out / "annotations" / "instances_all.json"
        assert len(coco_index(file).images) == len(store)

        def read(index):
            return read_coco(file, f"a_{index:06d}.png")
    else:
        names = read_yolo_names(out / "data.yaml")
        assert names == dict(enumerate(ALL_IDB_CLASSES))

        def read(index):
            cells = read_yolo(out / "labels" / f"a_{index:06d}.txt", Size(SIDE, SIDE))
            return Cells.at(
                cells.xy,
                ALL_IDB_CLASSES,
                [int(cells.class_names[one]) for one in cells.class_index],
                **dict(cells.attributes),
            )

    whole = [
        (float(x), float(y), ALL_IDB_CLASSES[index])
        for left, top in store.xy.tolist()
        for (x, y), index in zip(POINTS, CLASSES, strict=True)
        if left + RADIUS <= x <= left + SIDE - 1 - RADIUS and top + RADIUS <= y <= top + SIDE - 1 - RADIUS
    ]
    assert sorted(boxes_on_slide(store, read, side)) == sorted(whole)
    assert len({one[:2] for one in whole}) >= 3
    # Cut off or not, each patch has a box for each cell that it holds.
    assert [len(read(int(index))) for index in store.grid_index] == store.labels.sum(axis=1).tolist()
