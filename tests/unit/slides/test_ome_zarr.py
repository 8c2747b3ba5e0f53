"""OME-Zarr of both Zarr versions, written by the tests and real ones; and damaged ones."""

import json
import os
import pickle
import shutil
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import openslide
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from numcodecs import Blosc, Zlib

from wsi_patches.datasets import find_slides
from wsi_patches.errors import SlideError, UsageError
from wsi_patches.geometry import Box
from wsi_patches.slides import open_slide

HEIGHT, WIDTH = 90, 130
RGB_CHANNELS = [{"label": f"Channel {i}", "color": code} for i, code in enumerate(("FF0000", "00FF00", "0000FF"))]
DYES = [{"label": name, "color": "FFFFFF"} for name in ("DAPI", "FITC", "Cy5", "TRITC")]


def truth(channels=3, dtype=np.uint8):
    highest = np.iinfo(dtype).max
    return np.random.default_rng(3).integers(0, highest, (channels, HEIGHT, WIDTH), dtype, endpoint=True)


def write(path, planes, axes="cyx", version=2, channels=RGB_CHANNELS, unit="micrometer", scale=0.25, **options):
    """Write planes ``(c, y, x)`` and the same at half the size as an OME-Zarr of given axes."""
    path.mkdir(parents=True, exist_ok=True)
    datasets = []
    for level, step in enumerate((1, 2)):
        shrunk = planes[:, ::step, ::step]
        full = {"c": shrunk.shape[0], "y": shrunk.shape[1], "x": shrunk.shape[2], "t": 1, "z": 1}
        moved = shrunk.transpose([*([] if "c" in axes else [0]), *map("cyx".index, kept(axes))])
        pixels = moved.reshape([full[axis] for axis in axes])
        settings = {"chunks": [1 if axis in "tcz" else 32 for axis in axes], "zarr_format": version, **options}
        array = zarr.create_array(path / str(level), shape=pixels.shape, dtype=pixels.dtype, **settings)
        array[...] = pixels
        factors = [scale * step if axis in "yx" else 1.0 for axis in axes]
        datasets.append({"path": str(level), "coordinateTransformations": [{"type": "scale", "scale": factors}]})
    listed = [{"name": axis, **({"unit": unit} if unit and axis in "yx" else {})} for axis in axes]
    attributes = {"multiscales": [{"axes": listed, "datasets": datasets}], "omero": {"channels": channels}}
    write_attributes(path, attributes, version)
    return path


def kept(axes):
    return [axis for axis in axes if axis in "cyx"]


def write_attributes(path, attributes, version=2):
    if version == 3:
        node = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": {"version": "0.5", **attributes}}}
        (path / "zarr.json").write_text(json.dumps(node))
        return
    (path / ".zgroup").write_text('{"zarr_format": 2}')
    (path / ".zattrs").write_text(json.dumps(attributes))


def read_all(path, level=0, **options):
    with open_slide(path, **options) as slide:
        return slide.read(Box(0, 0, *slide.info.size), level)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.ome.zarr"


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("axes", ["cyx", "tczyx", "zyxc", "yxc", "czyx"])
def test_colours_levels_and_resolution_in_any_order_of_axes(path, version, axes):
    write(path, truth(), axes, version)
    with open_slide(path) as slide:
        info = slide.info
        assert (info.size, len(info.levels), info.mpp) == ((WIDTH, HEIGHT), 2, 0.25)
        assert (info.reader, info.channels, info.notes) == ("ome-zarr", (), ())
        assert (info.levels[0].tile, info.levels[1].downsample) == ((32, 32), 2.0)
        assert np.array_equal(slide.read(Box(0, 0, WIDTH, HEIGHT)), truth().transpose(1, 2, 0))
        assert np.array_equal(slide.read(Box(0, 0, WIDTH, HEIGHT), 1), truth()[:, ::2, ::2].transpose(1, 2, 0))


def test_a_plane_without_channels_is_grey(path):
    write(path, truth(1), "yx", channels=[])
    assert np.array_equal(read_all(path), np.repeat(truth(1)[0][..., None], 3, axis=2))
    assert np.array_equal(read_all(path, channels=["0"]), read_all(path))


@pytest.mark.parametrize("options", [{"shards": (1, 64, 64)}, {"compressors": None}, {"dtype_order": ">"}])
def test_shards_plain_chunks_and_big_endian_samples(path, options):
    planes = truth(3, np.uint16)
    if options.pop("dtype_order", None):
        planes = planes.astype(">u2")
    write(path, planes, version=3 if "shards" in options else 2, **options, channels=list(DYES[:3]))
    expected = np.floor(planes.astype(float) * 255 / 65535 + 0.5).transpose(1, 2, 0)
    assert np.array_equal(read_all(path, channels=["0", "1", "2"]), expected)


@given(x=st.integers(-40, 150), y=st.integers(-40, 110), width=st.integers(1, 100), height=st.integers(1, 100))
def test_any_box_is_the_slice_with_background_around_it(tmp_path_factory, x, y, width, height):
    path = tmp_path_factory.getbasetemp() / "boxes.ome.zarr"
    if not path.exists():
        write(path, truth())
    with open_slide(path) as slide:
        found = slide.read(Box(x, y, width, height))
    canvas = np.full((HEIGHT + 300, WIDTH + 300, 3), 255, np.uint8)
    canvas[100 : 100 + HEIGHT, 100 : 100 + WIDTH] = truth().transpose(1, 2, 0)
    assert np.array_equal(found, canvas[100 + y : 100 + y + height, 100 + x : 100 + x + width])


def test_threads_pickles_and_closing(path):
    write(path, truth())
    with open_slide(path) as slide:
        boxes = [Box(x, y, 60, 50) for x in range(0, 70, 11) for y in range(0, 40, 7)]
        alone = [slide.read(box) for box in boxes]
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(slide.read, boxes))
        assert all(np.array_equal(one, other) for one, other in zip(alone, together, strict=True))
        with pickle.loads(pickle.dumps(slide)) as copy:
            assert copy.info == slide.info
    with pytest.raises(SlideError, match="closed"):
        slide.read(Box(0, 0, 8, 8))


@pytest.mark.parametrize(
    ("unit", "scale", "mpp"),
    [
        ("nanometer", 250, 0.25),
        ("millimeter", 0.00025, 0.25),
        ("", 0.25, None),
        ("pixel", 0.25, None),
        ("micrometer", 0, None),
        ("micrometer", float("inf"), None),
    ],
)
def test_units_of_the_axes(path, unit, scale, mpp):
    write(path, truth(), unit=unit, scale=scale)
    with open_slide(path) as slide:
        assert slide.info.mpp == (None if mpp is None else pytest.approx(mpp))


def test_scales_of_the_level_and_of_the_picture_are_multiplied(path):
    write(path, truth(), scale=5)
    attributes = json.loads((path / ".zattrs").read_text())
    whole = [{"type": "scale", "scale": [1, 0.05, 0.05]}, {"type": "translation", "translation": [0, 3, 4]}]
    attributes["multiscales"][0]["coordinateTransformations"] = whole
    write_attributes(path, attributes)
    with open_slide(path) as slide:
        assert slide.info.mpp == pytest.approx(0.25)


@pytest.mark.parametrize("axes", [list("tczyx"), None])
def test_axes_by_name_alone_and_the_five_of_old(path, axes):
    write(path, truth(), "tczyx")
    attributes = json.loads((path / ".zattrs").read_text())
    del attributes["multiscales"][0]["axes"]
    if axes is not None:
        attributes["multiscales"][0]["axes"] = axes
    write_attributes(path, attributes)
    assert np.array_equal(read_all(path), truth().transpose(1, 2, 0))


def test_pixels_that_are_not_square_have_no_resolution_and_a_note(path):
    write(path, truth())
    attributes = json.loads((path / ".zattrs").read_text())
    transformation = attributes["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]
    transformation["scale"] = [1, 0.5, 0.25]
    write_attributes(path, attributes)
    with open_slide(path) as slide:
        assert slide.info.mpp is None
        assert "not square" in slide.info.notes[0]
    with open_slide(path, mpp=0.3) as slide:
        assert (slide.info.mpp, slide.info.notes) == (0.3, ())


def test_channels_are_chosen_by_name_or_number_and_refused_without(path):
    planes = truth(4)
    write(path, planes, channels=DYES)
    with pytest.raises(SlideError, match=r"0: DAPI, 1: FITC, 2: Cy5, 3: TRITC.*--channels"):
        open_slide(path)
    assert np.array_equal(read_all(path, channels=["Cy5"]), np.repeat(planes[2][..., None], 3, axis=2))
    two = read_all(path, channels=["trItC", "0"])
    assert np.array_equal(two, np.dstack([planes[3], planes[0], np.zeros_like(planes[0])]))
    assert np.array_equal(read_all(path, channels=["3", "DAPI", "FITC"]), planes[[3, 0, 1]].transpose(1, 2, 0))
    with open_slide(path, channels=["DAPI"]) as slide:
        assert slide.info.channels == ("DAPI", "FITC", "Cy5", "TRITC")
    for unknown in ("GFP", "4", "-1"):
        with pytest.raises(UsageError, match="DAPI"):
            open_slide(path, channels=[unknown])


def test_channels_of_a_picture_in_colours_are_a_usage_error(path):
    write(path, truth())
    with pytest.raises(UsageError, match="in colours"):
        open_slide(path, channels=["0"])


def test_colours_in_another_order_are_put_in_order(path):
    write(path, truth(), channels=RGB_CHANNELS[::-1])
    assert np.array_equal(read_all(path), truth()[::-1].transpose(1, 2, 0))


def test_three_channels_of_16_bits_are_not_taken_for_colours(path):
    write(path, truth(3, np.uint16))
    with pytest.raises(SlideError, match="--channels"):
        open_slide(path)


def test_samples_are_scaled_by_the_window_and_this_is_noted(path):
    planes = np.minimum(truth(1, np.uint16), 5000)
    write(path, planes, channels=[{"label": "DAPI", "window": {"min": 0, "max": 65535, "start": 0, "end": 4095}}])
    with open_slide(path) as slide:
        assert slide.info.notes == (
            "16-bit samples are shown as 8-bit: 0 to 4095 became 0 to 255 (the window in omero)",
        )
    expected = np.minimum(np.floor(planes[0].astype(float) * 255 / 4095 + 0.5), 255)
    assert np.array_equal(read_all(path)[..., 0], expected)
    write_attributes(path, {**json.loads((path / ".zattrs").read_text()), "omero": {}})
    with open_slide(path) as slide:
        assert "0 to 65535 became 0 to 255" in slide.info.notes[0]


@pytest.mark.parametrize(
    ("dtype", "word"), [(np.int16, "signed"), (np.float32, "floating point"), (np.uint32, "32-bit")]
)
def test_samples_without_a_stated_way_to_8_bits_are_refused(path, dtype, word):
    write(path, np.ones((3, HEIGHT, WIDTH), dtype))
    with pytest.raises(SlideError, match=word):
        open_slide(path)


@pytest.mark.parametrize(("axis", "word"), [("t", "times"), ("z", "planes")])
def test_several_times_or_planes_are_refused(path, axis, word):
    write(path, truth(3), axes="cyx")
    attributes = json.loads((path / ".zattrs").read_text())
    for one in attributes["multiscales"][0]["axes"]:
        one["name"] = axis if one["name"] == "c" else one["name"]
    write_attributes(path, attributes)
    with pytest.raises(SlideError, match=word):
        open_slide(path)


def bioformats2raw(path, series=("0", "1"), xml=None, **options):
    write(path / "0", truth()[:, :40, :50])
    write(path / "1", truth(), **options)
    write_attributes(path, {"bioformats2raw.layout": 3})
    (path / "OME").mkdir()
    write_attributes(path / "OME", {"series": list(series)})
    if xml is not None:
        (path / "OME" / "METADATA.ome.xml").write_text(xml)
    return path


def test_the_largest_series_is_the_slide_and_the_others_are_named_without_their_names(path):
    bioformats2raw(path)
    with open_slide(path) as slide:
        assert slide.info.size == (WIDTH, HEIGHT)
        assert slide.info.notes == ("the slide is picture 1, the largest; not read: 0 (50 x 40 px)",)
    assert np.array_equal(read_all(path / "0"), truth()[:, :40, :50].transpose(1, 2, 0))


def test_series_are_found_where_they_are_not_listed(path):
    bioformats2raw(path)
    shutil.rmtree(path / "OME")
    with open_slide(path) as slide:
        assert slide.info.size == (WIDTH, HEIGHT)


def test_the_original_metadata_says_bits_colours_and_power(path):
    pixels = '<Pixels SizeX="9" SizeY="9" SignificantBits="12"><Channel SamplesPerPixel="3"/></Pixels>'
    xml = (
        '<OME xmlns="http://x"><Instrument><Objective ID="O:1" NominalMagnification="40"/></Instrument>'
        f'<Image><Pixels/></Image><Image><ObjectiveSettings ID="O:1"/>{pixels}</Image></OME>'
    )
    bioformats2raw(path, xml=xml, channels=[])
    shutil.rmtree(path / "1")
    write(path / "1", truth(3, np.uint16) // 16, channels=[])
    with open_slide(path) as slide:
        assert (slide.info.objective_power, slide.info.channels) == (40.0, ())
        assert "0 to 4095 became 0 to 255 (SignificantBits)" in slide.info.notes[0]


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


def test_one_ome_zarr_in_a_folder_is_one_slide_and_a_store_is_none(tmp_path):
    write(tmp_path / "slides" / "a.ome.zarr", truth())
    bioformats2raw(tmp_path / "slides" / "b.zarr")
    write(tmp_path / "slides" / "no_suffix", truth(), version=3)
    zarr.create_group(tmp_path / "slides" / "store.zarr", attributes={"format": "wsi-patches"})
    (tmp_path / "slides" / "store.zarr" / "a.png").touch()
    found = [item.path for item in find_slides([tmp_path / "slides"])]
    assert found == [str(tmp_path / "slides" / name) for name in ("a.ome.zarr", "b.zarr", "no_suffix")]
    assert [item.path for item in find_slides([tmp_path / "slides" / "a.ome.zarr"])] == found[:1]


def test_a_zarr_that_cannot_be_read_is_an_item_so_that_its_error_is_told(tmp_path):
    write(tmp_path / "a.zarr", truth())
    (tmp_path / "a.zarr" / ".zattrs").write_text("{")
    (tmp_path / "b.ome.zarr").mkdir()
    assert [item.path for item in find_slides([tmp_path])] == [
        str(tmp_path / name) for name in ("a.zarr", "b.ome.zarr")
    ]
    for name in ("a.zarr", "b.ome.zarr"):
        with pytest.raises(SlideError):
            open_slide(tmp_path / name)


def test_the_fingerprint_follows_the_content_and_not_the_place(path):
    write(path, truth())
    with open_slide(path) as slide:
        own = slide.info.fingerprint
    moved = shutil.move(path, path.parent / "moved.ome.zarr")
    with open_slide(moved) as slide:
        assert slide.info.fingerprint == own
    write(path, 255 - truth(), compressors=None)
    write(path.parent / "other.ome.zarr", truth(), compressors=None)
    with open_slide(path) as one, open_slide(path.parent / "other.ome.zarr") as other:
        assert one.info.fingerprint != other.info.fingerprint


def test_a_real_one_has_the_pixels_of_the_slide_that_it_was_made_from(shared_data):
    slides = shared_data / "slides"
    with openslide.OpenSlide(str(slides / "aperio_cmu-1-small-region.svs")) as original:
        expected = np.asarray(original.read_region((0, 0), 0, original.dimensions).convert("RGB"))
    with open_slide(slides / "ome_zarr_cmu-1-small-region.ome.zarr") as slide:
        assert (slide.info.mpp, slide.info.objective_power, len(slide.info.levels)) == (0.499, 20.0, 2)
        assert np.array_equal(slide.read(Box(0, 0, *slide.info.size)), expected)
    with pytest.raises(SlideError, match="floating point"):
        open_slide(slides / "ome_zarr_blobs_v04.ome.zarr")
