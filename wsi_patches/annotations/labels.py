"""How cells become labels of patches: the rule of ALL-IDB Patches, and its settings.

A cell belongs to every patch that contains its centre, the patch being ``tolerance_px`` larger on each side, both
sides included; it may belong to four patches. A centre between pixels counts as the pixel that it rounds to. Source:
launch_create_labels_patches of ALL-IDB Patches (DOI 10.1109/ICASSPW59220.2023.10193429).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wsi_patches.cells import ALL_IDB_RULE, Cells, LabelRule
from wsi_patches.errors import UsageError
from wsi_patches.geometry import Box

__all__ = ["PatchLabels", "label_patches", "local_xy"]

PATCHES_AT_ONCE = 512
"""Bounds the table of patches by cells that is held at one time."""


class PatchLabels(NamedTuple):
    """Which cells each of ``n`` patches holds."""

    counts: NDArray[np.uint16]
    """Cells of each class, shape ``(n, classes)``; a label is ``counts > 0``."""
    indptr: NDArray[np.int64]
    """Shape ``(n + 1,)``: patch ``i`` holds the cells ``cells[indptr[i]:indptr[i + 1]]``."""
    cells: NDArray[np.int64]
    """Rows of the cells, in annotation order within each patch; one cell may appear in several patches."""


def label_patches(xy: NDArray[np.int64], side: int, cells: Cells, rule: LabelRule) -> PatchLabels:
    """Find the cells of each patch.

    Parameters
    ----------
    xy
        Level-0 top left corners, shape ``(n, 2)``.
    side
        Side of the patches in level-0 pixels.
    cells
        The annotated cells of the same slide; their class names must be the rule's.
    rule
        The tolerance and the classes.
    """
    if cells.class_names != rule.class_names:
        msg = f"cells of the classes {cells.class_names} were given to a rule for {rule.class_names}"
        raise UsageError(msg)
    none = np.empty(0, np.int64)
    patches, members = [none], [none]
    for start in range(0, len(xy), PATCHES_AT_ONCE):
        rows, columns = _members(xy[start : start + PATCHES_AT_ONCE], side, cells, rule)
        patches.append(start + rows)
        members.append(columns)
    patch, cell = np.concatenate(patches), np.concatenate(members)
    counts = np.zeros((len(xy), len(rule.class_names)), np.uint16)
    np.add.at(counts, (patch, cells.class_index[cell]), 1)
    indptr = np.zeros(len(xy) + 1, np.int64)
    np.cumsum(np.bincount(patch, minlength=len(xy)), out=indptr[1:])
    return PatchLabels(counts, indptr, cell)


def _members(
    xy: NDArray[np.int64], side: int, cells: Cells, rule: LabelRule
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return rows of patches and rows of cells that belong together, in patch order, then cell order."""
    low, high = xy - rule.tolerance_px, xy + side - 1 + rule.tolerance_px
    x, y = np.floor(cells.xy + 0.5).T  # the pixel that a centre falls on: 255.5 would lie between two patches
    inside_x = (low[:, :1] <= x) & (x <= high[:, :1])
    inside_y = (low[:, 1:] <= y) & (y <= high[:, 1:])
    patches, rows = np.nonzero(inside_x & inside_y)
    return patches, rows


def local_xy(cells: Cells, patch: Box, rule: LabelRule = ALL_IDB_RULE) -> NDArray[np.int64]:
    """Return the centres of a patch's own cells as the ALL-IDB Patches CSV gives them, shape ``(n, 2)``.

    The reference subtracts a 1-based origin from a 1-based centre, which counts from 0, and then clamps into
    1..side: offset 0 becomes 1, and only cells beyond the patch reach its side. Both are kept on purpose.
    """
    offsets = np.floor(cells.xy - (patch.x, patch.y) + 0.5).astype(np.int64)
    return np.clip(offsets, 1, (patch.width, patch.height)) if rule.clamp else offsets
