"""Counting the cells of patches with a trained network, at whatever scale the patches are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from wsi_patches.errors import ModelError
from wsi_patches.models.card import CounterCard
from wsi_patches.models.cell_finder import RED_CELL_UM
from wsi_patches.models.cell_scale import resized
from wsi_patches.models.classifier import check_patches, choose_device
from wsi_patches.models.finder_network import DEEPEST, as_input
from wsi_patches.models.precision import uses_bf16
from wsi_patches.models.weights import build_counter

__all__ = ["CellCounter"]

MOST_PX = 2_000_000
"""Pixels that the network looks at in one go."""


@dataclass(frozen=True)
class CellCounter:
    """Says how many cells of each class lie where in a patch.

    Parameters
    ----------
    network
        In evaluation mode, on ``device``.
    card
        What it takes and gives.
    sha256
        Of the weight file.
    device
        Where it runs.
    bf16
        Compute in bfloat16: faster where the processor has it, and different in the third digit.
    """

    network: nn.Module
    card: CounterCard
    sha256: str
    device: torch.device
    bf16: bool = False

    @classmethod
    def load(cls, file: str | Path, device: str = "auto", precision: str = "auto") -> CellCounter:
        """Load a ``.safetensors`` file that training wrote; no counter comes with the package.

        Parameters
        ----------
        file
            Of a counter.
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
            msg = f"no counter {str(file)!r}: give a .safetensors file that `wsi-patches train all_idb1_counts` wrote"
            raise ModelError(msg)
        where = choose_device(device)
        network, card, sha256 = build_counter(file)
        return cls.of(network, card, sha256, where, bf16=uses_bf16(precision, where))

    @classmethod
    def of(
        cls, network: nn.Module, card: CounterCard, sha256: str, device: torch.device, *, bf16: bool = False
    ) -> CellCounter:
        """Return a counter of a trained network, which is copied to the device as it runs fastest there."""
        ready = network.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return cls(ready, card, sha256, device, bf16)

    @property
    def working_mpp(self) -> float:
        """Pixel size in um at which red cells are as large as the network takes them."""
        return RED_CELL_UM / self.card.red_cell_px

    def input_px(self, side_px: int, red_cell_px: float) -> int:
        """Return the side of what the network sees of a patch: a multiple of 16, the nearest to its own scale."""
        return DEEPEST * max(1, round(side_px * self.card.red_cell_px / red_cell_px / DEEPEST))

    def densities(self, patches: NDArray[np.uint8], red_cell_px: float) -> tuple[NDArray[np.float32], float]:
        """Return how many cells of each class lie in each place.

        Parameters
        ----------
        patches
            uint8 RGB ``(n, s, s, 3)``.
        red_cell_px
            Diameter of a red cell in them.

        Returns
        -------
        float32 ``(n, classes, k, k)``, classes in the card's order, and how many pixels of a patch a place is wide.

        Raises
        ------
        UsageError
            The patches are of another shape or kind.
        """
        check_patches(patches)
        side = patches.shape[1]
        seen_px = self.input_px(side, red_cell_px)
        at_once = max(1, MOST_PX // seen_px**2)
        parts = [self._batch(patches[start : start + at_once], seen_px) for start in range(0, len(patches), at_once)]
        return np.concatenate(parts), side / parts[0].shape[-1]

    @torch.inference_mode()
    def _batch(self, patches: NDArray[np.uint8], seen_px: int) -> NDArray[np.float32]:
        if patches.shape[1] != seen_px:
            patches = np.stack([resized(patch, patch.shape[0] / seen_px) for patch in patches])
        images = torch.from_numpy(patches).to(self.device).permute(0, 3, 1, 2)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            density: torch.Tensor = self.network(as_input(images))
        return np.asarray(density.float().cpu().numpy(), np.float32)
