"""Finding cells with a trained network, at whatever scale a slide has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from wsi_patches.errors import ModelError, UsageError
from wsi_patches.models.card import FinderCard
from wsi_patches.models.cell_scale import WHITE_OVER_RED, red_cell_px, resized
from wsi_patches.models.classifier import choose_device
from wsi_patches.models.finder_network import DEEPEST, FINDER_CLASSES, GREY, RED_CELL_PX, as_input
from wsi_patches.models.heat_map import FoundPoints, decode
from wsi_patches.models.precision import uses_bf16
from wsi_patches.models.table import DEFAULT_FINDER, find_model
from wsi_patches.models.weights import build_finder, check_sha256

__all__ = ["FieldScale", "LearnedCellFinder"]

RED_CELL_UM = 7.5
"""Diameter of a red cell on a smear, for slides that state their resolution."""
BORDER_PX = 2 * DEEPEST
"""Grey around an image, as the network saw beyond the borders of photographs."""
NEAR_ENOUGH = 1.08
"""An image whose red cells are so near to the network's is taken as it is."""


@dataclass(frozen=True)
class FieldScale:
    """What a learned finder knows of a slide: small, picklable, valid for the scale of the samples."""

    red_cell_px: float | None
    """Diameter of a red cell in pixels of the samples, or None where no cell was seen."""

    @property
    def cell_diameter_px(self) -> float | None:
        """Usual diameter of a white cell, by that of the red cells."""
        return None if self.red_cell_px is None else WHITE_OVER_RED * self.red_cell_px

    def scaled(self, downsample: float) -> FieldScale:
        """Return the same for images that are ``downsample`` times smaller than the samples."""
        return replace(self, red_cell_px=None if self.red_cell_px is None else self.red_cell_px / downsample)


@dataclass(frozen=True)
class LearnedCellFinder:
    """Finds cells by the peaks of a network's heat maps.

    Parameters
    ----------
    network
        In evaluation mode, on ``device``.
    device
        Where it runs.
    threshold
        Least score of a cell.
    scale_threshold
        Least score of a cell that the scale is measured by.
    apart
        Least distance of two cells of one class, in radii of the larger.
    class_name
        Which cells `find` returns: one of `FINDER_CLASSES`.
    bf16
        Compute in bfloat16: faster where the processor has it, and different in the third digit.
    name, sha256, card
        Of the weights, where they came from a file.

    Raises
    ------
    UsageError
        A value is out of range.
    """

    network: nn.Module
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    threshold: float = 0.4
    scale_threshold: float = 0.5
    apart: float = 0.65
    class_name: str = "white_cell"
    bf16: bool = False
    name: str = ""
    sha256: str = ""
    card: FinderCard | None = None

    def __post_init__(self) -> None:
        if not (0 < self.threshold < 1 and 0 < self.scale_threshold < 1) or self.apart < 0:
            msg = f"thresholds lie between 0 and 1 and apart is 0 or more, got {self.threshold}, "
            raise UsageError(msg + f"{self.scale_threshold} and {self.apart}")
        if self.class_name not in FINDER_CLASSES:
            msg = f"no cells of class {self.class_name!r} are found: choose from {', '.join(FINDER_CLASSES)}"
            raise UsageError(msg)

    @property
    def working_mpp(self) -> float:
        """Pixel size in um at which red cells are as large as the network takes them."""
        return RED_CELL_UM / RED_CELL_PX

    @classmethod
    def load(
        cls, name_or_file: str | Path = DEFAULT_FINDER, device: str = "auto", precision: str = "auto"
    ) -> LearnedCellFinder:
        """Load a shipped finder by its name, or a ``.safetensors`` file.

        Parameters
        ----------
        name_or_file
            A key of ``wsi_patches.models.MODELS`` that is a finder, or a file.
        device
            ``auto``, ``cpu`` or ``cuda``.
        precision
            ``auto`` for bfloat16 where the processor computes in it, ``fp32`` or ``bf16``.

        Raises
        ------
        ModelError
            There is no such finder, or its file is damaged, altered, or not of this program.
        UsageError
            The device or its precision is not there.
        """
        where = choose_device(device)
        path, expected = find_model(name_or_file, "finder")
        network, card, sha256 = build_finder(path)
        check_sha256(path, sha256, expected)
        if card.classes != FINDER_CLASSES or card.red_cell_px != RED_CELL_PX:
            msg = f"{path} finds {', '.join(card.classes)} at {card.red_cell_px} px a red cell, and this version takes "
            raise ModelError(msg + f"{', '.join(FINDER_CLASSES)} at {RED_CELL_PX}")
        bf16 = uses_bf16(precision, where)
        return cls.of(network, where, threshold=card.threshold, bf16=bf16, name=card.name, sha256=sha256, card=card)

    @classmethod
    def of(cls, network: nn.Module, device: torch.device, **settings: object) -> LearnedCellFinder:
        """Return a finder of a trained network, which is copied to the device as it runs fastest there."""
        ready = network.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return cls(ready, device, **settings)  # type: ignore[arg-type]

    def calibrate(self, samples: Sequence[NDArray[np.uint8]], mpp: float | None = None) -> FieldScale:
        """Learn the scale of a slide: from its resolution if that is known, else from the cells.

        Parameters
        ----------
        samples
            uint8 RGB images of shape ``(h, w, 3)`` from all over the slide, one scale; the image itself for a photo.
        mpp
            Pixel size of the samples in um, if known.

        Raises
        ------
        UsageError
            There is no sample.
        """
        if not samples:
            msg = "a finder needs at least one sample of the slide, found none"
            raise UsageError(msg)
        if mpp is not None:
            return FieldScale(RED_CELL_UM / mpp)
        return FieldScale(red_cell_px(lambda image: self.points(image, self.scale_threshold), samples))

    def find(self, image: NDArray[np.uint8], calibration: FieldScale) -> FoundPoints:
        """Return the cells of an image at the calibration's scale.

        Parameters
        ----------
        image
            uint8 RGB of shape ``(h, w, 3)``.
        calibration
            What `calibrate` returned.
        """
        if calibration.red_cell_px is None:
            return self._wanted(self.points(image, self.threshold)).take(np.zeros(0, np.int64))
        shrink = calibration.red_cell_px / RED_CELL_PX
        seen = image if 1 / NEAR_ENOUGH < shrink < NEAR_ENOUGH else resized(image, shrink)
        found = self._wanted(self.points(seen, self.threshold))
        step_x, step_y = image.shape[1] / seen.shape[1], image.shape[0] / seen.shape[0]
        return replace(
            found,
            x=(found.x + 0.5) * step_x - 0.5,
            y=(found.y + 0.5) * step_y - 0.5,
            radius_px=found.radius_px * (step_x + step_y) / 2,
        )

    def points(self, image: NDArray[np.uint8], threshold: float) -> FoundPoints:
        """Return the cells of all classes in an image that is taken to be at the network's own scale."""
        height, width = image.shape[:2]
        below, right = (BORDER_PX + -length % DEEPEST for length in (height, width))
        padded = np.pad(image, ((BORDER_PX, below), (BORDER_PX, right), (0, 0)), constant_values=GREY)
        with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            maps = self.network(as_input(torch.from_numpy(padded).to(self.device)[None].permute(0, 3, 1, 2)))
        found = decode(maps, threshold, self.apart)
        x, y = found.x - BORDER_PX, found.y - BORDER_PX
        inside = (x >= -0.5) & (y >= -0.5) & (x < width - 0.5) & (y < height - 0.5)
        return replace(found, x=x, y=y).take(inside)

    def _wanted(self, found: FoundPoints) -> FoundPoints:
        return found.take(found.class_index == FINDER_CLASSES.index(self.class_name))
