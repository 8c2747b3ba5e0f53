"""GeoJSON points, as QuPath and this program write them: level-0 pixels counted from 0."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from wsi_patches.cells import Cells
from wsi_patches.errors import AnnotationError

__all__ = ["read_geojson"]


def read_geojson(path: Path, class_names: Sequence[str] | None = None) -> Cells:
    """Read the cells of a FeatureCollection of points.

    Raises
    ------
    AnnotationError
        The file is not such a collection, or a class is not among ``class_names``.
    """
    try:
        return Cells.from_geojson(json.loads(path.read_text(encoding="utf-8")), class_names)
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f"{path} cannot be read as a GeoJSON FeatureCollection of points: {error!r}"
        raise AnnotationError(msg) from error
