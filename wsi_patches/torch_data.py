"""Patches for PyTorch: a map-style data set over any patch source or array, and the jitter that training adds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.utils.data import Dataset

from wsi_patches.errors import UsageError
from wsi_patches.patch import PatchSource

__all__ = ["ArrayPatches", "PatchDataset", "PatchJitter", "PatchReader"]

Sample = tuple[Tensor, Tensor]


class PatchReader(Protocol):
    """The part of a `PatchSource` that training needs."""

    def __len__(self) -> int: ...

    def read(self, positions: ArrayLike) -> NDArray[np.uint8]:
        """Return the patches at ``positions``, uint8 RGB ``(n, h, w, 3)``."""


@dataclass(frozen=True)
class ArrayPatches:
    """Patches that are in memory already."""

    images: NDArray[np.uint8]
    """uint8 RGB ``(n, h, w, 3)``."""

    def __len__(self) -> int:
        return len(self.images)

    def read(self, positions: ArrayLike) -> NDArray[np.uint8]:
        """Return the patches at ``positions``."""
        return self.images[np.asarray(positions, np.int64)]


class PatchDataset(Dataset[Sample]):
    """Pairs of image, uint8 ``(3, h, w)``, and label.

    A batch is one read of the source. Workers of a ``DataLoader`` get the source by pickling, as a slide's or a
    store's path.

    Parameters
    ----------
    patches
        Any `PatchSource`, or arrays in memory as `ArrayPatches`.
    labels
        One row a patch: class indices ``(n,)``, or presence of each class ``(n, classes)``.

    Raises
    ------
    UsageError
        There is not one label for each patch.
    """

    def __init__(self, patches: PatchReader, labels: ArrayLike) -> None:
        self.patches = patches
        self.labels = torch.tensor(np.asarray(labels))
        if len(self.labels) != len(patches):
            msg = f"{len(self.labels)} labels were given for {len(patches)} patches"
            raise UsageError(msg)

    @classmethod
    def from_source(cls, source: PatchSource) -> PatchDataset:
        """Take the labels from a source: 1.0 for each class that has a cell in the patch, float32 ``(n, classes)``.

        Raises
        ------
        UsageError
            The source has no annotations.
        """
        if source.labels is None:
            msg = "these patches have no labels: extract them with --annotations, or give labels"
            raise UsageError(msg)
        return cls(source, (source.labels > 0).astype(np.float32))

    def __len__(self) -> int:
        return len(self.patches)

    def __getitem__(self, position: int) -> Sample:
        return self.__getitems__([position])[0]

    def __getitems__(self, positions: Sequence[int]) -> list[Sample]:
        images = torch.tensor(self.patches.read(positions)).permute(0, 3, 1, 2)
        return list(zip(images, self.labels[list(positions)], strict=True))


@dataclass(frozen=True)
class PatchJitter:
    """Random flips, quarter turns, shifts, scale and stain, drawn for each patch of a batch.

    It takes patches with a margin and cuts them, so that a shift or a wider view shows what is really there.
    """

    shift: float = 0.1
    """Largest shift of the centre along x and along y, as a share of half the side that is kept."""
    scale: float = 0.15
    """The side that is kept varies by this share, up and down."""
    stain: float = 0.15
    """Standard deviation of the log of the factor on each channel's optical density."""
    brightness: float = 0.1
    """Standard deviation of the log of the factor on all pixels."""

    def __post_init__(self) -> None:
        for name in ("shift", "scale"):
            if not 0 <= getattr(self, name) <= 0.5:
                msg = f"{name} of the jitter must be 0 to 0.5, got {getattr(self, name)}"
                raise UsageError(msg)
        for name in ("stain", "brightness"):
            if not 0 <= getattr(self, name) <= 1:
                msg = f"{name} of the jitter must be 0 to 1, got {getattr(self, name)}"
                raise UsageError(msg)

    @property
    def margin(self) -> float:
        """Side of the patches that are taken, in sides of those that come out."""
        return 1 + self.shift + self.scale

    def apply(self, images: Tensor, size_px: int, generator: torch.Generator) -> Tensor:
        """Return jittered patches.

        Parameters
        ----------
        images
            Float ``(n, 3, s, s)`` of 0 to 1, `margin` times as wide as what is to be kept.
        size_px
            Side of what comes out.
        generator
            On the CPU, so that a seed means the same on every device.
        """
        grid = torch.nn.functional.affine_grid(
            self._frames(len(images), generator).to(images.device), [len(images), 3, size_px, size_px], False
        )
        cut = torch.nn.functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
        gamma, gain = (
            (torch.randn((len(images), channels, 1, 1), generator=generator) * spread).exp().to(images.device)
            for channels, spread in ((3, self.stain), (1, self.brightness))
        )
        # A power of the transmitted light is a factor on the optical density.
        return (cut.clamp(1 / 255, 1) ** gamma * gain).clamp(0, 1)

    def _frames(self, count: int, generator: torch.Generator) -> Tensor:
        """Return, for each patch, the 2x3 map from the frame that comes out (-1 to 1) to the frame that goes in."""
        turns = torch.randint(0, 4, (count,), generator=generator) * (torch.pi / 2)
        cosine, sine = turns.cos().round(), turns.sin().round()
        flip = torch.randint(0, 2, (count,), generator=generator) * 2.0 - 1
        side = (1 + self.scale * _symmetric((count,), generator)) / self.margin
        shift = self.shift / self.margin * _symmetric((count, 2), generator)
        rows = [side * cosine * flip, -side * sine, shift[:, 0], side * sine * flip, side * cosine, shift[:, 1]]
        return torch.stack(rows, dim=1).view(count, 2, 3)


def _symmetric(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Draw evenly from -1 to 1."""
    return torch.rand(shape, generator=generator) * 2 - 1
