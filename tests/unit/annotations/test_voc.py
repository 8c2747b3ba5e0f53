"""Pascal VOC: frame, round trip, and every way in which the XML can be wrong or hostile."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.annotations.made_boxes import assert_same_boxes, boxed_cells, cells_with_boxes, classes_of
from wsi_patches.annotations import boxes_of, read_voc, voc_image_size, write_voc
from wsi_patches.cells import Cells
from wsi_patches.errors import AnnotationError, UsageError
from wsi_patches.geometry import Size

BOX = "<bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox>"
ENTITY_BOMB = (
    '<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]>'
    "<annotation><object><name>&b;</name></object></annotation>"
)
OUTSIDE_FILE = (
    '<!DOCTYPE annotation SYSTEM "file:///etc/hostname"><annotation><object><name>WBC</name></object></annotation>'
)


def voc(*objects, size=""):
    return f"<annotation>{size}{''.join(f'<object>{content}</object>' for content in objects)}</annotation>"


def written(tmp_path, content, encoding="utf-8"):
    path = tmp_path / "a.xml"
    path.write_bytes(content.encode(encoding))
    return path


def test_corners_count_from_one_and_belong_to_the_box(tmp_path):
    first = f"<name>WBC</name>{BOX.format(1, 1, 640, 480)}"
    second = f"<name>RBC</name><difficult>1</difficult>{BOX.format(11, 21, 11, 22)}"
    cells = read_voc(written(tmp_path, voc(first, second)))
    assert boxes_of(cells).tolist() == [[0, 0, 639, 479], [10, 20, 10, 21]]
    assert cells.xy.tolist() == [[319.5, 239.5], [10, 20.5]]
    assert (cells.class_names, classes_of(cells)) == (("WBC", "RBC"), ["WBC", "RBC"])
    assert cells.attributes["difficult"].tolist()[1] == 1
    assert "truncated" not in cells.attributes


def test_a_box_outside_of_the_image_or_of_no_area_is_left_to_the_checker(tmp_path):
    outside, empty = (f"<name>WBC</name>{BOX.format(*box)}" for box in ((-4, 0, 700, 5), (6, 6, 5, 5)))
    cells = read_voc(written(tmp_path, voc(outside, empty)))
    assert boxes_of(cells).tolist() == [[-5, -1, 699, 4], [5, 5, 4, 4]]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings_and_line_ends(tmp_path, encoding):
    content = voc(f"\r\n<name>\r\n größe </name>{BOX.format(1, 2, 3, 4)}")
    assert read_voc(written(tmp_path, content, encoding)).class_names == ("größe",)


def test_latin_1_is_read_where_it_is_declared_and_refused_where_not(tmp_path):
    content = voc(f"<name>größe</name>{BOX.format(1, 2, 3, 4)}")
    declared = f'<?xml version="1.0" encoding="ISO-8859-1"?>{content}'
    assert read_voc(written(tmp_path, declared, "latin-1")).class_names == ("größe",)
    with pytest.raises(AnnotationError, match=r"a\.xml"):
        read_voc(written(tmp_path, content, "latin-1"))


def test_an_image_without_objects_has_no_cells(tmp_path):
    assert len(read_voc(written(tmp_path, voc()))) == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no element found"),
        ("<annotation><object>", "ends too early"),
        ("<svg/>", "found svg"),
        ('<?xml version="1.0" encoding="nonsense"?><annotation/>', "is not XML"),
        (ENTITY_BOMB, "document type or entities"),
        (OUTSIDE_FILE, "document type or entities"),
        (voc("<pose/>"), "object 1: expected the name"),
        (voc("<name>WBC</name>"), r"object 1 \(WBC\): expected a bndbox"),
        (voc("<name>WBC</name><bndbox><xmin>3</xmin></bndbox>"), "ymin: expected a number"),
        (voc("<name>WBC</name>" + BOX.format("x", 1, 2, 3)), "xmin: expected a number"),
        (voc("<name>WBC</name>" + BOX.format(1, "nan", 2, 3)), "ymin: expected a number"),
        (voc("<name>WBC</name>" + BOX.format(1, 1, "inf", 3)), "xmax: expected a number"),
        (voc("<name>WBC</name>" + BOX.format(9, 1, 2, 3)), "right and bottom follow"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, content, message):
    with pytest.raises(AnnotationError, match=message) as error:
        read_voc(written(tmp_path, content))
    assert "a.xml" in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(AnnotationError, match=r"none\.xml"):
        read_voc(tmp_path / "none.xml")


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ("<size><width>640</width><height>480</height></size>", Size(640, 480)),
        ("<size><width>0</width><height>0</height></size>", None),
        ("", None),
    ],
)
def test_the_size_that_a_file_states(tmp_path, size, expected):
    assert voc_image_size(written(tmp_path, voc(size=size))) == expected


def test_a_size_that_is_no_number_is_named(tmp_path):
    with pytest.raises(AnnotationError, match="size: width"):
        voc_image_size(written(tmp_path, voc(size="<size><width>wide</width><height>1</height></size>")))


@given(cells=boxed_cells(st.integers(-20, 4000), st.integers(0, 500)))
def test_writing_and_reading_gives_the_same_boxes(tmp_path_factory, cells):
    path = tmp_path_factory.mktemp("voc") / "a.xml"
    write_voc(path, cells, Size(4000, 3000), "a & b.jpg")
    back = read_voc(path)
    assert_same_boxes(back, cells)
    assert classes_of(back) == classes_of(cells)
    assert voc_image_size(path) == Size(4000, 3000)


def test_flags_are_written_and_points_are_not(tmp_path):
    cells = cells_with_boxes([(1, 2, 3, 4), (5, 6, 7, 8)], [0, 1])
    cells.attributes["difficult"] = [1, 0]
    write_voc(tmp_path / "a.xml", cells, Size(9, 9))
    back = read_voc(tmp_path / "a.xml")
    assert back.attributes["difficult"].tolist() == [1, 0]
    assert back.attributes["truncated"].tolist() == [0, 0]
    with pytest.raises(UsageError, match="left_px"):
        write_voc(tmp_path / "b.xml", Cells.at([(1, 2)], ("blast",)), Size(9, 9))


def test_real_fields_of_bccd(shared_data):
    files = sorted((shared_data / "bccd" / "annotations").glob("*.xml"))
    cells = [read_voc(file) for file in files]
    counts = {name: sum(each.count(name) for each in cells) for name in ("WBC", "RBC", "Platelets")}
    assert counts == {"WBC": 126, "RBC": 1593, "Platelets": 151}
    assert {voc_image_size(file) for file in files} == {Size(640, 480)}
    for each in cells:
        boxes = boxes_of(each)
        assert (boxes >= 0).all()
        assert (boxes[:, 2:] < (640, 480)).all()
        assert (boxes[:, :2] <= boxes[:, 2:]).all()
