"""What the slides of a training look like, for the card of what was trained."""

from __future__ import annotations

import numpy as np

from wsi_patches.models.reference import InputReference, look_of
from wsi_patches.train.patch_task import PatchView

__all__ = ["reference_of"]


def reference_of(*views: PatchView) -> InputReference | None:
    """Return how the slides of some patches look, as the network saw them; None where they are too few."""
    looks = []
    for view in views:
        of_slide = view.patches.slide[view.rows]
        for slide in np.unique(of_slide):
            looks.append(look_of(np.flatnonzero(of_slide == slide), view.read))
    return InputReference.fit(np.stack(looks), views[0].patches.mpp)
