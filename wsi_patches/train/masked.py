"""Labelled patches of which a network is shown the cell or its nucleus alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from wsi_patches.imaging.painted_outside import paint_outside
from wsi_patches.models.input_mask import InputMask
from wsi_patches.train.patch_set import PatchSet
from wsi_patches.train.two_arms import PatchFile

__all__ = ["blank_words", "masked_patches"]

BATCH_PATCHES = 64


def masked_patches(patches: PatchSet, mask: InputMask, input_px: int, folder: Path) -> PatchSet:
    """Return patches painted black outside of their cell or nucleus, as a trained network will be shown others.

    Masks are made of the middle that the network sees, so that training and use paint the same pixels; the margin that
    augmentation turns in becomes black.

    Parameters
    ----------
    patches
        At least as large as the network's input.
    mask
        What stays, and how it is found.
    input_px
        The network's.
    folder
        Gets the pixels, in a file without a name.

    Returns
    -------
    The set, ``left_out`` saying in how many patches no nucleus stood out: these are black all over, and kept.
    """
    side = patches.images.shape[1]
    first = (side - input_px) // 2
    inner = slice(first, first + input_px)
    file, blank = PatchFile(folder, len(patches), side), 0
    for start in range(0, len(patches), BATCH_PATCHES):
        seen = np.asarray(patches.images[start : start + BATCH_PATCHES])
        shown = np.zeros_like(seen)
        painted = paint_outside(np.ascontiguousarray(seen[:, inner, inner]), mask.part, mask.by)
        shown[:, inner, inner] = painted.images
        blank += int(painted.blank.sum())
        file.add(shown)
    told = (blank_words(blank, len(patches), mask, "learnt from and measured so"),) if blank else ()
    return replace(patches, images=file.images(), left_out=(*patches.left_out, *told))


def blank_words(blank: int, patches: int, mask: InputMask, then: str) -> str:
    """Return a sentence on patches in which no nucleus stands out; ``then`` says what became of them."""
    return f"in {blank} of {patches} patches no nucleus stands out ({mask.by}): they are black all over, and {then}"
