"""What a finder is to say of a crop, and how far off it is (Zhou et al., "Objects as points", 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from wsi_patches.models.finder_network import RED_CELL_PX, STRIDE, FinderMaps

__all__ = ["FieldCells", "FinderTargets", "finder_loss", "paint_targets", "visible_part"]

SPREAD = 1 / 3
"""Standard deviation of a cell's bump on the heat map, over its radius."""
LEAST_SPREAD = 0.7
"""Of the bump, in places of the heat map: a platelet is hardly larger than one."""
SEEN = 0.2
"""A cell of which less than this share is seen is neither to be marked nor to be left out."""
NEAR = 0.6
"""The radius is learnt where the bump is at least so high."""
FOCUS, EASE = 2, 4
"""Exponents of the focal loss: on the error, and on the distance to a centre."""
RADIUS_WEIGHT = 2.0
Part = tuple[float, float, float, float]
"""Left, top, right and bottom of what is seen of a cell, pixels."""


@dataclass(frozen=True)
class FieldCells:
    """Annotated cells of one image, in its pixels; columns of shape ``(n,)``."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    radius_px: NDArray[np.float64]
    class_index: NDArray[np.int64]
    """Into `FINDER_CLASSES`."""


@dataclass(frozen=True)
class FinderTargets:
    """What the network is to say, for images ``(n, 3, h, w)``; float32."""

    heat: Tensor
    """``(n, classes, h / 4, w / 4)``, 0 to 1, 1 at the place of a centre."""
    weight: Tensor
    """Of each place of ``heat``: 0 where nobody knows what is right."""
    log_radius: Tensor
    """``(n, h / 4, w / 4)``, as in `FinderMaps`; NaN where there is no cell."""

    def to(self, device: torch.device) -> FinderTargets:
        """Return the same on a device."""
        return FinderTargets(self.heat.to(device), self.weight.to(device), self.log_radius.to(device))

    @classmethod
    def stack(cls, targets: list[FinderTargets]) -> FinderTargets:
        """Join the targets of several images of one size."""
        columns = ("heat", "weight", "log_radius")
        return cls(*(torch.cat([getattr(one, name) for one in targets]) for name in columns))


def paint_targets(
    cells: FieldCells, side_px: int, empty_weight: NDArray[np.float32], there: NDArray[np.bool_] | None = None
) -> FinderTargets:
    """Draw the targets of one square image.

    Parameters
    ----------
    cells
        In the image's pixels; they may lie partly or wholly outside.
    side_px
        Side of the image, a multiple of 16.
    empty_weight
        float32 ``(classes,)``: how sure it is that a place without a cell of a class has none, 0 for a class that is
        not annotated.
    there
        Where the image shows the field, ``(side_px, side_px)``; all of it if None.
    """
    there = np.ones((side_px, side_px), bool) if there is None else there
    planes = _Planes(side_px // STRIDE, empty_weight)
    for x, y, radius, kind in zip(cells.x, cells.y, cells.radius_px, cells.class_index, strict=True):
        part = visible_part(x, y, radius, there)
        if part is not None:
            planes.add(part, radius, kind)
    return FinderTargets(*(torch.from_numpy(one)[None] for one in (planes.heat, planes.weight, planes.log_radius)))


class _Planes:
    """The targets of one image while its cells are drawn; ``side`` in places of the heat map."""

    def __init__(self, side: int, empty_weight: NDArray[np.float32]) -> None:
        self.heat = np.zeros((len(empty_weight), side, side), np.float32)
        self.weight = np.broadcast_to(empty_weight[:, None, None], self.heat.shape).copy()
        self.log_radius = np.full((side, side), np.nan, np.float32)
        self.nearest = np.full((side, side), NEAR, np.float32)
        self.places = np.arange(side)

    def add(self, part: Part, radius: float, kind: int) -> None:
        """Draw one cell of which a part is seen."""
        left, top, right, bottom = part
        centre = [(sum(ends) / 2 + 0.5) / STRIDE - 0.5 for ends in ((left, right), (top, bottom))]
        if (right - left) * (bottom - top) < SEEN * 4 * radius**2:
            self._leave_open(centre, (right - left, bottom - top), kind)
            return
        spread = max(LEAST_SPREAD, SPREAD * radius / STRIDE)
        across, down = (np.exp(-((self.places - at) ** 2) / (2 * spread**2)) for at in centre)
        bump = np.outer(down, across).astype(np.float32)
        column, row = (min(max(round(float(at)), 0), len(self.places) - 1) for at in centre)
        bump[row, column] = 1
        np.maximum(self.heat[kind], bump, out=self.heat[kind])
        self.weight[kind][row, column] = 1
        here = bump >= self.nearest
        self.nearest[here], self.log_radius[here] = bump[here], np.log(radius / (RED_CELL_PX / 2))

    def _leave_open(self, centre: Sequence[float], size_px: tuple[float, float], kind: int) -> None:
        columns, rows = (
            np.abs(self.places - at) * STRIDE <= length / 2 for at, length in zip(centre, size_px, strict=True)
        )
        self.weight[kind][np.ix_(rows, columns)] = 0


def visible_part(x: float, y: float, radius: float, there: NDArray[np.bool_]) -> Part | None:
    """Return left, top, right and bottom of what is seen of a cell, None if that is nothing.

    Parameters
    ----------
    x, y, radius
        Of the cell, pixels; it may lie partly or wholly outside.
    there
        Where the square image shows the field, ``(side_px, side_px)``.
    """
    first = [max(0, int(np.ceil(at - radius))) for at in (x, y)]
    last = [min(there.shape[0], int(np.floor(at + radius)) + 1) for at in (x, y)]
    columns, rows = (np.arange(begin, end) for begin, end in zip(first, last, strict=True))
    seen = there[rows[:, None], columns] & ((rows[:, None] - y) ** 2 + (columns - x) ** 2 <= radius**2)
    if not seen.any():
        return None
    columns, rows = columns[seen.any(axis=0)], rows[seen.any(axis=1)]
    return (
        max(x - radius, columns[0] - 0.5),
        max(y - radius, rows[0] - 0.5),
        min(x + radius, columns[-1] + 0.5),
        min(y + radius, rows[-1] + 0.5),
    )


def finder_loss(maps: FinderMaps, targets: FinderTargets) -> Tensor:
    """Return the penalty-reduced focal loss of the heat maps plus the smooth L1 loss of the log radius, a scalar."""
    log_is, log_not = nn.functional.logsigmoid(maps.heat), nn.functional.logsigmoid(-maps.heat)
    chance = maps.heat.sigmoid()
    centre = (targets.heat == 1).float()
    there = centre * (1 - chance) ** FOCUS * log_is
    empty = (1 - centre) * (1 - targets.heat) ** EASE * chance**FOCUS * log_not
    # Each class for itself, or the many red cells would drown the white ones.
    each = -((there + empty) * targets.weight).sum(dim=(0, 2, 3)) / (centre.sum(dim=(0, 2, 3)) + 1)
    known = targets.log_radius.isfinite()
    if not known.any():
        return each.sum()
    radius = nn.functional.smooth_l1_loss(maps.log_radius[known], targets.log_radius[known], beta=0.1)
    return each.sum() + RADIUS_WEIGHT * radius
