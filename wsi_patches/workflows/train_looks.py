"""What the fields of a training look like, for the card of a counter or a detector."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wsi_patches.cells import WHITE_CELL, Cells
from wsi_patches.infer.unlike import look_of_cells
from wsi_patches.models.card import CounterCard
from wsi_patches.models.detector_card import DetectorCard
from wsi_patches.models.reference import InputReference
from wsi_patches.slides import open_slide
from wsi_patches.train.finder_fields import HELD_RED_CELL_PX
from wsi_patches.train.marked_fields import SplitField

__all__ = ["reference_of_fields"]


def reference_of_fields(
    fields: Sequence[SplitField], card: CounterCard | DetectorCard, slide_mpp: float | None = None
) -> InputReference | None:
    """Return how fields look around their marked cells, as ``infer`` looks at them; None where they are too few.

    Parameters
    ----------
    fields
        Of a training; those without a marked cell are left out.
    card
        Of the model.
    slide_mpp
        Level-0 pixel size in um, where the files do not state it.

    Raises
    ------
    SlideError
        A file that could be read can no longer be.
    """
    looks, stated = [], []
    for one in fields:
        held, step = one.marked.field.cells, one.marked.red_cell_px / HELD_RED_CELL_PX
        if not len(held.x):
            continue
        xy = (np.stack([held.x, held.y], axis=1) + 0.5) * step - 0.5
        with open_slide(one.item.path, mpp=slide_mpp) as slide:
            diameter_px = 2 * step * float(np.median(held.radius_px))
            looks.append(look_of_cells(slide, Cells.at(xy, (WHITE_CELL,)), card, diameter_px))
            stated += [slide.info.mpp] if slide.info.mpp is not None else []
    return InputReference.fit(looks, (min(stated), max(stated)) if stated else None)
