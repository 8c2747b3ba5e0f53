"""Channels of TIFFs: kept as pages or as samples, named by OME-XML or by number, chosen by the user."""

import cv2
import numpy as np
import pytest
import tifffile

from wsi_patches.errors import SlideError, UsageError
from wsi_patches.geometry import Box
from wsi_patches.slides import open_slide
from wsi_patches.slides.channels import Channel, colour_order

HEIGHT, WIDTH = 70, 90
DYES = ("DAPI", "FITC", "Cy5")


@pytest.fixture
def planes(rng):
    return rng.integers(0, 256, (3, HEIGHT, WIDTH), np.uint8)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.ome.tif"


def read_all(path, level=0, **options):
    with open_slide(path, **options) as slide:
        return slide.read(Box(0, 0, *slide.info.size), level)


def dyes(names=DYES, axes="CYX", **more):
    return {"axes": axes, "Channel": {"Name": list(names)}, **more}


LAYOUTS = {
    "pages": {"metadata": dyes()},
    "tiled pages": {"metadata": dyes(), "tile": (32, 32), "compression": "zlib"},
    "planes": {"metadata": dyes(axes="SYX"), "planarconfig": "separate"},
    "tiled planes": {"metadata": dyes(axes="SYX"), "planarconfig": "separate", "tile": (32, 32)},
    "jpeg tiles": {"metadata": dyes(), "tile": (32, 32), "compression": "jpeg", "compressionargs": {"level": 100}},
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_chosen_channels_are_grey_or_red_green_and_blue(path, planes, name):
    if name == "jpeg tiles":
        planes = np.stack([cv2.GaussianBlur(plane, (0, 0), 5) for plane in planes])
    tifffile.imwrite(path, planes, photometric="minisblack", ome=True, **LAYOUTS[name])
    off = 2 if name == "jpeg tiles" else 0
    in_pages = "planes" not in name
    with pytest.raises(SlideError, match=r"DAPI.*--channels" if in_pages else "--channels"):
        open_slide(path)
    for asked in ("1", *(["FITC"] if in_pages else [])):
        found = read_all(path, channels=[asked]).astype(int)
        assert np.abs(found - planes[1][..., None]).max() <= off
    two = read_all(path, channels=["2", "0"]).astype(int)
    assert np.abs(two - np.dstack([planes[2], planes[0], np.zeros_like(planes[0])])).max() <= off
    with open_slide(path, channels=["0", "1", "2"]) as slide:
        assert slide.info.channels == (DYES if in_pages else ("0", "1", "2"))
        assert slide.background == (0, 0, 0)
        part = slide.read(Box(20, 10, 50, 40)).astype(int)
        assert np.abs(part - planes[:, 10:50, 20:70].transpose(1, 2, 0)).max() <= off


def test_each_level_holds_the_channels(path, planes):
    options = {"photometric": "minisblack", "tile": (32, 32)}
    with tifffile.TiffWriter(path, ome=True) as file:
        file.write(planes, subifds=1, metadata=dyes(), **options)
        file.write(planes[:, ::2, ::2], subfiletype=1, **options)
    with open_slide(path, channels=["Cy5", "FITC"]) as slide:
        assert [level.downsample for level in slide.info.levels] == [1.0, 2.0]
        half = slide.read(Box(0, 0, WIDTH, HEIGHT), 1)
    assert np.array_equal(half[..., :2], planes[[2, 1], ::2, ::2].transpose(1, 2, 0))


def test_channels_of_16_bits_are_scaled_by_the_significant_bits(path, planes):
    deep = planes.astype(np.uint16) * 16
    tifffile.imwrite(path, deep, photometric="minisblack", ome=True, metadata=dyes(SignificantBits=12))
    with open_slide(path, channels=["DAPI"]) as slide:
        assert "0 to 4095 became 0 to 255 (SignificantBits)" in slide.info.notes[0]
        assert np.array_equal(
            slide.read(Box(0, 0, WIDTH, HEIGHT))[..., 0], np.floor(deep[0].astype(float) * 255 / 4095 + 0.5)
        )


def test_imagej_stacks_of_channels_are_read_and_those_of_planes_refused(tmp_path, planes):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, planes, imagej=True, metadata={"axes": "CYX"})
    assert np.array_equal(read_all(path, channels=["2"])[..., 0], planes[2])
    for axes in ("ZYX", "TYX"):
        tifffile.imwrite(path, planes, imagej=True, metadata={"axes": axes})
        with pytest.raises(SlideError, match=axes):
            open_slide(path, channels=["2"])


def test_one_page_for_several_channels_is_refused_and_never_read_as_the_first(tmp_path, planes):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, planes, imagej=True, metadata={"axes": "CYX"}, truncate=True)
    with pytest.raises(SlideError, match="one page for 3 channels"):
        open_slide(path, channels=["0"])


def test_two_grey_samples_of_which_nothing_is_said_are_two_channels(tmp_path, planes):
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, planes[:2].transpose(1, 2, 0), photometric="minisblack", planarconfig="contig", metadata=None
    )
    with pytest.raises(SlideError, match="2 channels"):
        open_slide(path)
    assert np.array_equal(read_all(path, channels=["1"])[..., 0], planes[1])


@pytest.mark.parametrize("names", [("red", "green", "blue"), ("Blue", "Red", "Green")])
def test_channels_named_as_colours_are_colours(path, planes, names):
    tifffile.imwrite(path, planes, photometric="minisblack", ome=True, metadata=dyes(names))
    order = [[name.lower() for name in names].index(colour) for colour in ("red", "green", "blue")]
    assert np.array_equal(read_all(path), planes[order].transpose(1, 2, 0))
    with open_slide(path) as slide:
        assert (slide.info.channels, slide.background) == ((), (255, 255, 255))
    with pytest.raises(UsageError, match="in colours"):
        open_slide(path, channels=["0"])


def test_colours_by_their_codes_only_in_8_bits():
    channels = [Channel("a", "0000FF"), Channel("b", "FF0000"), Channel("c", "00FF00")]
    assert colour_order(channels, np.dtype(np.uint8)) == (1, 2, 0)
    assert colour_order(channels, np.dtype(np.uint16)) is None
    assert colour_order(channels[:2], np.dtype(np.uint8)) is None


@pytest.mark.parametrize("asked", [["GFP"], ["3"], ["DAPI", "-1"], [""]])
def test_an_unknown_channel_is_a_usage_error_that_lists_them(path, planes, asked):
    tifffile.imwrite(path, planes, photometric="minisblack", ome=True, metadata=dyes())
    with pytest.raises(UsageError, match=r"0: DAPI, 1: FITC, 2: Cy5"):
        open_slide(path, channels=asked)


@pytest.mark.parametrize("name", ["a.tif", "a.png"])
def test_channels_of_colours_are_a_usage_error(tmp_path, planes, name):
    pixels = planes.transpose(1, 2, 0)
    if name.endswith("png"):
        cv2.imwrite(str(tmp_path / name), pixels)
    else:
        tifffile.imwrite(tmp_path / name, pixels, photometric="rgb")
    with pytest.raises(UsageError, match="in colours"):
        open_slide(tmp_path / name, channels=["0"])


@pytest.mark.parametrize("name", ["a.tif", "a.png"])
def test_grey_has_the_channel_0(tmp_path, planes, name):
    cv2.imwrite(str(tmp_path / name), planes[0])
    assert np.array_equal(read_all(tmp_path / name, channels=["0"])[..., 2], planes[0])


def test_perkin_elmer_names_the_channels_in_each_page(tmp_path, planes):
    path = tmp_path / "a.qptiff"
    with tifffile.TiffWriter(path) as file:
        for name, plane in zip(DYES, planes, strict=True):
            facts = f"<ImageType>FullResolution</ImageType><Name>{name}</Name>"
            words = f"<PerkinElmer-QPI-ImageDescription>{facts}</PerkinElmer-QPI-ImageDescription>"
            file.write(plane, tile=(32, 32), description=words, software="PerkinElmer-QPI", metadata=None)
    with open_slide(path, channels=["FITC"]) as slide:
        assert slide.info.channels == DYES
        assert np.array_equal(slide.read(Box(0, 0, WIDTH, HEIGHT))[..., 0], planes[1])


def test_the_real_one_is_of_signed_samples_and_refused_with_a_reason(shared_data):
    with pytest.raises(SlideError, match="signed 8-bit samples"):
        open_slide(shared_data / "slides" / "ome_multi-channel.ome.tif", channels=["0"])


def test_channels_in_other_files_are_refused_and_never_read_from_this_one(tmp_path, planes):
    names, uuids = ("a.ome.tif", "b.ome.tif"), ("urn:uuid:" + "1" * 8, "urn:uuid:" + "2" * 8)
    parts = "".join(
        f'<TiffData FirstC="{i}" IFD="0" PlaneCount="1"><UUID FileName="{name}">{uuid}</UUID></TiffData>'
        for i, (name, uuid) in enumerate(zip(names, uuids, strict=True))
    )
    pixels = (
        f'ID="P:0" DimensionOrder="XYCZT" Type="uint8" SizeX="{WIDTH}" SizeY="{HEIGHT}" SizeC="2" SizeZ="1" SizeT="1"'
    )
    for i, (name, uuid) in enumerate(zip(names, uuids, strict=True)):
        xml = (
            f'<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="{uuid}">'
            f'<Image ID="Image:0"><Pixels {pixels}>{parts}</Pixels></Image></OME>'
        )
        tifffile.imwrite(tmp_path / name, planes[i], photometric="minisblack", description=xml.encode(), metadata=None)
    for channels in ([], ["0"], ["1"]):
        with pytest.raises(SlideError, match="other files"):
            open_slide(tmp_path / names[0], channels=channels)
    (tmp_path / names[1]).unlink()
    with pytest.raises(SlideError, match="other files"):
        open_slide(tmp_path / names[0], channels=["1"])
