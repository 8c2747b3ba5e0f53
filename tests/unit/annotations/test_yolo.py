"""YOLO: boxes, outlines, attributes, names of classes, and what is wrong with a line."""

import numpy as np
import pytest
from hypothesis import given

from tests.unit.annotations.made_boxes import CLASSES, assert_same_boxes, boxed_cells
from wsi_patches.annotations import boxes_of, read_yolo, read_yolo_names, write_yolo, write_yolo_names
from wsi_patches.errors import AnnotationError
from wsi_patches.geometry import Size

SIZE = Size(200, 100)


def written(tmp_path, content, name="a.txt"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_a_box_is_its_centre_and_size_in_shares(tmp_path):
    cells = read_yolo(written(tmp_path, "1 0.5 0.5 1 1\n0 0.25 0.1 0.1 0.2\n"), SIZE)
    assert np.allclose(boxes_of(cells), [[0, 0, 199, 99], [40, 0, 59, 19]])
    assert np.allclose(cells.xy, [[99.5, 49.5], [49.5, 9.5]])
    assert (cells.class_names, cells.class_index.tolist()) == (("1", "0"), [0, 1])


def test_an_outline_gives_its_bounds(tmp_path):
    cells = read_yolo(written(tmp_path, "2 0.1 0.1 0.3 0.1 0.2 0.4\n2 0.5 0.5 0.1 0.1\n"), SIZE)
    assert np.allclose(boxes_of(cells), [[20, 10, 59, 39], [90, 45, 109, 54]])


def test_an_outline_that_ends_in_corners_of_the_image_is_no_box_with_attributes(tmp_path):
    cells = read_yolo(written(tmp_path, "2 0.5 0.2 0.1 0.9 1 1\n2 0.1 0.1 0.3 0.1 0.2 0.4\n"), SIZE)
    assert np.allclose(boxes_of(cells), [[20, 20, 199, 99], [20, 10, 59, 39]])
    assert "a1" not in cells.attributes


def test_whole_numbers_behind_a_box_are_attributes(tmp_path):
    lines = "3 0.5 0.5 0.1 0.1 0 1 2 0 1 1\n5 0.2 0.2 0.1 0.1 1 0 0 0 0 2\n"
    cells = read_yolo(written(tmp_path, lines), SIZE)
    assert [cells.attributes[f"a{number}"].tolist() for number in (1, 3, 6)] == [[0, 1], [2, 0], [1, 2]]
    assert "a7" not in cells.attributes
    named = read_yolo(written(tmp_path, "0 .5 .5 .1 .1 0.25 3\n"), SIZE, attributes=("size", "shape"))
    assert (named.attributes["size"].tolist(), named.attributes["shape"].tolist()) == ([0.25], [3])


@pytest.mark.parametrize("content", [b"", b"\n \r\n"])
def test_an_image_without_objects_has_no_cells(tmp_path, content):
    assert len(read_yolo(written(tmp_path, content), SIZE)) == 0


@pytest.mark.parametrize(
    "content",
    [b"\xef\xbb\xbf1 .5 .5 .1 .1\r\n\r\n", b"1\t.5  .5 .1 .1", b"1.0 0.5 5e-1 0.1 0.1\n"],
    ids=["byte order mark, crlf", "tab, no last newline", "other ways to write numbers"],
)
def test_every_way_of_writing_a_box(tmp_path, content):
    cells = read_yolo(written(tmp_path, content), SIZE)
    assert cells.class_names == ("1",)
    assert np.allclose(boxes_of(cells), [[90, 45, 109, 54]])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("0 .5 .5 .1\n", "line 1"),
        ("0 .5 .5 .1 .1\n0 .5 .5\n", "line 2"),
        ("0 .1 .2 .3 .4 .5 .6 .7\n", "line 1: expected `class x y w h`, or an outline"),
        ("0 .1 .2 .3 .4 .5\n", "line 1"),
        ("0 .5 .5 .1 .1 1 2\n0 .5 .5 .1 .1 1\n", "line 2: expected `class x y w h a1 a2`, found 6 numbers"),
        ("WBC .5 .5 .1 .1\n", "line 1"),
        ("-1 .5 .5 .1 .1\n", "class's number"),
        ("1.5 .5 .5 .1 .1\n", "class's number"),
        ("0 .5 nan .1 .1\n", "line 1"),
        ("0 .5 .5 inf .1\n", "line 1"),
        ("0 .5 .5 -.1 .1\n", "line 1"),
        (b"0 .5 .5 .1 .1\n# gr\xf6sse\n", "line 2: expected UTF-8"),
    ],
)
def test_a_line_that_is_no_object_is_named(tmp_path, content, message):
    with pytest.raises(AnnotationError, match=message) as error:
        read_yolo(written(tmp_path, content), SIZE)
    assert "a.txt" in str(error.value)


def test_asked_attributes_must_be_there(tmp_path):
    with pytest.raises(AnnotationError, match="class x y w h size"):
        read_yolo(written(tmp_path, "0 .5 .5 .1 .1\n"), SIZE, attributes=("size",))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("classes.txt", "blast\nNo 2 cell\n"),
        ("obj.names", "blast\r\nNo 2 cell\r\n\r\n"),
        ("classes.txt", "0 blast\n1   No 2  cell\n"),
        ("data.yaml", "train: x\nnames: [blast, No 2 cell]\n"),
        ("Data.YAML", "names:\n  0: blast\n  1: No 2 cell\n"),
        ("dataset.yaml", "names:\n  - blast\n  - 'No 2 cell'\nnc: 2\n"),
    ],
)
def test_every_way_of_naming_the_classes(tmp_path, name, content):
    path = written(tmp_path, content, name)
    assert read_yolo_names(path) == read_yolo_names(tmp_path) == {0: "blast", 1: "No 2 cell"}


def test_yaml_makes_nothing_but_text_of_names(tmp_path):
    assert read_yolo_names(written(tmp_path, "names: [no, 1, 2020-01-01]\n", "data.yaml")) == {
        0: "no",
        1: "1",
        2: "2020-01-01",
    }


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("data.yaml", "names: 3\n"),
        ("data.yaml", "- a\n"),
        ("data.yaml", "names: {a: b}\n"),
        ("data.yaml", "names: {0: a, 00: b}\n"),
        ("data.yaml", "names: [[a], b]\n"),
        ("data.yaml", "names: [!!python/object/apply:os.getcwd []]\n"),
        ("data.yaml", "names: [a\n"),
        ("data.yaml", "a: &a [x, x]\nb: &b [*a, *a, *a, *a]\nc: &c [*b, *b, *b, *b]\nnames: [*c, *c, *c]\n"),
        ("data.yaml", f"names: {{{'9' * 5000}: a}}\n"),
        ("classes.txt", "a\n\nb\n"),
        ("classes.txt", "0 a\n0 b\n"),
        ("classes.txt", b"\xff\xfe"),
    ],
)
def test_names_that_are_none_are_refused(tmp_path, name, content):
    path = written(tmp_path, content, name)
    with pytest.raises(AnnotationError, match=name):
        read_yolo_names(path)


def test_a_folder_without_names_is_refused(tmp_path):
    with pytest.raises(AnnotationError, match=r"data\.yaml"):
        read_yolo_names(tmp_path)


@given(cells=boxed_cells())
def test_writing_and_reading_gives_the_same_boxes(tmp_path_factory, cells):
    path = tmp_path_factory.mktemp("yolo") / "a.txt"
    write_yolo(path, cells, Size(3217, 1999))
    back = read_yolo(path, Size(3217, 1999))
    assert_same_boxes(back, cells)
    assert [int(back.class_names[index]) for index in back.class_index] == cells.class_index.tolist()
    write_yolo_names(path.with_name("classes.txt"), cells.class_names)
    assert read_yolo_names(path.parent) == dict(enumerate(CLASSES))


@pytest.mark.parametrize(
    ("folder", "size", "expected"),
    [
        ("wbc_fov", Size(1440, 900), {"neutrophil": 3, "eosinophil": 3, "basophil": 3, "lymphocyte": 3, "monocyte": 3}),
        ("txl_pbc/raabin", Size(575, 575), {"WBC": 46, "RBC": 477, "Platelets": 2}),
        ("txl_pbc/pbc", Size(360, 363), {"WBC": 43, "RBC": 631, "Platelets": 27}),
    ],
)
def test_real_fields(shared_data, folder, size, expected):
    names = read_yolo_names(shared_data / folder.split("/")[0])
    counts = dict.fromkeys(expected, 0)
    for file in (shared_data / folder / "labels_yolo").glob("*.txt"):
        cells = read_yolo(file, size)
        boxes = boxes_of(cells)
        assert (boxes > -0.01).all()
        assert (boxes[:, 2:] < np.array(size) - 0.99).all()
        for index in cells.class_index:
            counts[names[int(cells.class_names[index])]] += 1
    assert counts == expected
