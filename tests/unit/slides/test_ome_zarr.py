"""OME-Zarr of both Zarr versions, written by the tests and real ones."""

import json
import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import openslide
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from tests.painted_ome_zarr import (
    DYES,
    HEIGHT,
    RGB_CHANNELS,
    WIDTH,
    bioformats2raw,
    read_all,
    truth,
    write,
    write_attributes,
)
from wsi_patches.datasets import find_slides
from wsi_patches.errors import SlideError, UsageError
from wsi_patches.geometry import Box
from wsi_patches.slides import open_slide


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
