"""Every oddity that annotation files are known to have."""

import json

import numpy as np
import pytest

from wsi_patches.annotations import AnnotationFile, read_annotations, read_geojson, read_xyc, write_xyc
from wsi_patches.cells import ALL_IDB_CLASSES, Cells
from wsi_patches.errors import AnnotationError

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


def test_geojson_round_trip_and_refusals(tmp_path):
    cells = Cells.at([(1.5, 2.5), (3, 4)], ALL_IDB_CLASSES, [0, 1], [0.25, 0.75], "s", radius_px=[4.0, 5.0])
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps(cells.to_geojson()))
    back = read_geojson(path, ALL_IDB_CLASSES)
    assert back.to_arrow().equals(cells.to_arrow())
    path.write_text("{}")
    with pytest.raises(AnnotationError, match=r"a\.geojson"):
        read_geojson(path)
    path.write_text(json.dumps(Cells.at([(1, 2)], ("wbc",)).to_geojson()))
    with pytest.raises(AnnotationError, match="wbc"):
        read_geojson(path, ALL_IDB_CLASSES)


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
