"""DICOM as the folder or any file of it; several series; files that are none or damaged."""

import shutil
import struct

import numpy as np
import pytest

from wsi_patches.datasets import find_slides
from wsi_patches.errors import SlideError
from wsi_patches.geometry import Box
from wsi_patches.slides import dicom, open_slide

SERIES = b"1.3.6.1.4.1.5962.99.1.1747645553.419656796.1689669825649.4.0"


@pytest.fixture
def boxes(shared_data, tmp_path):
    """A copy of a real series: a volume and its thumbnail."""
    return shutil.copytree(shared_data / "slides" / "dicom_wsi_leica_boxes", tmp_path / "boxes")


def other_series(folder, ending=b"9"):
    """Write the same files as another series."""
    for file in sorted(folder.glob("boxes_*.dcm")):
        content = file.read_bytes().replace(SERIES, SERIES[:-1] + ending)
        (folder / f"other_{file.name}").write_bytes(content)


def found(folder):
    return [item.path.removeprefix(f"{folder.parent}/") for item in find_slides([folder])]


def read_all(path):
    with open_slide(path) as slide:
        return slide.read(Box(0, 0, *slide.info.size))


@pytest.mark.parametrize("name", ["", "boxes_0.dcm", "boxes_1.dcm"])
def test_the_folder_and_every_file_of_a_series_open_its_volume(boxes, name):
    with open_slide(boxes / name) as slide:
        assert (slide.info.size, slide.info.vendor, slide.info.objective_power) == ((16, 16), "dicom", 20)
        assert slide.info.mpp == pytest.approx(0.499)
        assert [level.compression for level in slide.info.levels] == ["jpeg"]
    assert np.array_equal(read_all(boxes / name), read_all(boxes / "boxes_0.dcm"))


def test_the_folder_has_the_fingerprint_of_its_volume(boxes):
    with open_slide(boxes) as folder, open_slide(boxes / "boxes_0.dcm") as file:
        assert folder.info.fingerprint == file.info.fingerprint


def test_a_thumbnail_without_its_volume_is_refused_with_a_reason(boxes):
    (boxes / "boxes_0.dcm").unlink()
    for path in (boxes, boxes / "boxes_1.dcm"):
        with pytest.raises(SlideError, match="No pyramid levels"):
            open_slide(path)


def test_a_folder_of_one_series_is_one_slide(boxes):
    assert found(boxes.parent) == [f"{boxes.parent.name}/boxes"]
    assert found(boxes) == ["boxes"]


def test_each_series_beside_others_is_a_slide_and_the_folder_is_refused(boxes):
    other_series(boxes)
    (boxes / "photograph.png").touch()
    assert found(boxes) == ["boxes/boxes_0.dcm", "boxes/other_boxes_0.dcm", "boxes/photograph.png"]
    with pytest.raises(SlideError, match="2 DICOM series"):
        open_slide(boxes)


def test_what_is_no_slide_stays_an_item_of_its_own_so_that_its_error_is_told(boxes):
    (boxes / "broken.dcm").write_bytes((boxes / "boxes_0.dcm").read_bytes()[:900])
    (boxes / "text.dcm").write_text("no DICOM")
    assert found(boxes) == ["boxes/boxes_0.dcm", "boxes/broken.dcm", "boxes/text.dcm"]
    for name in ("broken.dcm", "text.dcm"):
        with pytest.raises(SlideError):
            open_slide(boxes / name)


def test_a_dicom_file_of_something_else_is_called_so(tmp_path):
    (tmp_path / "a.dcm").write_bytes(bytes(128) + b"DICM" + element(dicom.TRANSFER_SYNTAX, b"UI", b"1.2\0"))
    with pytest.raises(SlideError, match="DICOM file that is no whole slide"):
        open_slide(tmp_path / "a.dcm")


def test_a_folder_without_a_slide_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text("no slide")
    with pytest.raises(SlideError, match="neither an OME-Zarr"):
        open_slide(tmp_path)


def element(tag, vr, value, explicit=True):
    group, number = divmod(tag, 1 << 16)
    head = struct.pack("<HH", group, number)
    if not explicit:
        return head + struct.pack("<I", len(value)) + value
    if vr in dicom.LONG_LENGTH:
        return head + vr + struct.pack("<2xI", len(value)) + value
    return head + vr + struct.pack("<H", len(value)) + value


def unending(tag, explicit):
    """A sequence of unstated length that holds another, with a series of its own within."""
    item, end, over = (
        struct.pack("<HHI", mark >> 16, mark & 0xFFFF, 0) for mark in (dicom.ITEM, dicom.ITEM_END, dicom.SEQUENCE_END)
    )
    open_item = item[:4] + struct.pack("<I", dicom.UNDEFINED)
    inner = (
        element(dicom.SERIES, b"UI", b"9.9", explicit)
        + element(0x00080100, b"UT", b"x" * 5000, True)[: 0 if not explicit else None]
    )
    head = (
        struct.pack("<HH", tag >> 16, tag & 0xFFFF)
        + (b"SQ\0\0" if explicit else b"")
        + struct.pack("<I", dicom.UNDEFINED)
    )
    return head + open_item + inner + end + over


@pytest.mark.parametrize("explicit", [True, False])
def test_nested_sequences_do_not_hide_the_series_and_both_kinds_of_header_are_read(tmp_path, explicit):
    def header(name, kind, columns):
        body = [
            element(dicom.TRANSFER_SYNTAX, b"UI", b"1.2.840.10008.1.2.1\0" if explicit else b"1.2.840.10008.1.2\0"),
            element(dicom.IMAGE_TYPE, b"CS", kind, explicit),
            unending(0x00081115, explicit),
            element(dicom.SERIES, b"UI", b"1.2\0", explicit),
            element(dicom.COLUMNS, b"UL", struct.pack("<I", columns), explicit),
            element(dicom.ROWS, b"UL", struct.pack("<I", 10), explicit),
            element(0x7FE00010, b"OB", b"\0" * 8, explicit),
        ]
        (tmp_path / name).write_bytes(bytes(128) + b"DICM" + b"".join(body))

    header("a_coarse.dcm", b"ORIGINAL\\PRIMARY\\VOLUME\\NONE", 50)
    header("b_fine.dcm", b"ORIGINAL\\PRIMARY\\VOLUME\\NONE", 100)
    header("c_label.dcm", b"ORIGINAL\\PRIMARY\\LABEL\\NONE", 1000)
    assert dicom.find_volume(tmp_path) == tmp_path / "b_fine.dcm"
    assert dicom.is_one_series(tmp_path)


@pytest.mark.parametrize("name", ["dicom_wsi_camelyon_jpeg.dcm", "dicom_wsi_highdicom_50x50_25frames.dcm"])
def test_real_files_in_one_piece(shared_data, name):
    path = shared_data / "slides" / name
    assert dicom.one_of_each_series([path]) == [path]
    assert read_all(path).std() > 0
