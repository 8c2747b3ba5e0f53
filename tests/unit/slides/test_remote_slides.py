"""Slides in an object store have the pixels, the fingerprint and the errors of the same files on this machine."""

import pickle

import numpy as np
import pytest
import tifffile
from PIL import Image

from tests import painted_ome_zarr
from tests.painted_tiffs import smooth_noise, write_aperio_jpeg2000, write_jpeg_tiff
from wsi_patches.errors import SlideError, UsageError
from wsi_patches.geometry import Box
from wsi_patches.locations import copy_tree
from wsi_patches.locations.object_store import ask
from wsi_patches.slide import ReadOptions
from wsi_patches.slides import associated_names, open_slide, opening, read_associated
from wsi_patches.slides.pool import borrow_slide, close_idle_slides


def assert_same_slide(local, remote):
    with open_slide(local) as here, open_slide(remote) as there:
        assert there.info.path == str(remote)
        assert (there.info.fingerprint, there.info.size, there.info.levels) == (
            here.info.fingerprint,
            here.info.size,
            here.info.levels,
        )
        assert (there.info.mpp, there.info.reader, there.background) == (
            here.info.mpp,
            here.info.reader,
            here.background,
        )
        box = Box(-10, 30, here.info.size.width // 2 + 10, here.info.size.height // 2)
        for level in range(len(here.info.levels)):
            assert np.array_equal(there.read(box, level), here.read(box, level))
        again = pickle.loads(pickle.dumps(there))
        assert np.array_equal(again.read(box), here.read(box))
        again.close()


@pytest.fixture(params=["held", "in pieces"])
def in_pieces(request, monkeypatch):
    """Small objects are fetched whole; painted slides are small, so that is left out for half of the tests."""
    if request.param == "in pieces":
        monkeypatch.setattr(opening, "HELD_BYTES", 0)


def write_pyramid(path):
    pixels = smooth_noise(700, 900)
    with tifffile.TiffWriter(path, bigtiff=True) as tiff:
        for level, step in enumerate((1, 2, 4)):
            tiff.write(
                pixels[::step, ::step],
                photometric="rgb",
                tile=(128, 128),
                compression="zstd",
                subfiletype=int(level > 0),
                resolution=(40000 / step, 40000 / step),
                resolutionunit="CENTIMETER",
            )


WRITERS = {
    "pyramid.tif": write_pyramid,
    "strips.tif": lambda path: tifffile.imwrite(path, smooth_noise(200, 300), photometric="rgb", rowsperstrip=16),
    "jpeg.tif": lambda path: write_jpeg_tiff(path, smooth_noise(256, 320)),
    "jp2k.svs": lambda path: write_aperio_jpeg2000(path, smooth_noise(192, 256), ycbcr=False),
    "photo.jpg": lambda path: Image.fromarray(smooth_noise(300, 400)).save(path, quality=90),
    "photo.png": lambda path: Image.fromarray(smooth_noise(300, 400)).save(path),
}


@pytest.mark.usefixtures("in_pieces")
@pytest.mark.parametrize("name", WRITERS)
def test_a_file_is_read_as_on_this_machine(s3_bucket, tmp_path, name):
    WRITERS[name](tmp_path / name)
    (s3_bucket / "slides" / name).write_bytes((tmp_path / name).read_bytes())
    assert_same_slide(tmp_path / name, s3_bucket / "slides" / name)


@pytest.mark.parametrize("version", [2, 3])
def test_an_ome_zarr_is_read_chunk_by_chunk(s3_bucket, tmp_path, version):
    local = painted_ome_zarr.write(tmp_path / "a.ome.zarr", painted_ome_zarr.truth(), version=version)
    (local / "0" / ("0.0.0" if version == 2 else "c/0/0/0")).unlink()  # left out, and so reads as 0
    copy_tree(local, s3_bucket / "a.ome.zarr")
    assert_same_slide(local, s3_bucket / "a.ome.zarr")


@pytest.mark.parametrize("name", ["aperio_cmu-1-small-region.svs", "generic_bigtiff_zstd_10kx5k_5level.tiff"])
@pytest.mark.usefixtures("in_pieces")
def test_real_slides_are_read_in_pieces(shared_data, s3_bucket, name):
    local = shared_data / "slides" / name
    remote = s3_bucket / name
    remote.write_bytes(local.read_bytes())
    assert_same_slide(local, remote)


@pytest.mark.parametrize("name", ["hamamatsu_dapi_7level.ndpi", "dicom_wsi_leica_boxes"])
def test_other_formats_are_read_from_a_copy_that_is_removed(shared_data, s3_bucket, tmp_path, monkeypatch, name):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    local, remote = shared_data / "slides" / name, s3_bucket / name
    if local.is_dir():
        copy_tree(local, remote)
    else:
        remote.write_bytes(local.read_bytes())
    with open_slide(local) as here, open_slide(remote) as there:
        assert (there.info.fingerprint, there.info.levels) == (here.info.fingerprint, here.info.levels)
        assert there.info.path.startswith(str(remote))
        assert any("copy in local scratch" in note for note in there.info.notes)
        assert np.array_equal(there.read(Box(0, 0, 300, 300)), here.read(Box(0, 0, 300, 300)))
        assert len(list(tmp_path.iterdir())) == 1
    assert list(tmp_path.iterdir()) == []


def test_what_is_wrong_is_said_of_the_object(s3_bucket):
    (s3_bucket / "text.tif").write_bytes(b"hello")
    (s3_bucket / "empty.tif").write_bytes(b"")
    for name, found in (("none.tif", "does not exist"), ("text.tif", "looks like text"), ("empty.tif", "is empty")):
        with pytest.raises(SlideError, match=f"{s3_bucket / name}.*{found}"):
            open_slide(s3_bucket / name)


def test_a_slide_that_loses_its_end_is_damaged_and_one_that_is_gone_says_so(s3_bucket, tmp_path, monkeypatch):
    monkeypatch.setattr(opening, "HELD_BYTES", 0)
    write_pyramid(tmp_path / "a.tif")
    content = (tmp_path / "a.tif").read_bytes()
    (s3_bucket / "a.tif").write_bytes(content)
    with open_slide(s3_bucket / "a.tif") as slide:
        (s3_bucket / "a.tif").unlink()
        with pytest.raises(SlideError, match="does not exist"):
            slide.read(Box(0, 0, 100, 100))
    (s3_bucket / "a.tif").write_bytes(content[: len(content) // 2])
    with pytest.raises(SlideError, match=r"a\.tif"):
        open_slide(s3_bucket / "a.tif")


def test_a_borrowed_slide_is_opened_anew_when_its_object_was_replaced(s3_bucket, tmp_path):
    for shade in (10, 200):
        tifffile.imwrite(tmp_path / "a.tif", np.full((64, 64 + shade, 3), shade, np.uint8), photometric="rgb")
        (s3_bucket / "a.tif").write_bytes((tmp_path / "a.tif").read_bytes())
        with borrow_slide(s3_bucket / "a.tif", ReadOptions()) as slide:
            assert slide.read(Box(0, 0, 8, 8)).mean() == shade
    close_idle_slides()


def test_tiles_come_in_few_requests(s3_bucket, tmp_path, monkeypatch):
    monkeypatch.setattr(opening, "HELD_BYTES", 0)
    write_pyramid(tmp_path / "a.tif")
    (s3_bucket / "a.tif").write_bytes((tmp_path / "a.tif").read_bytes())
    asked = []
    monkeypatch.setattr("wsi_patches.locations.remote.ask", lambda where, act: asked.append(where) or ask(where, act))
    with open_slide(s3_bucket / "a.tif") as slide:
        opened = len(asked)
        for row in range(5):
            for column in range(7):
                slide.read(Box(column * 100, row * 100, 110, 110))
        blocks = -(-(tmp_path / "a.tif").stat().st_size // (1 << 20))
        assert len(asked) - opened <= blocks


def test_pictures_beside_a_slide_are_read_from_this_machine_alone(s3_bucket, tmp_path):
    write_pyramid(tmp_path / "a.tif")
    (s3_bucket / "a.tif").write_bytes((tmp_path / "a.tif").read_bytes())
    assert associated_names(s3_bucket / "a.tif") == ()
    with pytest.raises(UsageError, match="copy the slide here"):
        read_associated(s3_bucket / "a.tif", "label")
