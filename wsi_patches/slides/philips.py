"""What a Philips TIFF says in the XML of its first page's description."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

from wsi_patches.geometry import Size
from wsi_patches.slides.resolution import number

__all__ = ["philips_downsamples", "philips_power", "philips_size", "philips_spacing_mm"]

MAX_POWER = 200
"""The first of the levels in the derivation may be the objective's power, or some number far above any."""


def philips_downsamples(description: str) -> list[int]:
    """Return the whole-number downsample of each level, by the pixel spacings that the XML states for them.

    The pages' own sizes will not do: each level is padded to whole tiles.
    """
    spacings = []
    for image in ET.fromstring(description).iterfind("./Attribute[@Name='PIM_DP_SCANNED_IMAGES']/Array/DataObject"):
        if _value(image, "PIM_DP_IMAGE_TYPE") == "WSI":
            spacings += [
                [float(part) for part in (element.text or "").replace('"', " ").split()]
                for element in image.iterfind(
                    "./Attribute[@Name='PIIM_PIXEL_DATA_REPRESENTATION_SEQUENCE']/Array"
                    "/DataObject[@ObjectType='PixelDataRepresentation']/Attribute[@Name='DICOM_PIXEL_SPACING']"
                )
            ]
    return [round((row / spacings[0][0] + column / spacings[0][1]) / 2) for row, column in spacings]


def philips_size(full: Size, downsample: int) -> Size:
    """Return a level's size in its own pixels without the padding, as OpenSlide has it."""
    return Size(full.width // downsample, full.height // downsample)


def philips_spacing_mm(description: str) -> tuple[float, float] | None:
    """Return width and height in mm of the pixels of the scanned picture, or None where it does not state them."""
    for image in ET.fromstring(description).iterfind("./Attribute[@Name='PIM_DP_SCANNED_IMAGES']/Array/DataObject"):
        if _value(image, "PIM_DP_IMAGE_TYPE") == "WSI":
            sides = [number(part) for part in (_value(image, "DICOM_PIXEL_SPACING") or "").replace('"', " ").split()]
            if len(sides) == 2 and sides[0] and sides[1]:
                return sides[1], sides[0]  # rows come first in the file
    return None


def philips_power(description: str) -> float | None:
    """Return the objective's power: the first of ``levels=`` in the derivation, where that can be one."""
    for derivation in ET.fromstring(description).iterfind(".//Attribute[@Name='DICOM_DERIVATION_DESCRIPTION']"):
        facts = dict(part.partition("=")[::2] for part in (derivation.text or "").split("-"))
        power = number(facts.get("levels", "").split(",")[0])
        if power is not None and power <= MAX_POWER:
            return power
    return None


def _value(element: Any, name: str) -> str | None:
    found = element.find(f"./Attribute[@Name='{name}']")
    return None if found is None or found.text is None else found.text.strip()
