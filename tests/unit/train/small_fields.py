"""A few painted fields of a few cells each, as small as can be found and told apart, and marks on them."""

import json
import math

import numpy as np

from wsi_patches.annotations import write_coco, write_voc
from wsi_patches.cells import Cells
from wsi_patches.geometry import Size
from wsi_patches.synthetic import AllIdbField, SmearSettings

SIZE = Size(420, 320)


def painted_fields(count, seed=50, blasts=5, others=5):
    """Return fields of patients and of healthy people in turn."""
    fields = []
    for index in range(count):
        leukemic = index % 2 == 0
        settings = SmearSettings.random(
            seed + index,
            cell_diameter_px=36.0,
            blasts=blasts if leukemic else 0,
            others=others if leukemic else blasts + others,
            touching=0.0,
        )
        fields.append(AllIdbField(1 + index if leukemic else 63 + index, leukemic, settings, SIZE))
    return fields


def boxed(cells):
    """Return cells with the boxes that their radii fill."""
    radius = np.round(cells.attributes["radius_px"])
    left, top = np.round(cells.x) - radius, np.round(cells.y) - radius
    return Cells.at(
        cells.xy, cells.class_names, cells.class_index,
        left_px=left, top_px=top, right_px=left + 2 * radius, bottom_px=top + 2 * radius,
    )  # fmt: skip


def write_marks(folder, kind, truth):
    """Write the painted cells of each field as a person would leave them in QuPath, or as VOC or COCO boxes."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, cells in truth.items():
        if kind == "geojson":
            (folder / f"{name}.geojson").write_text(json.dumps(_qupath(cells)))
        elif kind == "voc":
            write_voc(folder / f"{name}.xml", boxed(cells), SIZE, f"{name}.jpg")
        else:
            write_coco(folder / f"{name}.json", [(f"{name}.jpg", SIZE, boxed(cells))])


def _qupath(cells):
    """Return outlines drawn around cells, classified as QuPath writes it."""
    features = []
    for x, y, radius, index in zip(cells.x, cells.y, cells.attributes["radius_px"], cells.class_index, strict=True):
        angles = [2 * math.pi * step / 16 for step in range(17)]
        ring = [[float(x + radius * math.cos(angle)), float(y + radius * math.sin(angle))] for angle in angles]
        features.append(
            {
                "type": "Feature",
                "geometry": {"type": "Polygon", "coordinates": [[*ring[:-1], ring[0]]]},
                "properties": {
                    "objectType": "annotation",
                    "classification": {"name": ("Lymphoblast", "Neutrophil")[index], "color": [200, 0, 0]},
                },
            }
        )
    return {"type": "FeatureCollection", "features": features}
