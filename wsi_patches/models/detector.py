"""Boxing and classing cells with a trained detector, at whatever scale a slide has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from wsi_patches.errors import ModelError
from wsi_patches.models.cell_finder import BORDER_PX, NEAR_ENOUGH, RED_CELL_UM, FieldScale, LearnedCellFinder
from wsi_patches.models.cell_scale import resized
from wsi_patches.models.classifier import choose_device
from wsi_patches.models.detector_card import DetectorCard
from wsi_patches.models.detector_network import SeenBoxes
from wsi_patches.models.finder_network import DEEPEST, GREY, as_input
from wsi_patches.models.found_boxes import AS_LINES, FoundBoxes
from wsi_patches.models.precision import uses_bf16
from wsi_patches.models.weights import build_detector

__all__ = ["CellDetector", "Yardstick"]


class Yardstick(Protocol):
    """Whatever measures the cells of a slide that does not state its resolution: a `LearnedCellFinder`."""

    def calibrate(self, samples: Sequence[NDArray[np.uint8]], mpp: float | None = None) -> FieldScale:
        """Return the diameter of a red cell in the samples."""


@dataclass(frozen=True)
class CellDetector:
    """Finds cells, their boxes and their classes; a `wsi_patches.counting.CellFinder`.

    Parameters
    ----------
    network
        A `CellDetectorNet` in evaluation mode, on ``device``.
    card
        What it takes and gives.
    sha256
        Of the weight file.
    yardstick
        Tells the scale of slides that do not state their resolution.
    device
        Where it runs.
    bf16
        Compute in bfloat16: faster where the processor has it, and different in the third digit.
    """

    network: nn.Module
    card: DetectorCard
    sha256: str
    yardstick: Yardstick
    device: torch.device
    bf16: bool = False

    @classmethod
    def load(cls, file: str | Path, device: str = "auto", precision: str = "auto") -> CellDetector:
        """Load a ``.safetensors`` file that training wrote, and the shipped finder beside it; no detector is shipped.

        Parameters
        ----------
        file
            Of a detector.
        device
            ``auto``, ``cpu`` or ``cuda``.
        precision
            ``auto`` for bfloat16 where the processor computes in it, ``fp32`` or ``bf16``.

        Raises
        ------
        ModelError
            There is no such file, or it is damaged, or holds another kind of model.
        UsageError
            The device or its precision is not there.
        """
        if not Path(file).is_file():
            msg = f"no detector {str(file)!r}: give a .safetensors file that `wsi-patches train` wrote by the recipe "
            raise ModelError(msg + "all_idb1_detector")
        where = choose_device(device)
        network, card, sha256 = build_detector(file)
        finder = LearnedCellFinder.load(device=device, precision=precision)
        return cls.of(network, card, sha256, finder, where, bf16=uses_bf16(precision, where))

    @classmethod
    def of(
        cls,
        network: nn.Module,
        card: DetectorCard,
        sha256: str,
        yardstick: Yardstick,
        device: torch.device,
        *,
        bf16: bool = False,
    ) -> CellDetector:
        """Return a detector of a trained network, which is moved to the device as it runs fastest there."""
        ready = network.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return cls(ready, card, sha256, yardstick, device, bf16)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes of the cells that are found."""
        return self.card.classes

    @property
    def blast_names(self) -> tuple[str, ...] | None:
        """Which of the classes are blasts, where they are types of white cells; None where they are not."""
        return self.card.blasts

    @property
    def attribute_values(self) -> Mapping[str, tuple[str, ...]]:
        """What is told of each cell besides: the values of each attribute."""
        return self.card.attributes

    @property
    def working_mpp(self) -> float:
        """Pixel size in um at which red cells are as large as the network takes them."""
        return RED_CELL_UM / self.card.red_cell_px

    def calibrate(self, samples: Sequence[NDArray[np.uint8]], mpp: float | None = None) -> FieldScale:
        """Learn the scale of a slide: from its resolution if that is known, else from the cells that the finder sees.

        Parameters and errors are those of `LearnedCellFinder.calibrate`.
        """
        return self.yardstick.calibrate(samples, mpp)

    def find(self, image: NDArray[np.uint8], calibration: FieldScale) -> FoundBoxes:
        """Return the cells of an image at the calibration's scale.

        Parameters
        ----------
        image
            uint8 RGB of shape ``(h, w, 3)``.
        calibration
            What `calibrate` returned.
        """
        if calibration.red_cell_px is None:
            return FoundBoxes.none(len(self.card.classes), sum(map(len, self.card.attributes.values())))
        shrink = calibration.red_cell_px / self.card.red_cell_px
        seen = image if 1 / NEAR_ENOUGH < shrink < NEAR_ENOUGH else resized(image, shrink)
        found = self.boxes(seen, self.card.threshold)
        return found.scaled(image.shape[1] / seen.shape[1], image.shape[0] / seen.shape[0])

    def boxes(self, image: NDArray[np.uint8], threshold: float) -> FoundBoxes:
        """Return the cells of an image that is taken to be at the network's own scale.

        Those whose centre lies outside of the image are left out; a box may reach over its border.
        """
        height, width = image.shape[:2]
        below, right = (BORDER_PX + -length % DEEPEST for length in (height, width))
        padded = np.pad(image, ((BORDER_PX, below), (BORDER_PX, right), (0, 0)), constant_values=GREY)
        with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            pixels = as_input(torch.from_numpy(padded).to(self.device)[None].permute(0, 3, 1, 2))
            seen = self.network.seen(pixels, threshold, self.card.nms)  # type: ignore[operator]
        return self._found(seen[0], (width, height))

    def _found(self, seen: SeenBoxes, size: tuple[int, int]) -> FoundBoxes:
        """Return what was seen in a padded image as boxes of the image itself."""
        chances = (seen.logits.double() / self.card.temperature).softmax(dim=1)
        edges = seen.lines.double().cpu().numpy() - BORDER_PX - AS_LINES
        found = FoundBoxes(edges, seen.score.cpu().numpy(), chances.cpu().numpy(), self._told(seen))
        width, height = size
        inside = (found.x >= -0.5) & (found.y >= -0.5) & (found.x < width - 0.5) & (found.y < height - 0.5)
        return found.take(inside)

    def _told(self, seen: SeenBoxes) -> NDArray[np.float64] | None:
        """Return the probabilities of the attributes' values."""
        if seen.attributes is None:
            return None
        each = torch.split(seen.attributes.double(), [len(one) for one in self.card.attributes.values()], dim=1)
        chances: NDArray[np.float64] = torch.cat([one.softmax(dim=1) for one in each], dim=1).cpu().numpy()
        return chances
