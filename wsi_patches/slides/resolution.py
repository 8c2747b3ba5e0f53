"""The pixel size that a file states, in um; never a guess."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

__all__ = ["from_ome", "from_openslide", "from_tags"]

MICROSCOPE_UM = (0.02, 20.0)
"""Pixel sizes that a TIFF's resolution tags are believed with: 72 or 300 dpi are meant for a printer."""
SAME = 0.05
"""Pixels that are less square than this have no single size."""
UM_OF_UNIT = {"µm": 1.0, "um": 1.0, "μm": 1.0, "nm": 1e-3, "mm": 1e3, "cm": 1e4, "m": 1e6, "pm": 1e-6}
INCH_UM, CENTIMETRE_UM = 25400.0, 10000.0


def one_size(x_um: float, y_um: float) -> float | None:
    """Return the pixel size, or None where it is not positive or the pixels are not square."""
    if not (0 < x_um < float("inf") and 0 < y_um < float("inf")) or abs(x_um - y_um) > SAME * max(x_um, y_um):
        return None
    return x_um if abs(x_um - y_um) < 1e-3 * x_um else (x_um + y_um) / 2


def from_openslide(properties: Mapping[str, str]) -> float | None:
    """Return the pixel size in um from OpenSlide's properties, or None."""
    try:
        x_um, y_um = float(properties["openslide.mpp-x"]), float(properties["openslide.mpp-y"])
    except (KeyError, ValueError):
        return None
    mpp = one_size(x_um, y_um)
    if properties.get("openslide.vendor") == "generic-tiff":
        return _believed(mpp)
    return mpp


def from_tags(unit: int, x_resolution: Any, y_resolution: Any) -> float | None:
    """Return the pixel size in um from TIFF tags: resolution unit (2 inch, 3 centimetre), pixels for each of them."""
    unit_um = {2: INCH_UM, 3: CENTIMETRE_UM}.get(unit)
    x, y = (_number(value) for value in (x_resolution, y_resolution))
    if unit_um is None or not x or not y:
        return None
    return _believed(one_size(unit_um / x, unit_um / y))


def from_aperio(description: str) -> tuple[float | None, float | None]:
    """Return pixel size in um and objective power from an Aperio image description."""
    mpp, power = (re.search(rf"\|\s*{name}\s*=\s*([0-9.]+)", description) for name in ("MPP", "AppMag"))
    return (_number(mpp[1]) or None if mpp else None), (_number(power[1]) or None if power else None)


def from_ome(xml: str) -> float | None:
    """Return the pixel size in um from OME-XML, whatever unit it is stated in; um where no unit is."""
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return None
    pixels = next((element for element in root.iter() if element.tag.endswith("}Pixels")), None)
    if pixels is None or "PhysicalSizeX" not in pixels.attrib or "PhysicalSizeY" not in pixels.attrib:
        return None
    sizes = [
        _number(pixels.attrib[f"PhysicalSize{axis}"]) * UM_OF_UNIT.get(pixels.get(f"PhysicalSize{axis}Unit", "µm"), 0)
        for axis in "XY"
    ]
    return one_size(*sizes)


def _believed(mpp: float | None) -> float | None:
    low, high = MICROSCOPE_UM
    return mpp if mpp is not None and low <= mpp <= high else None


def _number(value: Any) -> float:
    """Return a number that a tag holds, as a fraction, a number or text; 0 where it holds none."""
    try:
        if isinstance(value, tuple):
            return float(value[0]) / float(value[1])
        return float(value)
    except (TypeError, ValueError, ZeroDivisionError, IndexError):
        return 0.0
