"""Boxes that hypothesis makes, as cells, and what is equal about them after writing and reading."""

import numpy as np
from hypothesis import strategies as st

from wsi_patches.annotations import BOX_COLUMNS, boxes_of
from wsi_patches.cells import Cells

CLASSES = ("blast", "other", "red_cell")
coordinates = st.floats(0, 4000)
lengths = st.floats(0, 500)


def cells_with_boxes(boxes, classes):
    edges = np.array(boxes, float).reshape(-1, 4)
    columns = dict(zip(BOX_COLUMNS, edges.T, strict=True))
    return Cells.at((edges[:, :2] + edges[:, 2:]) / 2, CLASSES, classes, **columns)


@st.composite
def boxed_cells(draw, coordinate=coordinates, length=lengths):
    """Draw up to eight cells whose boxes are ``length`` wide, counted as pixels."""
    rows = draw(st.lists(st.tuples(coordinate, coordinate, length, length, st.integers(0, 2)), max_size=8))
    boxes = [(x, y, x + width - 1, y + height - 1) for x, y, width, height, _ in rows]
    return cells_with_boxes(boxes, [row[-1] for row in rows])


def classes_of(cells):
    return [cells.class_names[index] for index in cells.class_index]


def assert_same_boxes(found, expected, tolerance=1e-6):
    assert np.allclose(boxes_of(found), boxes_of(expected), rtol=0, atol=tolerance)
    assert np.allclose(found.xy, expected.xy, rtol=0, atol=tolerance)
