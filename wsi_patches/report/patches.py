"""What each patch of a slide counted in its core: a table, and a map of where the cells are."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_patches.counting.cores import PatchCounts
from wsi_patches.report.overlay import COLOURS
from wsi_patches.stores.files import replacing

__all__ = ["PATCH_TABLE", "draw_heat", "write_patches"]

PATCH_TABLE = "patches.csv"
OPAQUE = 0.7
"""How much of the picture the fullest cores hide; an empty one hides nothing."""
QUANTILE = 0.99
"""The scale ends where so much of the slide is emptier, so that one heap does not pale all the rest."""
Colour = tuple[int, int, int]
STRIP_PX = 44
"""Height of the legend under a picture of 1400 px."""


def write_patches(path: Path, counted: PatchCounts) -> None:
    """Write ``x, y, side`` of each patch in level-0 pixels, the area of its core, and the count of each class in it."""
    areas = counted.cores.areas(len(counted.xy))
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("x", "y", "side", "core_area", *counted.class_names))
        for (x, y), area, counts in zip(counted.xy.tolist(), areas.tolist(), counted.counts.tolist(), strict=True):
            writer.writerow((x, y, counted.side, area, *(f"{count:.4f}" for count in counts)))


def draw_heat(
    picture: NDArray[np.uint8], downsample: float, counted: PatchCounts, class_name: str | None = None
) -> NDArray[np.uint8]:
    """Return a copy of an overview, each core tinted by how many cells it holds for its area, with a legend below.

    Parameters
    ----------
    picture, downsample
        The slide's overview, uint8 RGB ``(h, w, 3)``, as `overview` returns it.
    counted
        What was counted in each core.
    class_name
        Which class is shown; the first if None.
    """
    name = counted.class_names[0] if class_name is None else class_name
    density = _density(counted, counted.class_names.index(name))
    plane = np.zeros(picture.shape[:2], np.float64)
    edges = np.round(counted.cores.boxes / downsample).astype(int)
    for (left, top, right, bottom), row in zip(edges.tolist(), counted.cores.patch.tolist(), strict=True):
        plane[top:bottom, left:right] = density[row]
    most = float(np.quantile(plane, QUANTILE)) or float(plane.max()) or 1.0
    share = np.clip(plane / most, 0, 1)
    colour = COLOURS.get(name, COLOURS["blast"])
    legend = _legend(picture.shape[1], f"{name.replace('_', ' ')}: 0 to {most * counted.side**2:.2g}", colour)
    return np.concatenate([_mixed(picture, share, colour), legend])


def _density(counted: PatchCounts, class_index: int) -> NDArray[np.float64]:
    """Return cells for each level-0 pixel of each core, ``(n,)``; 0 for a patch without a core."""
    areas = counted.cores.areas(len(counted.xy))
    return np.where(areas > 0, counted.counts[:, class_index] / np.maximum(areas, 1), 0.0)


def _mixed(picture: NDArray[np.uint8], share: NDArray[np.float64], colour: Colour) -> NDArray[np.uint8]:
    opaque = (OPAQUE * share)[..., None]
    return np.asarray(np.round(picture * (1 - opaque) + np.array(colour) * opaque), np.uint8)


def _legend(width: int, told: str, colour: Colour) -> NDArray[np.uint8]:
    """Return a white strip with the shades from none to the fullest cores, and what they stand for."""
    scale = min(1.4, width / 1400 + 0.2)
    strip = np.full((max(18, round(STRIP_PX * scale)), width, 3), 255, np.uint8)
    height, bar = strip.shape[0], max(8, width // 6)
    shades = np.broadcast_to(np.linspace(0, 1, bar), (height // 2, bar))
    left = top = height // 4
    place = strip[top : top + height // 2, left : left + bar]
    place[:] = _mixed(place, shades[:, : place.shape[1]], colour)
    text = f"{told} for the area of a patch"
    size, _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    where = (left + bar + height // 4, height // 2 + size[1] // 2)
    cv2.putText(strip, text, where, cv2.FONT_HERSHEY_SIMPLEX, scale, (30, 30, 30), 1, cv2.LINE_AA)
    return strip
