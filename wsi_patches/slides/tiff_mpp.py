"""Where a TIFF states the size of its pixels: each maker has a place of its own, and the general tags come last."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from typing import Any

from wsi_patches.slides.philips import philips_spacing_mm
from wsi_patches.slides.resolution import UNSTATED, PixelSize, number, um_per_unit

__all__ = ["aperio_value", "tiff_pixel_size"]

UM_PER_RESOLUTION_UNIT = {2: 25_400.0, 3: 10_000.0}
"""Inch and centimetre, by the numbers that TIFF has for them; 1 is no unit."""
UM_PER_MM, UM_PER_M = 1e3, 1e6
X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT, XMP, MICRO_MANAGER = 282, 283, 296, 700, 51123


def tiff_pixel_size(page: Any, tiff: Any) -> PixelSize:
    """Return the level-0 pixel as a TIFF states it; what its OME-XML says comes before this.

    A maker's own statement counts as it is; the general resolution tags only with a unit, and where the value is
    plausible for a microscope.

    Parameters
    ----------
    page
        tifffile's page of level 0.
    tiff
        The open ``tifffile.TiffFile``.
    """
    for flag, place in PLACES.items():
        if getattr(page, flag):
            found = place(page, tiff)
            if found.x_um is not None and found.y_um is not None:
                return found
    return _resolution_tags(page, UM_PER_RESOLUTION_UNIT.get(page.tags.valueof(RESOLUTION_UNIT))).if_plausible()


def aperio_value(page: Any, name: str) -> str | None:
    """Return a value of Aperio's ``|name = value|`` description."""
    if not page.is_svs:
        return None
    pairs = (part.partition("=") for part in page.description.split("|")[1:])
    return next((value.strip() for key, _, value in pairs if key.strip() == name), None)


def _resolution_tags(page: Any, unit_um: float | None) -> PixelSize:
    """Return the pixel of so many in a unit, as the general tags have it."""
    return PixelSize(*(_side(page.tags.valueof(tag), unit_um) for tag in (X_RESOLUTION, Y_RESOLUTION)))


def _side(per_unit: Any, unit_um: float | None) -> float | None:
    if unit_um is None or not isinstance(per_unit, tuple) or len(per_unit) != 2 or not per_unit[0]:
        return None
    return _um(unit_um * per_unit[1] / per_unit[0])


def _um(value: Any, factor: float | None = 1.0) -> float | None:
    """Return a length in um, or None for one that is absent, nonsense, or in a unit that is not known."""
    found = number(str(value))
    return None if found is None or factor is None else found * factor


def _sides(values: Mapping[str, Any] | None, names: tuple[str, str], factor: float | None) -> PixelSize:
    if not isinstance(values, Mapping):
        return UNSTATED
    return PixelSize(*(_um(values.get(name), factor) for name in names))


def _aperio(page: Any, tiff: Any) -> PixelSize:  # noqa: ARG001 - all places are asked alike, this one too
    mpp = number(aperio_value(page, "MPP"))
    return PixelSize(mpp, mpp)


def _philips(page: Any, tiff: Any) -> PixelSize:  # noqa: ARG001
    spacing = philips_spacing_mm(page.description)
    return UNSTATED if spacing is None else PixelSize(*(_um(side, UM_PER_MM) for side in spacing))


def _ventana(page: Any, tiff: Any) -> PixelSize:  # noqa: ARG001
    xmp = page.tags.valueof(XMP)
    try:
        scan = next(ET.fromstring(xmp.strip(b"\0") if isinstance(xmp, bytes) else str(xmp)).iter("iScan"), None)
    except ET.ParseError:
        return UNSTATED
    mpp = None if scan is None else number(scan.get("ScanRes"))
    return PixelSize(mpp, mpp)


def _imagej(page: Any, tiff: Any) -> PixelSize:
    """Return ImageJ's: the general tags, of which the description names the unit."""
    return _resolution_tags(page, um_per_unit(str((tiff.imagej_metadata or {}).get("unit", ""))))


def _metaseries(page: Any, tiff: Any) -> PixelSize:  # noqa: ARG001
    facts = (tiff.metaseries_metadata or {}).get("PlaneInfo") or {}
    unit = um_per_unit(str(facts.get("spatial-calibration-units", "")))
    return _sides(facts, ("spatial-calibration-x", "spatial-calibration-y"), unit)


def _metamorph(page: Any, tiff: Any) -> PixelSize:  # noqa: ARG001
    facts = tiff.stk_metadata or {}
    return _sides(facts, ("XCalibration", "YCalibration"), um_per_unit(str(facts.get("CalibrationUnits", ""))))


def _olympus(page: Any, tiff: Any) -> PixelSize:  # noqa: ARG001
    return _sides(tiff.sis_metadata, ("pixelsizex", "pixelsizey"), UM_PER_M).if_plausible()


def _zeiss_lsm(page: Any, tiff: Any) -> PixelSize:  # noqa: ARG001
    return _sides(tiff.lsm_metadata, ("VoxelSizeX", "VoxelSizeY"), UM_PER_M)


def _micro_manager(page: Any, tiff: Any) -> PixelSize:  # noqa: ARG001
    facts = page.tags.valueof(MICRO_MANAGER)
    name = "PixelSizeUm" if isinstance(facts, Mapping) and "PixelSizeUm" in facts else "PixelSize_um"
    return _sides(facts, (name, name), 1.0)


PLACES: dict[str, Callable[[Any, Any], PixelSize]] = {
    "is_svs": _aperio,
    "is_philips": _philips,
    "is_bif": _ventana,
    "is_imagej": _imagej,
    "is_metaseries": _metaseries,
    "is_stk": _metamorph,
    "is_sis": _olympus,
    "is_lsm": _zeiss_lsm,
    "is_micromanager": _micro_manager,
}
"""By what tifffile calls the maker's kind of page. Hamamatsu, Leica and PerkinElmer use the general tags."""
