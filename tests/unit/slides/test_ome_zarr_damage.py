"""OME-Zarrs that are damaged, lie, or lead out of their folder."""

import json
import os
import shutil
import zlib

import numpy as np
import pytest
import zarr
from numcodecs import Blosc, Zlib

from tests.painted_ome_zarr import RGB_CHANNELS, bioformats2raw, read_all, truth, write, write_attributes
from wsi_patches.errors import SlideError
from wsi_patches.geometry import Box
from wsi_patches.slides import open_slide


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.ome.zarr"


@pytest.mark.parametrize("named", ["../outside", "/etc", "..", "", 7, "nowhere", "a\0b", None])
def test_no_path_leads_out_of_the_folder(path, named):
    write(path.parent / "outside", truth())
    bioformats2raw(path, series=[named])
    with pytest.raises(SlideError, match="cannot be read as an OME-Zarr"):
        open_slide(path)
    write(path / "1", truth(), overwrite=True)
    attributes = json.loads((path / "1" / ".zattrs").read_text())
    attributes["multiscales"][0]["datasets"][0]["path"] = named
    write_attributes(path / "1", attributes)
    with pytest.raises(SlideError):
        open_slide(path / "1")


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="needs links")
def test_a_link_out_of_the_folder_is_not_followed(path):
    write(path.parent / "outside", truth())
    write(path, truth())
    shutil.rmtree(path / "0")
    (path / "0").symlink_to(path.parent / "outside" / "0")
    with pytest.raises(SlideError, match="leads out"):
        open_slide(path)


def compressors(name, version):
    if name == "none":
        return {"compressors": None}
    if name == "blosc":
        return {"compressors": Blosc("lz4") if version == 2 else zarr.codecs.BloscCodec(cname="lz4")}
    return {}


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("compressor", ["default", "blosc", "none"])
def test_a_chunk_cut_short_costs_its_own_place_only(path, version, compressor):
    write(path, truth(), version=version, **compressors(compressor, version))
    chunk = path / ("0/0.0.0" if version == 2 else "0/c/0/0/0")
    chunk.write_bytes(chunk.read_bytes()[: chunk.stat().st_size // 2])
    with open_slide(path) as slide:
        for _ in range(2):
            with pytest.raises(SlideError):
                slide.read(Box(0, 0, 32, 32))
            assert np.array_equal(slide.read(Box(32, 32, 64, 40)), truth()[:, 32:72, 32:96].transpose(1, 2, 0))


@pytest.mark.parametrize("content", ["bomb", "blosc"])
def test_a_chunk_that_unpacks_to_far_more_is_not_unpacked(path, content):
    write(path, truth(), compressors=Zlib() if content == "bomb" else Blosc("lz4"))
    chunk = path / "0" / "0.0.0"
    if content == "bomb":
        chunk.write_bytes(zlib.compress(bytes(100 << 20)))
    else:
        frame = bytearray(chunk.read_bytes())
        frame[4:8] = (1 << 30).to_bytes(4, "little")
        chunk.write_bytes(frame)
    with open_slide(path) as slide, pytest.raises(SlideError, match=r"longer than its pixels|as long as it says"):
        slide.read(Box(0, 0, 8, 8))


def test_absent_chunks_are_the_fill_value_and_counted(path):
    write(path, truth(), fill_value=7)
    (path / "0" / "1.2.3").unlink()
    with open_slide(path) as slide:
        assert slide.info.notes == ("1 of 45 chunks were left out and are shown as the fill value",)
        assert (slide.read(Box(96, 64, 32, 26))[..., 1] == 7).all()
    for file in (path / "0").glob("[0-9]*"):
        file.unlink()
    with pytest.raises(SlideError, match="no chunk"):
        open_slide(path)


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="needs links")
def test_a_chunk_that_is_a_link_to_nothing_is_not_taken_for_empty(path):
    write(path, truth())
    (path / "0" / "0.0.0").unlink()
    (path / "0" / "0.0.0").symlink_to("gone")
    with open_slide(path) as slide, pytest.raises(SlideError, match="link"):
        slide.read(Box(0, 0, 8, 8))


SECRET = "Jane Q Patient"


def breakages():
    """Ways to break the metadata of an OME-Zarr whose every text is a secret."""

    def at_root(change):
        def apply(path):
            attributes = json.loads((path / ".zattrs").read_text())
            change(attributes)
            write_attributes(path, attributes)

        return apply

    def of_array(key, value):
        def apply(path):
            node = json.loads((path / "0" / ".zarray").read_text())
            node[key] = value
            (path / "0" / ".zarray").write_text(json.dumps(node))

        return apply

    scale = "multiscales"
    return {
        "no json": lambda path: (path / ".zattrs").write_text(f'{{"name": "{SECRET}'),
        "no text": lambda path: (path / ".zattrs").write_bytes(b"\xff" + SECRET.encode()),
        "a list": lambda path: (path / ".zattrs").write_text(f'["{SECRET}"]'),
        "deep": lambda path: (path / ".zattrs").write_text("[" * 100_000),
        "multiscales is text": at_root(lambda a: a.update({scale: SECRET})),
        "multiscales is empty": at_root(lambda a: a.update({scale: []})),
        "datasets is text": at_root(lambda a: a[scale][0].update(datasets=SECRET)),
        "datasets is empty": at_root(lambda a: a[scale][0].update(datasets=[])),
        "axes are text": at_root(lambda a: a[scale][0].update(axes=SECRET)),
        "axes too many": at_root(lambda a: a[scale][0].update(axes=["t", "c", "z", "y", "x"])),
        "unit is a list": at_root(lambda a: a[scale][0]["axes"][1].update(unit=[SECRET])),
        "omero is text": at_root(lambda a: a.update(omero=SECRET)),
        "window is text": at_root(lambda a: a["omero"]["channels"][0].update(window={"start": SECRET, "end": 3})),
        "shape is text": of_array("shape", SECRET),
        "shape is negative": of_array("shape", [3, -90, 130]),
        "shape is empty": of_array("shape", [3, 0, 130]),
        "shape is less": of_array("shape", [90, 130]),
        "channels are vast": of_array("shape", [1 << 40, 90, 130]),
        "chunks are 0": of_array("chunks", [1, 0, 32]),
        "chunks are vast": of_array("chunks", [1, 1 << 20, 1 << 20]),
        "dtype is text": of_array("dtype", SECRET),
        "dtype is an object": of_array("dtype", "|O"),
        "compressor is unknown": of_array("compressor", {"id": SECRET}),
        "filter is unknown": of_array("filters", [{"id": SECRET}]),
        "format is unknown": of_array("zarr_format", SECRET),
        "array is gone": lambda path: shutil.rmtree(path / "0"),
        "array is a file": lambda path: (shutil.rmtree(path / "0"), (path / "0").write_text(SECRET)),
        "array is no json": lambda path: (path / "0" / ".zarray").write_text(SECRET),
        "array has no metadata": lambda path: (path / "0" / ".zarray").unlink(),
        "no metadata at all": lambda path: [(path / name).unlink() for name in (".zattrs", ".zgroup")],
    }


@pytest.mark.parametrize("name", breakages())
def test_nonsense_is_refused_and_never_quoted(path, name):
    write(path, truth(), channels=[{"label": SECRET, **one} for one in RGB_CHANNELS])
    breakages()[name](path)
    with pytest.raises(SlideError) as caught:
        read_all(path)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("key", ["plate", "well", "image-label"])
def test_what_is_no_picture_is_refused(path, key):
    path.mkdir()
    write_attributes(path, {key: {}})
    with pytest.raises(SlideError, match=r"plate|label"):
        open_slide(path)
