"""What the slides of a training look like, for the card of what was trained."""

from __future__ import annotations

import numpy as np

from wsi_patches.models.reference import InputReference, patch_looks, slide_look
from wsi_patches.train.patch_task import PatchView

__all__ = ["reference_of"]

MOST_PATCHES = 64
"""Of one slide that are looked at."""


def reference_of(*views: PatchView) -> InputReference | None:
    """Return how the slides of some patches look, as the network saw them; None where they are too few."""
    looks = []
    for view in views:
        of_slide = view.patches.slide[view.rows]
        for slide in np.unique(of_slide):
            rows = np.flatnonzero(of_slide == slide)
            some = rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), MOST_PATCHES)).astype(int))]
            looks.append(slide_look(patch_looks(view.read(some))))
    return InputReference.fit(np.stack(looks), views[0].patches.mpp)
