"""No text of a slide reaches a message, a log or the terminal, however the file is broken."""

import logging
import random
import struct

import numpy as np
import pytest
import tifffile
from PIL import Image, PngImagePlugin

from wsi_patches.errors import WsiPatchesError
from wsi_patches.geometry import Box
from wsi_patches.slides import associated_names, open_slide

SECRET = "JaneQPatient"
RGB = np.random.default_rng(8).integers(0, 256, (64, 80, 3), np.uint8)
XML = '<?xml version="1.0"?>'
PHILIPS = f'{XML}<DataObject ObjectType="DPUfsImport"><Attribute Name="{SECRET}">{SECRET}'
SIZES = f'SizeX="{SECRET}" SizeY="{SECRET}"'
DESCRIPTIONS = {
    "plain": f"name {SECRET}",
    "aperio": f"Aperio Image Library v1\n80x64 |AppMag = {SECRET}|MPP = {SECRET}|Patient = {SECRET}",
    "aperio without pairs": f"Aperio |{SECRET}|=|",
    "ome cut off": f'{XML}<OME><Image Name="{SECRET}"><Pixels {SIZES}</OME>',
    "ome of words": f'<OME><Image Name="{SECRET}"><Pixels {SIZES} Type="{SECRET}"/></Image></OME>',
    "ome of other files": f'<OME><BinaryOnly MetadataFile="{SECRET}" UUID="{SECRET}"/></OME>',
    "imagej": f"ImageJ=1.5\nimages={SECRET}\nchannels={SECRET}\nunit={SECRET}\nmin={SECRET}\n",
    "philips": f"{PHILIPS}</Attribute></DataObject>",
    "philips cut off": PHILIPS,
    "scanimage": f"state.{SECRET}=[{SECRET}\nscanimage.SI.{SECRET} = {SECRET}",
    "metaseries": f"<MetaData><PlaneInfo><prop id='{SECRET}' type='float' value='{SECRET}'/></MetaData>",
    "shaped": f'{{"shape": ["{SECRET}"], "axes": "{SECRET}"}}',
    "shaped by words": f"shape=({SECRET},)",
    "leica": f'{XML}<scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01"><c barcode="{SECRET}"></scn>',
    "perkin elmer": f"<PerkinElmer-QPI-ImageDescription><Name>{SECRET}",
}
SOFTWARE = {"perkin elmer": "PerkinElmer-QPI", "metaseries": "MetaSeries", "philips": "Philips DP v1.0"}
SOFTWARE["philips cut off"] = SOFTWARE["philips"]


def everything_told(path, capfd, caplog):
    """Open, read and list a slide with each reader; return all that was said."""
    told = []
    for reader in (None, "tifffile", "openslide", "image"):
        with caplog.at_level(logging.DEBUG):
            try:
                with open_slide(path, reader=reader) as slide:
                    told += [*slide.info.notes, *slide.info.channels, str(slide.info.mpp), str(slide.info.vendor)]
                    slide.read(Box(0, 0, 64, 64))
                associated_names(path)
            except WsiPatchesError as error:
                told.append(str(error))
    out, err = capfd.readouterr()
    return "\n".join([*told, out, err, *(record.getMessage() for record in caplog.records)])


def breakages(content):
    """The file as it is, cut at several lengths, and with bytes of its tags changed."""
    dice = random.Random(4)
    yield content
    for share in (0.2, 0.5, 0.9):
        yield content[: int(len(content) * share)]
    for _ in range(12):
        broken = bytearray(content)
        for _ in range(6):
            broken[dice.randrange(8, min(len(broken), 1200))] = dice.randrange(256)
        yield bytes(broken)


@pytest.mark.parametrize("name", DESCRIPTIONS)
@pytest.mark.parametrize("layout", [{"tile": (32, 32)}, {"rowsperstrip": 16, "compression": "zlib"}])
def test_descriptions_of_a_tiff(tmp_path, name, layout, capfd, caplog):
    path = tmp_path / "a.tif"
    words = DESCRIPTIONS[name].encode()
    tags = [(700, 1, len(words), words, True), (51123, 2, len(words), words, True), (315, 2, 0, SECRET, True)]
    options = {"software": SOFTWARE.get(name, SECRET), "extratags": tags, **layout}
    tifffile.imwrite(path, RGB, photometric="rgb", description=words, metadata=None, **options)
    for broken in breakages(path.read_bytes()):
        path.write_bytes(broken)
        assert SECRET not in everything_told(path, capfd, caplog)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_comments_of_a_photograph(tmp_path, suffix, capfd, caplog):
    path = tmp_path / f"a{suffix}"
    exif = Image.Exif()
    exif.update({0x010E: SECRET, 315: SECRET, 0x9286: SECRET.encode()})
    words = PngImagePlugin.PngInfo()
    words.add_text(SECRET, SECRET)
    options = {".png": {"pnginfo": words}, ".jpg": {"comment": SECRET}}.get(suffix, {})
    Image.fromarray(RGB).save(path, exif=exif, **options)
    for broken in breakages(path.read_bytes()):
        path.write_bytes(broken)
        assert SECRET not in everything_told(path, capfd, caplog)


def test_a_png_whose_chunk_is_named_as_a_patient(tmp_path, capfd, caplog):
    path = tmp_path / "a.png"
    Image.fromarray(RGB).save(path)
    content = bytearray(path.read_bytes())
    content[33:33] = struct.pack(">I", 4) + SECRET.encode()
    path.write_bytes(content)
    assert SECRET not in everything_told(path, capfd, caplog)


def test_patient_and_specimen_of_a_dicom(shared_data, tmp_path, capfd, caplog):
    content = (shared_data / "slides" / "dicom_wsi_leica_boxes" / "boxes_0.dcm").read_bytes()
    for tag in (b"\x10\0\x10\0PN", b"\x10\0\x20\0LO", b"\x40\0\x12\x05LO"):
        at = content.find(tag)
        if at >= 0:
            length = struct.unpack("<H", content[at + 6 : at + 8])[0]
            content = content[: at + 8] + SECRET.encode().ljust(length)[:length] + content[at + 8 + length :]
    assert SECRET[:6].encode() in content
    for broken in breakages(content):
        (tmp_path / "a.dcm").write_bytes(broken)
        assert SECRET[:6] not in everything_told(tmp_path / "a.dcm", capfd, caplog)
