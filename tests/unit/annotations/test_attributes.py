"""Attributes and regions of marks: numbers and texts under the names that we have for them, written and read back."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_patches.annotations import (
    BOX_COLUMNS,
    AnnotationFile,
    boxes_of,
    read_annotations,
    read_coco,
    write_coco,
    write_yolo,
    write_yolo_names,
)
from wsi_patches.annotations.attributes import UNKNOWN, attribute_numbers, named_attributes, numbered_columns
from wsi_patches.annotations.regions import Regions, regions_of
from wsi_patches.annotations.yolo import read_yolo_attributes
from wsi_patches.cells import Cells
from wsi_patches.datasets import find_inputs
from wsi_patches.errors import AnnotationError, UsageError
from wsi_patches.export.leukemia_attri import AttributedField, write_leukemia_attri
from wsi_patches.geometry import Size
from wsi_patches.morphology import SEVEN, Attribute

SIZE = Size(640, 480)
SIX = tuple(one.name for one in SEVEN[1:])
TWO = (Attribute("cell_size", ("small", "large")), Attribute("nucleus", ("inconspicuous", "prominent", "none seen")))
NAMES = ("lymphoblast", "neutrophil", "ignore")


def boxed(rows, attributes=()):
    """Return cells of ``(left, top, width, height, class, *numbers)``."""
    table = np.array(rows, np.float64).reshape(-1, 5 + len(attributes))
    left, top, width, height = table[:, :4].T
    edges = {"left_px": left, "top_px": top, "right_px": left + width - 1, "bottom_px": top + height - 1}
    said = {
        one.name: np.array(["" if n < 0 else one.values[int(n)] for n in table[:, 5 + column]], str)
        for column, one in enumerate(attributes)
    }
    xy = np.stack([left + (width - 1) / 2, top + (height - 1) / 2], axis=1)
    return Cells.at(xy, NAMES, table[:, 4].astype(int), **edges, **said)


def test_numbers_behind_a_box_are_what_a_recipe_says_they_are(tmp_path):
    (tmp_path / "a.txt").write_text("0 0.5 0.5 0.1 0.1 1 0 1 0 1 0\n0 0.2 0.2 0.1 0.1 0 1 2 -1 1 1\n")
    cells = read_annotations([AnnotationFile(str(tmp_path / "a.txt"))], None, SIZE)
    named = named_attributes(cells, SEVEN, numbered_columns(SIX))
    assert named.attributes["nuclear_chromatin"].tolist() == ["coarse", "open"]
    assert named.attributes["nucleus"].tolist() == ["prominent", ""]  # a number without a value is not known
    assert named.attributes["cytoplasm"].tolist() == ["scanty", ""]
    assert "a1" not in named.attributes
    assert attribute_numbers(named, SEVEN).tolist() == [
        [UNKNOWN, 1, 0, 1, 0, 1, 0],
        [UNKNOWN, 0, 1, UNKNOWN, UNKNOWN, 1, 1],
    ]


def test_texts_and_titles_of_a_file_are_known_too():
    cells = Cells.at(
        [[1, 2], [3, 4], [5, 6]], ("x",), **{"Nuclear Chromatin": ["Coarse", "1", "odd"], "note": ["a", "b", "c"]}
    )
    named = named_attributes(cells, SEVEN)
    assert named.attributes["nuclear_chromatin"].tolist() == ["coarse", "coarse", ""]
    assert named.attributes["note"].tolist() == ["a", "b", "c"]
    with pytest.raises(UsageError, match=r"columns are said to be hue; the attributes are cell_size"):
        named_attributes(cells, SEVEN, {"a1": "hue"})


cells_with_attributes = st.lists(
    st.tuples(
        st.floats(0, 500), st.floats(0, 400), st.floats(1, 90), st.floats(1, 70), st.integers(0, 2),
        st.integers(-1, 1), st.integers(-1, 2),
    ),
    max_size=5,
)  # fmt: skip


@pytest.mark.parametrize("form", ["coco", "yolo"])
@given(rows=cells_with_attributes)
def test_what_is_written_with_attributes_is_read_back(tmp_path_factory, form, rows):
    cells, folder = boxed(rows, TWO), tmp_path_factory.mktemp(form)
    if form == "coco":
        write_coco(folder / "a.json", [("a.png", SIZE, cells)], [one.name for one in TWO])
        file = AnnotationFile(str(folder / "a.json"), "coco", image="a.png")
    else:
        write_yolo(folder / "a.txt", cells, SIZE, TWO)
        renames = tuple((str(number), name) for number, name in enumerate(NAMES))
        file = AnnotationFile(str(folder / "a.txt"), renames=renames, attributes=TWO)
    back = read_annotations([file], NAMES, SIZE)
    assert back.class_index.tolist() == cells.class_index.tolist()
    assert boxes_of(back) == pytest.approx(boxes_of(cells), abs=1e-6)
    assert attribute_numbers(back, TWO).tolist() == attribute_numbers(cells, TWO).tolist()


@settings(max_examples=8)
@given(rows=cells_with_attributes.filter(bool))
def test_a_written_folder_is_read_as_leukemia_attri_in_both_forms(tmp_path_factory, rows):
    folder, cells = tmp_path_factory.mktemp("set") / "H_100x_C1", boxed(rows, TWO)
    folder.mkdir()
    write_leukemia_attri(folder, [AttributedField("a", "train", SIZE, cells)], TWO)
    (folder / "Images" / "train").mkdir(parents=True)
    (folder / "Images" / "train" / "a.png").write_bytes(b"\x89PNG")
    read = []
    for form in ("coco", "yolo"):
        if form == "yolo":
            (folder / "Annotations" / "train.json").unlink()
        (item,) = find_inputs([folder]).items
        assert (item.split, dict(item.attributes).get("domain")) == ("train", "H_100x_C1")
        assert item.annotations[0].format == form
        read.append(named_attributes(read_annotations(item.annotations, None, SIZE), TWO))
    for back in read:
        assert [back.class_names[index] for index in back.class_index] == [NAMES[row[4]] for row in rows]
        assert boxes_of(back) == pytest.approx(boxes_of(cells), abs=1e-6)
        assert attribute_numbers(back, TWO).tolist() == attribute_numbers(cells, TWO).tolist()


def test_a_file_of_names_says_what_the_columns_are(tmp_path):
    assert read_yolo_attributes(tmp_path) == ()
    write_yolo_names(tmp_path / "classes.txt", ["a"])
    assert read_yolo_attributes(tmp_path) == ()
    (tmp_path / "data.yaml").write_text("names: [a]\nattributes: {cell_size: [small, large]}\n")
    assert read_yolo_attributes(tmp_path) == TWO[:1]
    (tmp_path / "data.yaml").write_text("names: [a]\nattributes: {cell_size: small}\n")
    with pytest.raises(AnnotationError, match="a list of two values or more for each name"):
        read_yolo_attributes(tmp_path)


@pytest.mark.parametrize("mark", [{"iscrowd": 1}, {"ignore": True}])
def test_crowds_and_what_is_to_be_ignored_are_of_the_class_ignore(tmp_path, mark):
    one = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 20, 30, 40], **mark}
    other = {"id": 2, "image_id": 1, "category_id": 1, "bbox": [50, 20, 30, 40], "iscrowd": 0}
    content = {"images": [{"id": 1, "file_name": "a.png"}], "categories": [{"id": 1, "name": "blast"}]}
    (tmp_path / "a.json").write_text(json.dumps({**content, "annotations": [one, other]}))
    cells = read_coco(tmp_path / "a.json")
    assert [cells.class_names[index] for index in cells.class_index] == ["ignore", "blast"]
    assert regions_of(cells).ignored.tolist() == [[10, 20, 39, 59]]


def test_what_lies_in_a_region_or_outside_of_the_areas_is_not_known():
    regions = Regions(np.array([[10.0, 10, 19, 19]]), np.array([[0.0, 0, 49, 99], [60, 0, 99, 99]]))
    points = [[5, 5], [10, 10], [19.4, 19.4], [19.6, 15], [55, 5], [70, 5]]
    assert regions.unknown(points).tolist() == [False, True, True, False, True, False]
    assert (
        regions.scaled(2, 3).unknown(np.array(points) * [2, 3] + [0.5, 1]).tolist() == regions.unknown(points).tolist()
    )
    assert not Regions.none().unknown(points).any()


def test_regions_are_found_among_marks_by_their_class():
    edges = np.array([[5, 5, 15, 15], [0, 0, 99, 99], [80, 80, 99, 99]]).T
    boxes = dict(zip(BOX_COLUMNS, edges, strict=True))
    marks = Cells.at([[10, 10], [50, 50], [90, 90]], ("Ignore*", "Region*", "blast"), [0, 1, 2], **boxes)
    regions = regions_of(marks)
    assert (regions.ignored.tolist(), regions.areas.tolist()) == ([[5, 5, 15, 15]], [[0, 0, 99, 99]])
    circle = Cells.at([[10, 10]], ("ignore",), radius_px=[3.0])
    assert regions_of(circle).ignored.tolist() == [[7.5, 7.5, 12.5, 12.5]]
    with pytest.raises(AnnotationError, match="a mark of class annotated_area needs a box"):
        regions_of(Cells.at([[10, 10]], ("annotated_area",), radius_px=[3.0]))
