"""OME-XML: pixel size, channels, bits and objective of each picture that it describes."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

from wsi_patches.errors import SlideError
from wsi_patches.slides.channels import Channel
from wsi_patches.slides.resolution import PixelSize, number, um_per_unit

__all__ = ["OmePicture", "read_ome_xml"]


@dataclass(frozen=True)
class OmePicture:
    """What OME-XML says of one ``Image``."""

    size: tuple[str | None, str | None]
    """SizeX and SizeY as written."""
    pixel_size: PixelSize
    channels: tuple[Channel, ...]
    """One for each ``Channel`` element."""
    in_colours: bool
    """It is one channel of three samples, which are red, green and blue."""
    significant_bits: int | None
    objective_power: float | None
    planes: int
    """Of all channels, depths and times."""


def read_ome_xml(xml: str, path: Path) -> tuple[OmePicture, ...]:
    """Return what OME-XML says of each picture, in its order.

    Raises
    ------
    SlideError
        It is not well-formed. The text itself is never quoted: it may name a patient.
    """
    try:
        root = ET.fromstring(xml)
    except (ET.ParseError, ValueError) as error:
        msg = f"{path} holds OME-XML that is not well-formed: the file is damaged; copy it again from its source"
        raise SlideError(msg) from error
    powers = {one.get("ID"): number(one.get("NominalMagnification")) for one in root.iterfind(".//{*}Objective")}
    pictures = ((image, image.find("{*}Pixels")) for image in root.iterfind(".//{*}Image"))
    return tuple(_picture(image, pixels, powers) for image, pixels in pictures if pixels is not None)


def _picture(image: ET.Element, pixels: ET.Element, powers: dict[str | None, float | None]) -> OmePicture:
    objective = image.find("{*}ObjectiveSettings")
    bits = number(pixels.get("SignificantBits"))
    return OmePicture(
        (pixels.get("SizeX"), pixels.get("SizeY")),
        PixelSize(_length_um(pixels, "PhysicalSizeX"), _length_um(pixels, "PhysicalSizeY")),
        tuple(_channel(one, index) for index, one in enumerate(pixels.iterfind("{*}Channel"))),
        [one.get("SamplesPerPixel") for one in pixels.iterfind("{*}Channel")] == ["3"],
        int(bits) if bits is not None else None,
        None if objective is None else powers.get(objective.get("ID")),
        math.prod(int(number(pixels.get(f"Size{axis}")) or 1) for axis in "CZT"),
    )


def _length_um(pixels: ET.Element, name: str) -> float | None:
    value, factor = number(pixels.get(name)), um_per_unit(pixels.get(f"{name}Unit", "µm"))
    return None if value is None or factor is None else value * factor


def _channel(element: ET.Element, index: int) -> Channel:
    colour = element.get("Color", "").strip()
    signed = colour.removeprefix("-")
    # A colour is the signed 32-bit number of RGBA.
    code = f"{(int(colour) & 0xFFFFFFFF) >> 8:06X}" if signed.isdecimal() and len(signed) <= 10 else ""
    return Channel(element.get("Name") or element.get("Fluor") or str(index), code)
