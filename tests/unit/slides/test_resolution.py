"""Pixel sizes and objective powers from every place of a file that holds one."""

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.painted_tiffs import write_philips
from wsi_patches.slides import open_slide
from wsi_patches.slides.resolution import UNSTATED, PixelSize, number, um_per_unit

GREY = np.full((40, 50), 120, np.uint8)
RGB = np.repeat(GREY[..., None], 3, axis=2)


def info_of(path, **options):
    with open_slide(path, **options) as slide:
        return slide.info


def mpp_of(path):
    return info_of(path).mpp


@pytest.mark.parametrize(
    ("unit", "um"),
    [
        *[("µm", 1), ("μm", 1), ("um", 1), ("micron", 1), ("micrometer", 1), ("Micrometre", 1), ("\\u00B5m", 1)],
        *[("nm", 1e-3), ("nanometer", 1e-3), ("mm", 1e3), ("millimeter", 1e3), ("cm", 1e4), ("m", 1e6), ("km", 1e9)],
        *[("pm", 1e-6), ("Å", 1e-4), ("angstrom", 1e-4), ("in", 25_400), ("inch", 25_400), ("thou", 25.4)],
        *[("pixel", None), ("", None), ("Mm", None), ("reference frame", None), ("second", None)],
    ],
)
def test_units(unit, um):
    assert um_per_unit(unit) == (None if um is None else pytest.approx(um))


@pytest.mark.parametrize("text", [None, "", "0", "-1", "inf", "nan", "1e999", "0.25 um", "secret"])
def test_nonsense_is_no_number(text):
    assert number(text) is None


@given(x=st.floats(1e-3, 1e3), factor=st.floats(0.5, 2))
def test_pixels_count_as_square_up_to_5_percent_and_else_leave_a_note(x, factor):
    size = PixelSize(x, x * factor)
    assert (size.mpp is None) == bool(size.notes)
    if size.mpp is not None:
        assert min(x, x * factor) <= size.mpp <= max(x, x * factor)
    if abs(factor - 1) < 0.04:
        assert size.mpp is not None


def test_one_side_alone_says_nothing():
    assert (PixelSize(0.25, None).mpp, PixelSize(0.25, None).notes) == (None, ())
    assert PixelSize(353.0, 353.0).if_plausible() == UNSTATED


@pytest.mark.parametrize("unit", ["nm", "µm", "mm", "cm", "m", "Å", "in"])
def test_ome_xml(tmp_path, unit):
    side = 0.25 / um_per_unit(unit)
    facts = {"PhysicalSizeX": side, "PhysicalSizeXUnit": unit, "PhysicalSizeY": side, "PhysicalSizeYUnit": unit}
    tifffile.imwrite(tmp_path / "a.ome.tif", RGB, photometric="rgb", metadata={"axes": "YXS", **facts})
    assert mpp_of(tmp_path / "a.ome.tif") == pytest.approx(0.25)


def test_ome_xml_says_the_power_and_its_nonsense_is_unknown(tmp_path):
    def write(side):
        xml = (
            '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
            '<Instrument ID="I:0"><Objective ID="O:0" NominalMagnification="63"/></Instrument>'
            '<Image ID="Image:0"><ObjectiveSettings ID="O:0"/>'
            f'<Pixels ID="P:0" DimensionOrder="XYCZT" Type="uint8" SizeX="50" SizeY="40" SizeC="3" SizeZ="1" SizeT="1" '
            f'PhysicalSizeX="{side}" PhysicalSizeY="{side}"><Channel ID="C:0" SamplesPerPixel="3"/>'
            "<TiffData/></Pixels></Image></OME>"
        )
        tifffile.imwrite(tmp_path / "a.ome.tif", RGB, photometric="rgb", description=xml.encode(), metadata=None)
        return info_of(tmp_path / "a.ome.tif")

    info = write(0.1)
    assert (info.mpp, info.objective_power) == (0.1, 63.0)
    for nonsense in (0, -1, "INF", "NaN", "secret"):
        assert write(nonsense).mpp is None


@pytest.mark.parametrize("unit", ["um", "micron", "\\u00B5m", "µm"])
def test_imagej_names_the_unit_of_the_general_tags(tmp_path, unit):
    path = tmp_path / "a.tif"
    words = f"ImageJ=1.53t\nunit={unit}\n".encode("latin-1")
    tags = {"resolution": (4.0, 4.0), "resolutionunit": "NONE"}
    tifffile.imwrite(path, GREY, photometric="minisblack", description=words, metadata=None, **tags)
    assert mpp_of(path) == pytest.approx(0.25)


def test_imagej_in_pixels_says_nothing(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, GREY, imagej=True, metadata={"unit": "pixel"}, resolution=(4.0, 4.0))
    assert mpp_of(path) is None


@pytest.mark.parametrize(
    ("unit", "per_unit", "mpp"),
    [
        ("CENTIMETER", 40_000, 0.25),
        ("INCH", 101_600, 0.25),
        ("INCH", 72, None),
        ("INCH", 300, None),
        ("NONE", 40_000, None),
        ("CENTIMETER", 0, None),
    ],
)
def test_general_tags(tmp_path, unit, per_unit, mpp):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, RGB, photometric="rgb", resolution=(per_unit, per_unit), resolutionunit=unit)
    assert mpp_of(path) == (None if mpp is None else pytest.approx(mpp))


def test_metamorph_states_a_unit_of_its_own(tmp_path):
    path = tmp_path / "a.tif"

    def prop(name, kind, value):
        return f'<prop id="spatial-calibration-{name}" type="{kind}" value="{value}"/>'

    plane = prop("state", "bool", "on") + prop("x", "float", "0.65") + prop("y", "float", "0.65")
    words = f"<MetaData><PlaneInfo>{plane}{prop('units', 'string', 'um')}</PlaneInfo></MetaData>"
    tifffile.imwrite(path, GREY, photometric="minisblack", description=words, software="MetaSeries", metadata=None)
    assert mpp_of(path) == pytest.approx(0.65)


def test_ventana_states_it_in_its_xmp(tmp_path):
    path = tmp_path / "a.tif"
    xmp = b'<x><iScan ScanRes="0.2325" Magnification="40"/></x>'
    options = {"extratags": [(700, 1, len(xmp), xmp, True)], "software": "ScanOutputManager 1.1"}
    tifffile.imwrite(path, RGB, photometric="rgb", metadata=None, **options)
    info = info_of(path, reader="tifffile")
    assert (info.mpp, info.vendor) == (0.2325, "ventana")


def test_micro_manager_states_it_in_json(tmp_path):
    path = tmp_path / "a.tif"
    facts = b'{"PixelSizeUm": 0.325, "Width": 50}'
    tifffile.imwrite(
        path, GREY, photometric="minisblack", extratags=[(51123, 2, len(facts), facts, True)], metadata=None
    )
    assert mpp_of(path) == 0.325


@pytest.mark.parametrize("rows_first", [("0.00025", "0.00025"), ("0.00025", "0.00026"), ("0.00025", "0.00035")])
def test_philips_states_millimetres_rows_first(tmp_path, rows_first):
    path = tmp_path / "a.tiff"
    write_philips(path, np.repeat(np.repeat(RGB, 4, axis=0), 4, axis=1))
    row, column = rows_first
    stated = b"&quot;0.00025&quot; &quot;0.00025&quot;</Attribute>"
    asked = f"&quot;{row}&quot; &quot;{column}&quot;</Attribute>".encode()
    assert stated in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(stated, asked))
    own, theirs = info_of(path, reader="tifffile"), info_of(path, reader="openslide")
    assert own.mpp == (None if theirs.mpp is None else pytest.approx(theirs.mpp))
    assert own.notes == theirs.notes


@pytest.mark.parametrize(("mpp", "known"), [("0.2528", 0.2528), ("0", None), ("-1", None), ("inf", None), ("x", None)])
@pytest.mark.parametrize("reader", ["openslide", "tifffile"])
def test_aperio(tmp_path, mpp, known, reader):
    path = tmp_path / "a.svs"
    words = f"Aperio Image Library v1\n50x40 |AppMag = 40|MPP = {mpp}"
    tifffile.imwrite(path, RGB, tile=(32, 32), photometric="rgb", description=words, metadata=None)
    info = info_of(path, reader=reader)
    assert (info.mpp, info.objective_power) == (known, 40.0)


@pytest.mark.parametrize("reader", ["openslide", "tifffile"])
def test_pixels_that_are_not_square_leave_a_note(tmp_path, reader):
    path = tmp_path / "a.tif"
    tags = {"resolution": (20_000, 40_000), "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(path, RGB, tile=(32, 32), photometric="rgb", metadata=None, **tags)
    info = info_of(path, reader=reader)
    assert (info.mpp, len(info.notes)) == (None, 1)
    assert "not square" in info.notes[0]


@pytest.mark.parametrize(("dpi", "mpp"), [(101_600, 0.25), (72, None), (300, None)])
@pytest.mark.parametrize("suffix", [".png", ".bmp"])
def test_photographs_state_pixels_per_metre(tmp_path, dpi, mpp, suffix):
    path = tmp_path / f"a{suffix}"
    Image.fromarray(RGB).save(path, dpi=(dpi, dpi))
    assert mpp_of(path) == (None if mpp is None else pytest.approx(mpp, rel=1e-3))


@pytest.mark.parametrize(("dpi", "mpp"), [(25_400, 1.0), (72, None)])
def test_jpeg_states_dots_per_inch(tmp_path, dpi, mpp):
    Image.fromarray(RGB).save(tmp_path / "a.jpg", dpi=(dpi, dpi))
    assert mpp_of(tmp_path / "a.jpg") == (None if mpp is None else pytest.approx(mpp))


@pytest.mark.parametrize(("unit", "per_unit"), [(2, 50_800), (3, 20_000)])
@pytest.mark.parametrize("dpi", [None, (72, 72)])
def test_exif_counts_where_jfif_says_a_printers(tmp_path, unit, per_unit, dpi):
    exif = Image.Exif()
    exif.update({282: float(per_unit), 283: float(per_unit), 296: unit})
    Image.fromarray(RGB).save(tmp_path / "a.jpg", exif=exif, **({} if dpi is None else {"dpi": dpi}))
    assert mpp_of(tmp_path / "a.jpg") == pytest.approx(0.5, rel=1e-3)


def test_exif_that_is_broken_does_not_cost_the_picture(tmp_path, recwarn):
    Image.fromarray(RGB).save(tmp_path / "a.jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x05broken")
    assert mpp_of(tmp_path / "a.jpg") is None
    assert not recwarn.list
