"""GeoJSON as QuPath and this program write it: cells as points or outlines, in level-0 pixels.

A FeatureCollection, a list of features or one Feature is read, with annotations, detections and cells of QuPath 0.2 to
0.6. A class derived from another (``blast: confirmed``) counts as its first part. Frame: see `outlines`.
Source: RFC 7946 and QuPath's QuPathTypeAdapters.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wsi_patches.annotations.marks import BOX_COLUMNS, Edges, Mark, cells_of, in_class_order
from wsi_patches.annotations.outlines import places_of
from wsi_patches.annotations.text import finite, json_of, score_of
from wsi_patches.cells import WHITE_CELL, Cells
from wsi_patches.errors import AnnotationError

__all__ = ["features_of", "geojson_classes", "read_geojson"]


def read_geojson(path: Path, class_names: Sequence[str] | None = None, default_class: str = WHITE_CELL) -> Cells:
    """Read the cells of one slide.

    Parameters
    ----------
    path
        The file.
    class_names
        The classes, in the order that labels have; in order of appearance if not given.
    default_class
        Of features that nobody has given a class.

    Returns
    -------
    Cells in level-0 pixels counted from 0: points as they are (each point of a MultiPoint is a cell), areas at their
    centroid. Score is 1 where the file has none, for then a person marked the cell. Attributes are measurements (NaN
    where a feature lacks one) and metadata; ``radius_px`` of areas is that of a disc of the same area, and boxes are
    there if all cells have one.

    Raises
    ------
    AnnotationError
        The file is no GeoJSON of cells, or a class is not among ``class_names``.
    """
    marks = [
        mark
        for number, feature in enumerate(features_of(json_of(path), path), start=1)
        for mark in _marks(feature, default_class, f"{path}, feature {number}")
    ]
    cells = cells_of(marks, path)
    return cells if class_names is None else in_class_order(cells, class_names, path)


def geojson_classes(path: Path, default_class: str = WHITE_CELL) -> tuple[str, ...]:
    """Return the classes that a file's cells have, in order of appearance; errors as of `read_geojson`."""
    return read_geojson(path, default_class=default_class).class_names


def features_of(content: Any, path: Path) -> list[Any]:
    """Return the features of what a GeoJSON file says.

    Raises
    ------
    AnnotationError
        It is neither a FeatureCollection, nor a list, nor a Feature.
    """
    kind = content.get("type") if isinstance(content, dict) else None
    features = content.get("features") if kind == "FeatureCollection" else [content] if kind == "Feature" else content
    if not isinstance(features, list):
        msg = f"{path}: expected a GeoJSON FeatureCollection, a list or a Feature, found {reprlib.repr(content)}"
        raise AnnotationError(msg)
    return features


def _marks(feature: Any, default_class: str, where: str) -> list[Mark]:
    if not isinstance(feature, dict) or feature.get("type") != "Feature":
        msg = f"{where}: expected a Feature, found {reprlib.repr(feature)}"
        raise AnnotationError(msg)
    properties = _mapping(feature.get("properties"), "properties", where)
    if properties.get("childObjects"):
        msg = f"{where} holds further objects: export the cells alone, without the region around them"
        raise AnnotationError(msg)
    name, slide = _class_name(properties, default_class, where), str(properties.get("slide") or "")
    numbers = _measurements(properties, where)
    score = score_of(numbers.pop("score", 1.0), where)
    edges = [numbers.pop(column, None) for column in BOX_COLUMNS]
    box = Edges(*(edge for edge in edges if edge is not None)) if None not in edges else None
    attributes = numbers | _texts(properties, where)
    return [
        Mark(name, place.x, place.y, place.box or box, score, _with_radius(attributes, place.radius_px), slide)
        for place in places_of(feature.get("geometry") or feature.get("nucleusGeometry"), where)
    ]


def _with_radius(attributes: dict[str, float | str], radius_px: float | None) -> dict[str, float | str]:
    return attributes if radius_px is None else attributes | {"radius_px": radius_px}


def _mapping(value: Any, name: str, where: str) -> dict[str, Any]:
    if value is not None and not isinstance(value, dict):
        msg = f"{where}: expected {name} by name, found {reprlib.repr(value)}"
        raise AnnotationError(msg)
    return value or {}


def _class_name(properties: dict[str, Any], default_class: str, where: str) -> str:
    """Return the base class: the first of ``names``, or what stands before the first colon of ``name``."""
    said = properties.get("classification")
    if isinstance(said, dict):
        said = said.get("names") or said.get("name")
    if isinstance(said, list) and said:
        said = said[0]
    if said is None:
        return default_class
    base = said.partition(":")[0].strip() if isinstance(said, str) else ""
    if not base:
        msg = f"{where}: expected the name of a class, found {reprlib.repr(said)}"
        raise AnnotationError(msg)
    return base


def _measurements(properties: dict[str, Any], where: str) -> dict[str, float]:
    """Return what was measured, from ``{name: value}`` or, before QuPath 0.4, ``[{"name": ..., "value": ...}]``."""
    said = properties.get("measurements")
    if isinstance(said, list):
        entries = [_mapping(entry, "measurements", where) for entry in said]
        said = {str(entry.get("name")): entry.get("value") for entry in entries}
    named = _mapping(said, "measurements", where)
    # QuPath writes NaN for what could not be measured.
    known = {key: value for key, value in named.items() if value is not None and not _is_nan(value)}
    return {key: finite(value, f"{where}, measurement {key}") for key, value in known.items()}


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _texts(properties: dict[str, Any], where: str) -> dict[str, float | str]:
    metadata = _mapping(properties.get("metadata"), "metadata", where)
    return {key: value for key, value in metadata.items() if isinstance(value, str)}
