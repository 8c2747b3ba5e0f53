"""GeoJSON geometries into places, boxes and radii.

Frame: outlines run along the edges of pixels, the first pixel lying between 0 and 1, as QuPath draws them; what is
returned counts the middles of pixels from 0, so half a pixel is taken off. Points are taken as they are.
"""

from __future__ import annotations

import reprlib
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wsi_patches.annotations.marks import Edges
from wsi_patches.annotations.text import finite
from wsi_patches.errors import AnnotationError

__all__ = ["Place", "places_of"]

LEAST_POINTS = 3
TO_PIXEL_MIDDLES = 0.5


class Place(NamedTuple):
    """Where a geometry puts a cell."""

    x: float
    y: float
    box: Edges | None = None
    """None for a point."""
    radius_px: float | None = None
    """Of the disc that is as large as the area; None for a point."""


def places_of(geometry: Any, where: str) -> list[Place]:
    """Return one place for a Point, Polygon or MultiPolygon, and one for each point of a MultiPoint.

    Raises
    ------
    AnnotationError
        It is another geometry, or its coordinates are not as they should be.
    """
    kind = geometry.get("type") if isinstance(geometry, dict) else None
    where = f"{where} ({kind})"
    if kind == "Point":
        return [Place(*_position(geometry.get("coordinates"), where))]
    if kind == "MultiPoint":
        return [Place(*_position(point, where)) for point in _list(geometry.get("coordinates"), where)]
    if kind == "Polygon":
        return [_area([geometry.get("coordinates")], where)]
    if kind == "MultiPolygon":
        return [_area(_list(geometry.get("coordinates"), where), where)]
    msg = f"{where}: a cell is a Point, MultiPoint, Polygon or MultiPolygon: draw it as one of these, or remove it"
    raise AnnotationError(msg)


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        msg = f"{where}: expected a list of coordinates, found {reprlib.repr(value)}"
        raise AnnotationError(msg)
    return value


def _position(value: Any, where: str) -> tuple[float, float]:
    numbers = _list(value, where)
    if len(numbers) < 2:
        msg = f"{where}: expected coordinates x and y, found {reprlib.repr(value)}"
        raise AnnotationError(msg)
    return finite(numbers[0], where), finite(numbers[1], where)


def _area(polygons: list[Any], where: str) -> Place:
    """Return centroid, bounds and radius of polygons, each an outer ring and its holes."""
    rings = [[_ring(ring, where) for ring in _list(polygon, where)] for polygon in polygons]
    if not rings or not all(rings):
        msg = f"{where}: expected an outline, found none"
        raise AnnotationError(msg)
    corners = np.concatenate([ring for polygon in rings for ring in polygon])
    low, high = corners.min(axis=0), corners.max(axis=0)
    # Seen from their own corner: products of coordinates in a slide of 100,000 px would eat the digits.
    moments = sum(_moments(polygon[0] - low) - sum(_moments(hole - low) for hole in polygon[1:]) for polygon in rings)
    area, *first = np.asarray(moments).tolist()
    x, y = low + np.array(first) / area if area > 0 else (low + high) / 2
    box = Edges(*low.tolist(), *(high - 1).tolist())
    return Place(float(x) - TO_PIXEL_MIDDLES, float(y) - TO_PIXEL_MIDDLES, box, float(np.sqrt(max(area, 0) / np.pi)))


def _ring(value: Any, where: str) -> NDArray[np.float64]:
    """Return the corners of a ring, shape ``(n, 2)``."""
    points = [_position(point, where) for point in _list(value, where)]
    if len(points) < LEAST_POINTS:
        msg = f"{where}: expected an outline of three points or more, found {len(points)}"
        raise AnnotationError(msg)
    return np.array(points, np.float64)


def _moments(ring: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return area, and area times centroid, of a ring in either direction, by the shoelace formula."""
    following = np.roll(ring, -1, axis=0)
    cross = ring[:, 0] * following[:, 1] - following[:, 0] * ring[:, 1]
    moments = np.array([cross.sum() / 2, *(((ring + following) * cross[:, None]).sum(axis=0) / 6)])
    return np.asarray(moments if moments[0] >= 0 else -moments)
