"""Boxes around annotated cells, which detectors are trained with: shared by the formats ``coco`` and ``yolo``.

A store keeps a cell as a point, so its box is a square of a stated side around it, cut off at the patch's border. A
cell that lies in several patches, as with overlap, has a box in each of them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from wsi_patches.annotations import BOX_COLUMNS
from wsi_patches.cells import Cells
from wsi_patches.counting.boxes import AS_LINES, square_edges
from wsi_patches.errors import UsageError
from wsi_patches.export.base import ExportJob
from wsi_patches.export.patches import ExportPatches

__all__ = ["annotated_job", "boxed_cells", "boxes_sentence", "check"]

LEAST_PX = 1.0
"""A box of less width or height than this inside of the patch is left out."""


def boxed_cells(patches: ExportPatches, row: int, box_px: float) -> Cells:
    """Return a patch's annotated cells in its own pixels, each with its box.

    Frame: the patch's pixels counted from 0, whole numbers being their middles. Attributes: `BOX_COLUMNS`, a box's
    first and last pixel, both inside of the patch; ``slide_x`` and ``slide_y``, the same centre in level-0 pixels of
    the slide, by which boxes of one cell are told.

    Raises
    ------
    StoreError
        The cells cannot be read.
    UsageError
        The side is not above 0.
    """
    if not 0 < box_px < float("inf"):
        msg = f"the side of a cell's box must be above 0 px, found {box_px}"
        raise UsageError(msg)
    found, centres = patches.cells(row)
    x, y = centres.T
    lines = np.clip(square_edges(x, y, np.full(len(x), box_px / 2)) + AS_LINES, 0, patches.side_px)
    attributes = dict(zip(BOX_COLUMNS, (lines - AS_LINES).T, strict=True))
    cells = replace(found, x=x, y=y, attributes={**attributes, "slide_x": found.x, "slide_y": found.y})
    return cells.take((lines[:, 2:] - lines[:, :2]).min(axis=1) >= LEAST_PX)


def annotated_job(job: ExportJob) -> ExportJob:
    """Return the same export of the patches alone whose slides' cells somebody marked.

    In a picture without boxes a detector learns that there is nothing, and of a slide without annotations nobody knows.

    Raises
    ------
    UsageError
        No patch is of such a slide.
    """
    patches = job.patches
    annotated = np.array([record.annotated for record in patches.store.slides], bool)
    rows = np.flatnonzero(annotated[patches.slide_rows])
    if not len(rows):
        msg = (
            f"none of {len(patches)} patches is of a slide with annotated cells, so there is no box to write: "
            "give extract --annotations, or choose another format"
        )
        raise UsageError(msg)
    focus = None if patches.focus is None else patches.focus[rows]
    kept = replace(
        patches, positions=patches.positions[rows], label=patches.label[rows], split=patches.split[rows], focus=focus
    )
    return replace(job, patches=kept)


def check(job: ExportJob) -> None:
    """Refuse patches of which none is of a slide with annotated cells.

    Raises
    ------
    UsageError
        There is no box to write.
    """
    annotated_job(job)


def boxes_sentence(job: ExportJob, boxed: ExportJob) -> str:
    """Return what a user must know of the boxes, and of the patches that are not there."""
    left = len(job.patches) - len(boxed.patches)
    told = f" {left} patches of slides without annotated cells are left out." if left else ""
    return (
        f"A cell was marked as a point: its box is a square of {job.box_px:g} px around it, cut off at the patch's "
        f"border.{told}"
    )
