"""OME-Zarr 0.1 to 0.5: where the pictures of a folder lie and what its metadata says of them; JSON only, no pixels."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wsi_patches.errors import SlideError
from wsi_patches.slides.channels import Channel
from wsi_patches.slides.ome_xml import OmePicture, read_ome_xml
from wsi_patches.slides.resolution import UNSTATED, PixelSize, number, um_per_unit

__all__ = ["Multiscale", "check_metadata_files", "find_pictures", "is_ome_zarr", "ome_pictures", "read_multiscale"]

V2_ATTRIBUTES, V2_NODES, V3_METADATA = ".zattrs", (".zgroup", ".zarray"), "zarr.json"
AXES = frozenset("tczyx")
KNOWN = ("multiscales", "bioformats2raw.layout", "plate", "well", "image-label")
"""Names under which OME-Zarr keeps what a group is."""


@dataclass(frozen=True)
class Multiscale:
    """One picture of an OME-Zarr: a group of arrays, finest first."""

    folder: Path
    axes: str
    """One letter of ``tczyx`` for each dimension of the arrays."""
    arrays: tuple[str, ...]
    """Each level's folder, below the picture's own."""
    pixel_size: PixelSize
    channels: tuple[Channel, ...]
    """As ``omero`` lists them; empty where it does not."""
    windows: tuple[tuple[float, float] | None, ...]
    """For each of these the values that are displayed as darkest and brightest."""


def is_ome_zarr(folder: Path) -> bool:
    """Say whether a folder is an OME-Zarr, by its metadata, or else by its name where that cannot be read."""
    try:
        attributes = _attributes(folder)
    except SlideError:
        return True  # opening it says what is wrong
    named = folder.name.lower().endswith(".ome.zarr")
    return named if attributes is None else named or any(key in attributes for key in KNOWN)


def find_pictures(folder: Path) -> list[Path]:
    """Return the groups that hold a picture each: the folder itself, or the series that bioformats2raw wrote.

    Raises
    ------
    SlideError
        The folder is no OME-Zarr picture, or damaged.
    """
    attributes = _attributes(folder)
    if attributes is None:
        msg = f"{folder} holds no Zarr metadata ({V2_ATTRIBUTES} or {V3_METADATA}): it is no OME-Zarr, or incomplete"
        raise SlideError(msg)
    if "image-label" in attributes:
        msg = f"{folder} is a label image, numbers of objects and no picture: give the OME-Zarr that it belongs to"
        raise SlideError(msg)
    if "multiscales" in attributes:
        return [folder]
    if "plate" in attributes or "well" in attributes:
        msg = f"{folder} is a plate or well of many fields: give one field, a folder inside of it such as A/1/0"
        raise SlideError(msg)
    if "bioformats2raw.layout" in attributes:
        return _series(folder)
    msg = f"{folder} is a Zarr without OME-Zarr multiscales: give an OME-Zarr picture, or the group that holds one"
    raise SlideError(msg)


def check_metadata_files(folder: Path) -> None:
    """Refuse metadata that is no file: zarr-python would read a pipe or a device for ever.

    Raises
    ------
    SlideError
        With the place.
    """
    for name in (V2_ATTRIBUTES, *V2_NODES, V3_METADATA):
        if (folder / name).exists() and not (folder / name).is_file():
            raise _damaged(folder, f"{name} is no file")


def _series(folder: Path) -> list[Path]:
    listed = (_attributes(folder / "OME") or {}).get("series")
    if listed is None:
        numbered = (entry for entry in folder.iterdir() if entry.name.isdecimal() and entry.is_dir())
        listed = [entry.name for entry in sorted(numbered, key=lambda entry: int(entry.name))]
    if not isinstance(listed, list) or not listed:
        raise _damaged(folder, "it lists no series")
    return [inside(folder, name) for name in listed]


def inside(folder: Path, name: Any) -> Path:
    """Return a folder that metadata names, which must lie inside of ``folder``.

    Raises
    ------
    SlideError
        It lies elsewhere, or is not there.
    """
    if not isinstance(name, str) or not name:
        raise _damaged(folder, "a path is no text")
    try:
        root, path = folder.resolve(), (folder / name).resolve()
        lies_inside = path != root and path.is_relative_to(root)
        exists = lies_inside and path.is_dir()
    except (OSError, ValueError, RuntimeError) as error:  # too long, a null byte, links in a circle
        raise _damaged(folder, "a path cannot be followed") from error
    if not lies_inside:
        raise _damaged(folder, "a path leads out of the folder")
    if not exists:
        raise _damaged(folder, "an array or group that its metadata lists is not there")
    return folder / name


def read_multiscale(folder: Path) -> Multiscale:
    """Return what a picture's group says of it.

    Raises
    ------
    SlideError
        Its metadata is damaged.
    """
    attributes = _attributes(folder) or {}
    try:
        first = attributes["multiscales"][0]
        datasets = first["datasets"]
        units = _units(first)
        axes = "".join(units)
        if not datasets or not {"x", "y"} <= set(axes) <= AXES:
            raise _damaged(folder, "it needs datasets, and axes x and y beside which only t, c and z may be")
        names = tuple(dataset["path"] for dataset in datasets)
        pixel_size = _pixel_size(list(units.values()), axes, first, datasets[0])
        listed = (attributes.get("omero") or {}).get("channels") or []
        channels = tuple(_channel(one, index) for index, one in enumerate(listed))
        windows = tuple(_window(one) for one in listed)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        raise _damaged(folder, "its multiscales are not as the standard has them") from error
    for name in names:
        inside(folder, name)
    return Multiscale(folder, axes, names, pixel_size, channels, windows)


def ome_pictures(folder: Path) -> tuple[OmePicture, ...]:
    """Return what bioformats2raw kept of the original file's metadata, in the order of the series.

    Raises
    ------
    SlideError
        It is not well-formed.
    """
    path = folder / "OME" / "METADATA.ome.xml"
    return read_ome_xml(_text(path), path) if path.is_file() else ()


def _attributes(folder: Path) -> dict[str, Any] | None:
    """Return a Zarr group's attributes, those of OME in version 3; None for a folder that is no Zarr."""
    if (folder / V3_METADATA).is_file():
        node = _json(folder / V3_METADATA)
        attributes = _object(folder, node.get("attributes", {}))
        return _object(folder, attributes.get("ome", attributes))
    if (folder / V2_ATTRIBUTES).is_file():
        return _json(folder / V2_ATTRIBUTES)
    return {} if any((folder / name).is_file() for name in V2_NODES) else None


def _json(path: Path) -> dict[str, Any]:
    try:
        return _object(path.parent, json.loads(_text(path)))
    except (ValueError, RecursionError) as error:
        raise _damaged(path.parent, f"{path.name} is no JSON") from error


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _damaged(path.parent, f"{path.name} cannot be read") from error


def _object(folder: Path, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _damaged(folder, "its metadata is no JSON object")
    return value


def _damaged(folder: Path, what: str) -> SlideError:
    """Return an error that names the place and never quotes the metadata: it may name a patient."""
    return SlideError(f"{folder} cannot be read as an OME-Zarr: {what}; copy it again from its source")


def _units(multiscale: dict[str, Any]) -> dict[str, str]:
    """Return the unit of each axis, empty where none is stated: five axes before version 0.3, names alone in 0.3."""
    axes = multiscale.get("axes", list("tczyx"))
    pairs = [(axis, "") if isinstance(axis, str) else (axis["name"], axis.get("unit") or "") for axis in axes]
    if len({name for name, _ in pairs}) != len(pairs) or not all(isinstance(unit, str) for _, unit in pairs):
        msg = "axes repeat themselves, or have units that are no text"
        raise ValueError(msg)
    return {name.lower(): unit for name, unit in pairs}


def _pixel_size(units: list[str], axes: str, multiscale: dict[str, Any], finest: dict[str, Any]) -> PixelSize:
    """Return the finest level's pixel; all scales are multiplied, of the level and of the picture."""
    scales = [
        one["scale"]
        for owner in (finest, multiscale)
        for one in owner.get("coordinateTransformations") or []
        if one.get("type") == "scale" and isinstance(one.get("scale"), list)
    ]
    if not scales or any(len(scale) != len(axes) for scale in scales):
        return UNSTATED
    return PixelSize(*(_side_um(units[i], [scale[i] for scale in scales]) for i in (axes.index("x"), axes.index("y"))))


def _side_um(unit: str, factors: list[Any]) -> float | None:
    um, numbers = um_per_unit(unit), [number(str(factor)) for factor in factors]
    if um is None or not all(numbers):
        return None
    return number(str(um * math.prod(one for one in numbers if one is not None)))


def _channel(listed: dict[str, Any], index: int) -> Channel:
    label, colour = listed.get("label"), listed.get("color")
    name = "" if label is None else " ".join(str(label).split())
    return Channel(name or str(index), colour.upper()[:6] if isinstance(colour, str) else "")


def _window(listed: dict[str, Any]) -> tuple[float, float] | None:
    window = listed.get("window") or {}
    start, end = (
        float(window.get(key, window.get(other, math.nan))) for key, other in (("start", "min"), ("end", "max"))
    )
    return (start, end) if 0 <= start < end < math.inf else None
