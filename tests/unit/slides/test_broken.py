"""Broken files read truly or raise SlideError; nothing else, and nothing half filled."""

import contextlib
import json
import os
import shutil
import struct

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile
import zarr
from numcodecs import Zstd
from PIL import Image

from tests.conftest import shared_files
from wsi_patches.datasets import find_slides
from wsi_patches.errors import SlideError
from wsi_patches.geometry import Box
from wsi_patches.slides import open_slide

PIXELS = np.random.default_rng(3).integers(0, 256, (300, 400, 3), np.uint8)


def read_all(path):
    with open_slide(path) as slide:
        return slide.read(Box(0, 0, *slide.info.size))


def broken_files(folder):
    """Write files that are broken in different ways; return path and a word of the message."""
    (folder / "empty.svs").touch()
    yield folder / "empty.svs", "empty"
    (folder / "text.svs").write_text("Aperio Image Library, but only the words\n" * 9)
    yield folder / "text.svs", "text"
    yield folder / "nowhere.svs", "does not exist"
    (folder / "folder.svs").mkdir()
    yield folder / "folder.svs", "folder"
    for suffix in ("jpg", "png", "bmp"):
        path = folder / f"short.{suffix}"
        content = cv2.imencode(f".{suffix}", PIXELS)[1].tobytes()
        path.write_bytes(content[: len(content) * 2 // 3])
        yield path, "truncated|cannot"
    for name, options in {
        "tiled": {"tile": (64, 64)},
        "stripped": {"rowsperstrip": 16},
        "jpeg": {"tile": (64, 64), "compression": "jpeg", "photometric": "rgb"},
    }.items():
        path = folder / f"{name}.tif"
        tifffile.imwrite(path, PIXELS, **options)
        content = path.read_bytes()
        path.write_bytes(content[: len(content) * 2 // 3])
        yield path, "truncated|cannot"


def test_files_broken_on_purpose(tmp_path):
    for path, message in broken_files(tmp_path):
        with pytest.raises(SlideError, match=message) as caught:
            read_all(path)
        assert path.name in str(caught.value)


def test_a_damaged_tile_costs_that_tile_only(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PIXELS, tile=(64, 64), compression="zlib", photometric="rgb", metadata=None)
    with tifffile.TiffFile(path) as file:
        offset = file.pages.first.dataoffsets[8]
    content = bytearray(path.read_bytes())
    content[offset : offset + 60] = b"\xff" * 60
    path.write_bytes(content)
    for reader in ("tifffile", "openslide"):
        with open_slide(path, reader=reader) as slide:
            with pytest.raises(SlideError, match=r"a\.tif"):
                slide.read(Box(70, 70, 10, 10))
            assert np.array_equal(slide.read(Box(200, 200, 50, 50)), PIXELS[200:250, 200:250])


@pytest.mark.parametrize("relative", shared_files("corrupt", not_named=("BEHAVIOUR.csv",)))
def test_every_known_broken_file_reads_truly_or_raises_slide_error(shared_data, relative):
    path = shared_data / relative
    try:
        pixels = read_all(path)
    except SlideError as error:
        told = str(error)
    else:
        told = ""
        assert pixels.size
        assert pixels.shape[2] == 3
    assert not told or (path.name in told and len(told.split()) > 4)


def test_the_truncated_svs_is_no_empty_image(shared_data):
    with pytest.raises(SlideError):
        open_slide(shared_data / "corrupt" / "svs" / "derived_cmu_truncated_60pct.svs")


def paint(path, encoded, size=64, **options):
    """Write a TIFF of one segment whose bytes are given."""
    layout = {"tile": (size, size), "photometric": "rgb", "metadata": None, **options}
    tifffile.imwrite(path, iter([encoded]), shape=(size, size, 3), dtype=np.uint8, **layout)
    return path


def test_a_pipe_a_device_and_a_link_to_one_are_refused_and_not_read_for_ever(tmp_path):
    os.mkfifo(tmp_path / "pipe.svs")
    os.mkfifo(tmp_path / "pipe.dcm")
    (tmp_path / "link.tif").symlink_to("/dev/zero")
    for item in find_slides([tmp_path]):
        with pytest.raises(SlideError, match="a pipe, a socket or a device"):
            open_slide(item.path)
    assert len(find_slides([tmp_path])) == 3
    assert [item.path for item in find_slides([tmp_path / "pipe.svs"])] == [str(tmp_path / "pipe.svs")]


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "a.tif/b.tif"])
def test_a_name_that_no_file_can_have_is_a_slide_error(tmp_path, name):
    (tmp_path / "a.tif").touch()
    with pytest.raises(SlideError, match=r"does not exist|cannot be read"):
        open_slide(tmp_path / name)


@pytest.mark.parametrize("suffix", ["tif", "jpg", "png"])
def test_a_file_that_shrinks_after_it_was_opened_is_a_slide_error(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    cv2.imwrite(str(path), PIXELS)
    with open_slide(path) as slide:
        os.truncate(path, 300)
        with pytest.raises(SlideError, match=path.name):
            slide.read(Box(0, 0, *slide.info.size))


def jpeg_of(pixels):
    """Return a JPEG cut at two thirds and ended all the same."""
    whole = cv2.imencode(".jpg", pixels)[1].tobytes()
    return whole[: len(whole) * 2 // 3] + b"\xff\xd9"


def test_a_jpeg_that_was_cut_off_and_ended_is_no_picture_with_a_grey_rest(tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpeg_of(PIXELS))
    square = np.ascontiguousarray(PIXELS[:64, :64])
    paint(tmp_path / "tile.tif", jpeg_of(square), compression="jpeg")
    paint(tmp_path / "strip.tif", jpeg_of(square), compression="jpeg", tile=None, rowsperstrip=64)
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(SlideError, match="cut off"):
            read_all(path)


def test_a_picture_that_ends_in_grey_is_read(tmp_path):
    grey = np.full((64, 64, 3), 128, np.uint8)
    cv2.imwrite(str(tmp_path / "a.jpg"), grey)
    paint(tmp_path / "tile.tif", cv2.imencode(".jpg", grey)[1].tobytes(), compression="jpeg")
    for path in sorted(tmp_path.iterdir()):
        assert np.array_equal(read_all(path), grey)


@pytest.mark.parametrize("layout", [{}, {"tile": None, "rowsperstrip": 64}], ids=["tile", "strip"])
@pytest.mark.parametrize(
    ("compression", "encode"),
    [
        ("jpeg", imagecodecs.jpeg8_encode),
        ("jpeg2000", lambda pixels: imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="j2k")),
        ("webp", imagecodecs.webp_encode),
        ("png", imagecodecs.png_encode),
        ("jpegxl", imagecodecs.jpegxl_encode),
    ],
)
def test_a_segment_that_holds_a_picture_of_another_size_is_refused(tmp_path, layout, compression, encode):
    path = paint(tmp_path / "a.tif", encode(PIXELS[:128, :128].copy()), compression=compression, **layout)
    with pytest.raises(SlideError, match=r"a\.tif"):
        read_all(path)


def test_a_jpeg_2000_header_that_claims_billions_of_pixels_takes_no_memory(tmp_path):
    data = bytearray(imagecodecs.jpeg2k_encode(PIXELS[:64, :64].copy(), level=0, codecformat="j2k"))
    struct.pack_into(">II", data, 8, 2**31 - 1, 2**31 - 1)
    for compression in ("jpeg2000", 33003, 33005):
        path = paint(tmp_path / f"{compression}.tif", bytes(data), compression=compression)
        with pytest.raises(SlideError, match="2147483647"):
            read_all(path)


OME = '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">{}</OME>'
LAUGHS = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">{}]><OME>&a9;</OME>'.format(
    "".join(f'<!ENTITY a{i} "{f"&a{i - 1 or str()};" * 10}">' for i in range(1, 10))
)


@pytest.mark.parametrize(
    ("description", "message"),
    [
        (LAUGHS, "damaged"),
        (OME.format(f"<!--{'x' * (17 << 20)}-->"), "bytes of description"),
        (OME.format('<Image><Pixels SizeX="64" SizeY="64" SizeZ="1000000" SizeC="3" SizeT="9"/></Image>'), "planes"),
    ],
    ids=["a billion laughs", "long", "a million planes"],
)
def test_a_description_that_would_fill_the_memory_is_refused(tmp_path, description, message):
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, photometric="rgb", metadata=None, description=description.encode())
    with pytest.raises(SlideError, match=message):
        read_all(tmp_path / "a.tif")


def test_thousands_of_subifds_are_refused(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PIXELS, metadata=None, extratags=[(65000, 4, 5000, [8] * 5000, True)], photometric="rgb")
    content, entry = path.read_bytes(), "<HHI"  # tifffile writes no such tag, so that of another is changed
    path.write_bytes(content.replace(struct.pack(entry, 65000, 4, 5000), struct.pack(entry, 330, 4, 5000)))
    with pytest.raises(SlideError, match="5,000 SubIFDs"):
        read_all(path)


def test_a_size_that_makes_fewer_tiles_than_are_listed_is_refused(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PIXELS, tile=(64, 64), photometric="rgb", metadata=None)
    with tifffile.TiffFile(path, mode="r+b") as file:
        file.pages.first.tags["ImageWidth"].overwrite(200)
    with pytest.raises(SlideError, match="lists 35 tiles"):
        open_slide(path, reader="tifffile")


def test_a_jpeg_of_thousands_of_scans_is_not_decoded(tmp_path):
    progressive = cv2.imencode(".jpg", PIXELS, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    scan = progressive[progressive.rfind(b"\xff\xda") : -2]
    (tmp_path / "a.jpg").write_bytes(progressive[:-2] + scan[:14] * 600 + b"\xff\xd9")
    with pytest.raises(SlideError, match="scans"):
        read_all(tmp_path / "a.jpg")


def test_bilevel_fax_data_are_read(tmp_path):
    bits = PIXELS[..., 0] > 128
    Image.fromarray(bits).save(tmp_path / "a.tif", compression="group4")
    assert np.array_equal(read_all(tmp_path / "a.tif")[..., 0], np.where(bits, 255, 0))


@pytest.fixture
def ome_zarr(tmp_path):
    """An OME-Zarr of one level in chunks of 64 x 64, zstd."""
    folder = tmp_path / "a.ome.zarr"
    group = zarr.open_group(folder, mode="w", zarr_format=2)
    axes = [{"name": "y", "type": "space"}, {"name": "x", "type": "space"}]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": [{"path": "0"}]}]
    array = group.create_array("0", shape=PIXELS.shape[:2], chunks=(64, 64), dtype="u1", compressors=Zstd())
    array[:] = PIXELS[..., 0]
    return folder


def test_a_chunk_that_would_fill_the_memory_is_refused_alone(ome_zarr):
    (ome_zarr / "0" / "0.0").write_bytes(imagecodecs.zstd_encode(bytes(300 << 20)))
    with open_slide(ome_zarr) as slide:
        with pytest.raises(SlideError, match=r"0\.0"):
            slide.read(Box(0, 0, 10, 10))
        assert np.array_equal(slide.read(Box(70, 0, 50, 50))[..., 0], PIXELS[:50, 70:120, 0])


def test_a_folder_that_vanishes_is_no_empty_picture(ome_zarr):
    with open_slide(ome_zarr) as slide:
        shutil.rmtree(ome_zarr)
        with pytest.raises(SlideError, match="not there any more"):
            slide.read(Box(0, 0, 10, 10))


def test_chunks_under_names_that_the_array_does_not_have_are_none(ome_zarr):
    for chunk in list((ome_zarr / "0").glob("?.?")):
        chunk.rename(chunk.with_name(f"{chunk.name}.0"))
    with pytest.raises(SlideError, match="no chunk"):
        open_slide(ome_zarr)


def test_a_size_with_next_to_no_chunks_is_refused(ome_zarr):
    metadata = ome_zarr / "0" / ".zarray"
    metadata.write_text(json.dumps({**json.loads(metadata.read_text()), "shape": [100_000, 100_000]}))
    with pytest.raises(SlideError, match=r"35 of the 2,442,969 chunks"):
        open_slide(ome_zarr)


@pytest.mark.parametrize("name", [".zgroup", ".zattrs", "0/.zarray", "0/.zattrs"])
def test_metadata_that_is_a_pipe_is_not_read_for_ever(ome_zarr, name):
    (ome_zarr / name).unlink(missing_ok=True)
    os.mkfifo(ome_zarr / name)
    with contextlib.suppress(SlideError):  # a group's own is not needed to read it
        assert read_all(ome_zarr).shape == PIXELS.shape
