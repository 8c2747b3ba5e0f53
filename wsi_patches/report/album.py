"""Crops of a slide for its page: the cells that the model was surest of, and those that it was least sure of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsi_patches.cells import Cells
from wsi_patches.counting.centred import centred_patch, diameter_of
from wsi_patches.counting.cores import PatchCounts
from wsi_patches.report.words import described
from wsi_patches.slide import Slide

__all__ = ["Crop", "Gallery", "cut_galleries"]

MOST = 12
"""Crops of a gallery."""
CROP_PX = 112
DIAMETERS = 2.0
"""Side of a crop, in typical diameters of the slide's white cells."""
UNMEASURED_PX = 96.0
"""Side of a crop, level-0 pixels, where no cell was measured."""
CERTAINTY = (
    "Below each is how certain its class is (0 to 1; 1 where a person marked it), and the place in level-0 pixels."
)
FOUND = "Below each is how sure the finder was (0 to 1), and the place in level-0 pixels."
COUNTED = "Below each is how many the counter saw in the patch's own core, and the patch's centre in level-0 pixels."


@dataclass(frozen=True)
class Crop:
    """A piece of the slide."""

    pixels: NDArray[np.uint8]
    """RGB ``(h, w, 3)``."""
    caption: str
    alt: str
    """What is to be seen, for readers who cannot see it."""


@dataclass(frozen=True)
class Gallery:
    """Crops that belong together."""

    title: str
    note: str
    crops: tuple[Crop, ...]


def cut_galleries(slide: Slide, cells: Cells, patches: PatchCounts | None = None) -> tuple[Gallery, ...]:
    """Return what a person would like to look at first; only crops that are shown are read.

    Parameters
    ----------
    slide
        The open slide.
    cells
        What was counted on it, level-0 pixels. Of cells of the class ``blast`` the most and the least certain are
        shown, and the other cells that came nearest to them; where nothing told blasts, cells by their score.
    patches
        What each patch counted, where no cells were found: those with the most of the first class are shown.

    Raises
    ------
    SlideError
        The slide cannot be read.
    """
    if patches is not None:
        return tuple(_of_patches(slide, patches))
    return tuple(_of_cells(slide, cells))


def _of_cells(slide: Slide, cells: Cells) -> Iterator[Gallery]:
    name = "blast" if "blast" in cells.class_names else cells.class_names[0]
    plural, note = (f"{name.replace('_', ' ')}s", CERTAINTY if name == "blast" else FOUND)
    rows = _by_score(cells, name)
    if len(rows) <= MOST:
        yield from _gallery(slide, cells, rows, f"All {plural}, the most certain first", note)
    else:
        yield from _gallery(slide, cells, rows[:MOST], f"The most certain {plural}", note)
        yield from _gallery(slide, cells, rows[MOST:][-MOST:][::-1], f"The least certain {plural}", note)
    if name == "blast":
        others = _by_score(cells, "other")[-MOST:][::-1]
        yield from _gallery(slide, cells, others, "Other white cells, those nearest to being called blasts first", note)


def _by_score(cells: Cells, name: str) -> NDArray[np.int64]:
    """Return the rows of a class, the most certain first; equal ones keep their order."""
    if name not in cells.class_names:
        return np.empty(0, np.int64)
    rows = np.flatnonzero(cells.class_index == cells.class_names.index(name))
    return rows[np.argsort(-cells.score[rows], kind="stable")]


def _gallery(
    slide: Slide, cells: Cells, rows: Sequence[int] | NDArray[np.int64], title: str, note: str
) -> list[Gallery]:
    side, crops = DIAMETERS * diameter_of(cells) or UNMEASURED_PX, []
    for row, words in zip(rows, described(cells.take(rows)), strict=True):
        x, y, score = cells.x[row], cells.y[row], cells.score[row]
        name = cells.class_names[cells.class_index[row]].replace("_", " ")
        pixels = centred_patch(slide, x, y, side, CROP_PX)
        told = f". {words}" if words else ""
        crops.append(Crop(pixels, f"{score:.2f} at {x:.0f}, {y:.0f}{told}", f"{name} of certainty {score:.2f}{told}"))
    return [Gallery(title, note, tuple(crops))] if crops else []


def _of_patches(slide: Slide, patches: PatchCounts) -> Iterator[Gallery]:
    name, counts = patches.class_names[0].replace("_", " "), patches.counts[:, 0]
    rows = [row for row in np.argsort(-counts, kind="stable")[:MOST].tolist() if counts[row] > 0]
    crops = []
    for row in rows:
        x, y = (patches.xy[row] + patches.side / 2).tolist()
        pixels = centred_patch(slide, x, y, patches.side, CROP_PX)
        crops.append(Crop(pixels, f"{counts[row]:.2f} at {x:.0f}, {y:.0f}", f"patch with {counts[row]:.2f} of {name}"))
    if crops:
        yield Gallery(f"Patches with the most {name}s", COUNTED, tuple(crops))
