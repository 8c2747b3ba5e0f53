"""A slide of dots and a counter that cannot err on them: what is wrong then is the way from patches to counts."""

from dataclasses import replace

import cv2
import numpy as np
import torch
from torch import nn

from wsi_patches.cells import ALL_IDB_CLASSES, WHITE_CELL
from wsi_patches.models.card import CounterCard
from wsi_patches.models.count_calibration import CountCalibration
from wsi_patches.models.counter import CellCounter
from wsi_patches.models.finder_network import GREY, RED_CELL_PX

PAPER, RADIUS_PX = 200, 9


class DotNet(nn.Module):
    """Says how much of a dot lies in each place: of red ones in the first class, of blue ones in the second."""

    def __init__(self, area_px: float, classes: int = 2) -> None:
        super().__init__()
        self.area_px, self.classes = area_px, classes

    def forward(self, x):
        pixels = x.float() * GREY + GREY
        dark = (PAPER - pixels[:, [1, 0]]).clamp_min(0) / PAPER  # red dots lack green, blue ones red and green
        dark = dark * (pixels != GREY).any(dim=1, keepdim=True)  # what lies outside of a slide
        blast, other = dark[:, 0] - dark[:, 1], dark[:, 1]
        planes = torch.stack([blast, other], dim=1) if self.classes == 2 else dark[:, :1]
        return nn.functional.avg_pool2d(planes, 4) * 16 / self.area_px


def dotted(size, blasts, others, seed=0, radius_px=RADIUS_PX):
    """Return a picture uint8 RGB and the area of a dot in it; dots may lie anywhere, and do not touch."""
    rng = np.random.default_rng(seed)
    image = np.full((size[1], size[0], 3), PAPER, np.uint8)
    placed = []
    while len(placed) < blasts + others:
        at = rng.integers(radius_px + 1, np.array(size) - radius_px - 1)
        if all(np.hypot(*(at - one)) > 2 * radius_px + 2 for one in placed):
            colour = (PAPER, 0, PAPER) if len(placed) < blasts else (0, 0, PAPER)
            cv2.circle(image, tuple(at.tolist()), radius_px, colour, cv2.FILLED)
            placed.append(at)
    dark = PAPER - image[..., 1].astype(float)
    return image, dark.sum() / PAPER / (blasts + others)


CALIBRATION = CountCalibration(linear=0.05, groups=30)


def counter(area_px, classes=ALL_IDB_CLASSES, **changes):
    card = CounterCard(
        name="dots",
        title="Counts dots",
        architecture="cell_counter",
        settings={},
        classes=classes,
        trained_on="nothing",
        limits="knows dots alone",
        licence="Apache-2.0",
        red_cell_px=RED_CELL_PX,
        split="none",
        calibration=dict.fromkeys((*classes, WHITE_CELL), CALIBRATION),
    )
    return CellCounter.of(DotNet(area_px, len(classes)), replace(card, **changes), "abc", torch.device("cpu"))
