"""ALL-IDB's points with every oddity that they are known to have, and the files of a slide together."""

import json

import numpy as np
import pytest
from PIL import Image

from tests.unit.annotations.made_boxes import cells_with_boxes
from wsi_patches.annotations import (
    SUFFIXES,
    AnnotationFile,
    boxes_of,
    classes_in,
    read_annotations,
    read_xyc,
    write_coco,
    write_voc,
    write_xyc,
    write_yolo,
)
from wsi_patches.cells import ALL_IDB_CLASSES, Cells
from wsi_patches.errors import AnnotationError, UsageError
from wsi_patches.geometry import Size

TWO = [[9.0, 19.0], [29.0, 39.0]]


@pytest.mark.parametrize(
    "content",
    [
        b"10\t20\n30\t40\n",
        b"10 20\n30 40\n",
        b"10\t20\r\n30\t40\r\n",
        b"10\t20\n30\t40",
        b"10 20  \n\n30 40\t\n\n\n",
        b"\xef\xbb\xbf10 20\n30 40\n",
        b"  10   20\n30\t 40\n",
    ],
    ids=[
        "tab",
        "space",
        "crlf",
        "no last newline",
        "blank lines and trailing blanks",
        "byte order mark",
        "mixed blanks",
    ],
)
def test_every_way_of_writing_two_points(tmp_path, content):
    path = tmp_path / "Im001_1.xyc"
    path.write_bytes(content)
    cells = read_xyc(path, "blast")
    assert cells.xy.tolist() == TWO
    assert cells.count("blast") == 2


@pytest.mark.parametrize("content", [b"", b"\n", b"\r\n\r\n", b"   \n"])
def test_a_healthy_image_has_no_blast(tmp_path, content):
    path = tmp_path / "Im034_0.xyc"
    path.write_bytes(content)
    assert len(read_xyc(path, "blast")) == 0


@pytest.mark.parametrize(
    "names", [("WBC_probable_lymphoblasts", "Other_cases"), ("blasts", "normal"), ("BLASTS", "Normal")]
)
def test_both_kinds_of_merged_file(tmp_path, names):
    path = tmp_path / "merged.xyc"
    path.write_text(f"{names[0]}\n10 20\n{names[1]}\n30 40\n5 6\n")
    cells = read_xyc(path)
    assert [cells.class_names[index] for index in cells.class_index] == ["blast", "other", "other"]
    assert cells.xy.tolist() == [*TWO, [4.0, 5.0]]


@pytest.mark.parametrize(
    ("content", "message"),
    [("10 20\nx 4\n", "line 2"), ("10 20 30\n", "line 1"), ("nan 3\n", "line 1"), ("10\n", "line 1")],
)
def test_a_line_that_is_no_point_is_named(tmp_path, content, message):
    path = tmp_path / "bad.xyc"
    path.write_text(content)
    with pytest.raises(AnnotationError, match=message):
        read_xyc(path, "other")


def test_points_without_a_class_are_refused(tmp_path):
    path = tmp_path / "merged.xyc"
    path.write_text("10 20\nblasts\n")
    with pytest.raises(AnnotationError, match="before any of the section names"):
        read_xyc(path)


def test_a_binary_file_is_refused(tmp_path):
    path = tmp_path / "bad.xyc"
    path.write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(AnnotationError, match=r"bad\.xyc"):
        read_xyc(path, "other")


def test_the_first_line_of_the_real_files_is_data(shared_data):
    files = sorted((shared_data / "all_idb1_other").glob("*.xyc"))
    assert len(files) == 108
    cells = {file.stem: read_xyc(file, "other") for file in files}
    assert sum(map(len, cells.values())) == 1430
    assert cells["Im001_1"].xy[0].tolist() == [798, 768]
    assert [len(cells[name]) for name in ("Im012_1", "Im017_1", "Im073_0", "Im083_0")] == [1, 1, 1, 1]


def test_writing_and_reading_gives_the_same_points(tmp_path):
    xy = np.array([[0, 0], [17, 23], [2591, 1943]], float)
    write_xyc(tmp_path / "a.xyc", xy)
    assert (tmp_path / "a.xyc").read_bytes() == b"1\t1\n18\t24\n2592\t1944\n"
    assert np.array_equal(read_xyc(tmp_path / "a.xyc", "blast").xy, xy)


def test_files_of_one_slide_are_joined_in_order(tmp_path):
    (tmp_path / "b.xyc").write_text("1 1\n")
    (tmp_path / "o.xyc").write_text("2 2\n")
    cells = read_annotations(
        [
            AnnotationFile(str(tmp_path / "b.xyc"), class_name="blast"),
            AnnotationFile(str(tmp_path / "o.xyc"), class_name="other"),
        ]
    )
    assert cells.class_index.tolist() == [0, 1]
    with pytest.raises(AnnotationError, match="known are files"):
        read_annotations([AnnotationFile("a.docx")])


def test_cells_survive_arrow():
    cells = Cells.at([(1.5, 2.5), (3, 4)], ALL_IDB_CLASSES, [1, 0], [0.25, 0.75], "s", radius_px=[4.0, 5.0])
    assert Cells.from_arrow(cells.to_arrow()).to_arrow().equals(cells.to_arrow())
    assert len(Cells.concatenate([cells, cells]).take([0, 3])) == 2


GEOJSON = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 2]}}


def test_every_format_by_its_key_or_by_its_suffix(tmp_path):
    boxes = cells_with_boxes([(10, 20, 13, 25)], [0])
    size = Size(100, 50)
    write_voc(tmp_path / "a.xml", boxes, size)
    write_yolo(tmp_path / "a.txt", boxes, size)
    write_coco(tmp_path / "a.json", [("a.png", size, boxes)])
    (tmp_path / "a.csv").write_text("xmin,ymin,xmax,ymax,class\n10,20,13,25,blast\n")
    mask = np.zeros((50, 100), np.uint8)
    mask[20:26, 10:14] = 255
    Image.fromarray(mask).save(tmp_path / "a.png")
    cases = {"voc": "a.xml", "yolo": "a.txt", "coco": "a.json", "table": "a.csv"}
    masks = {"mask": "a.png", "nucleus_mask": "a.png", "label_mask": "a.png"}
    for key, name in (cases | masks).items():
        for form in (key, "") if key in cases else (key,):
            file = AnnotationFile(str(tmp_path / name), form, renames=(("0", "blast"), ("white_cell", "blast")))
            cells = read_annotations([file], ("other", "blast"), size)
            assert np.allclose(boxes_of(cells), [[10, 20, 13, 25]])
            assert (cells.class_index.tolist(), cells.class_names) == ([1], ("other", "blast"))
            assert classes_in(file) == ("blast",)


def test_json_is_known_by_what_it_says(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps([GEOJSON]))
    assert classes_in(AnnotationFile(str(path))) == ("white_cell",)
    path.write_text('{"images": [{"id": 1, "file_name": "a.png"}], "annotations": [], "categories": []}')
    assert len(read_annotations([AnnotationFile(str(path))])) == 0
    path.write_text('{"images": 3}')
    with pytest.raises(AnnotationError, match=r"a\.json: expected a GeoJSON"):
        read_annotations([AnnotationFile(str(path))])


def test_formats_that_need_more_than_the_file_say_so(tmp_path):
    (tmp_path / "a.txt").write_text("0 .5 .5 .1 .1\n")
    with pytest.raises(UsageError, match="size of its image"):
        read_annotations([AnnotationFile(str(tmp_path / "a.txt"))])
    with pytest.raises(UsageError, match="which of them"):
        read_annotations([AnnotationFile(str(tmp_path / "a.csv"), "all_idb_patches")])
    with pytest.raises(AnnotationError, match="of the format docx; known are files ending in"):
        read_annotations([AnnotationFile("a.xml", "docx")])


def test_classes_are_renamed_or_left_out_and_put_into_order(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("x,y,class\n1,1,WBC\n2,2,RBC\n3,3,blast\n4,4,WBC\n")
    file = AnnotationFile(str(path), renames=(("WBC", "white_cell"), ("RBC", None)))
    cells = read_annotations([file], ("blast", "other", "white_cell"))
    assert cells.x.tolist() == [1, 3, 4]
    assert cells.class_index.tolist() == [2, 0, 2]
    assert classes_in(file) == ("white_cell", "blast")
    with pytest.raises(AnnotationError, match=r"a\.csv has cells of class white_cell; the classes are blast, other"):
        read_annotations([file])
    merged = AnnotationFile(str(path), renames=(("WBC", "blast"), ("RBC", "other")))
    assert read_annotations([merged]).class_index.tolist() == [0, 1, 0, 0]
    none = AnnotationFile(str(path), renames=(("WBC", None), ("RBC", None), ("blast", None)))
    assert len(read_annotations([none])) == len(classes_in(none)) == 0


def test_classes_that_do_not_occur_need_no_place(tmp_path):
    (tmp_path / "o.xyc").write_text("2 2\n")
    file = AnnotationFile(str(tmp_path / "o.xyc"), class_name="other")
    assert read_annotations([file], ("other", "wbc")).class_names == ("other", "wbc")
    assert classes_in(file) == ("other",)


def test_boxes_stay_where_all_files_with_cells_have_them(tmp_path):
    write_voc(tmp_path / "a.xml", cells_with_boxes([(1, 2, 3, 4)], [0]), Size(9, 9))
    write_voc(tmp_path / "b.xml", cells_with_boxes([(5, 6, 7, 8)], [1]), Size(9, 9))
    (tmp_path / "empty.xyc").write_text("")
    (tmp_path / "one.xyc").write_text("1 1\n")
    boxed = [AnnotationFile(str(tmp_path / name)) for name in ("a.xml", "empty.xyc", "b.xml")]
    assert boxes_of(read_annotations(boxed)).tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]
    point = AnnotationFile(str(tmp_path / "one.xyc"), class_name="other")
    assert not read_annotations([*boxed, point]).attributes


def test_the_patches_of_all_idb(tmp_path):
    path = tmp_path / "patches.csv"
    path.write_text("Filename,Blast_present,Normal_present,Centroids blasts,Centroids other cases\na.tif,1,0,5 6,N/A\n")
    assert read_annotations([AnnotationFile(str(path), "all_idb_patches", image="a.tif")]).xy.tolist() == [[5, 6]]


def test_no_files_no_cells():
    assert read_annotations([], ("a", "b")).class_names == ("a", "b")


def test_suffixes_are_searched_in_this_order():
    assert SUFFIXES == (".xyc", ".geojson", ".json", ".xml", ".txt", ".csv", ".dcm")
