"""Views of patches: squares of different size and place, in another stain and light, and how alike they come out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from wsi_patches.train.augment import Augmentation, as_float
from wsi_patches.train.frames import draw_frames

__all__ = ["cut_views", "found_again", "spread"]


def cut_views(
    images: Tensor, size_px: int, share: tuple[float, float], look: Augmentation, generator: torch.Generator
) -> Tensor:
    """Return one view of each patch, float ``(n, 3, size_px, size_px)`` of 0 to 1.

    Parameters
    ----------
    images
        uint8 or float of 0 to 1, ``(n, 3, s, s)``.
    size_px
        Side of what comes out.
    share
        Smallest and largest side of a view, in sides of the patch; it lies anywhere on it, and what little sticks out
        is as in a mirror.
    look
        How it is turned and recoloured; its shift and scale are not looked at.
    generator
        On the CPU.
    """
    side, (low, high) = float(images.shape[-1]), share
    middle = (low + high) / 2
    frames = draw_frames(
        torch.full((len(images), 2), side), size_px, middle * side, turn=look.turn, flip=look.flip,
        shift=(1 - middle) / (2 * middle), scale=(high - low) / (high + low), generator=generator,
        degrees=look.degrees,
    )  # fmt: skip
    return look.recolour(frames.cut(as_float(images), look.border), generator)


def found_again(first: Tensor, second: Tensor) -> float:
    """Return the share of patches whose one view lies nearer to their other than to any other patch's, by the cosine.

    Parameters
    ----------
    first, second
        Features of two views of the same patches, ``(n, dim)`` each.
    """
    one, other = (nn.functional.normalize(features.float(), dim=1) for features in (first, second))
    nearest = (one @ other.T).argmax(dim=1)
    return float((nearest == torch.arange(len(one), device=one.device)).float().mean())


def spread(features: Tensor) -> float:
    """Return how widely features ``(n, dim)`` are spread once they have length 1, times the root of ``dim``.

    About 1 where all directions are used alike, 0 where all patches have come to the same vector (Chen and He, CVPR
    2021, section 4.1).
    """
    scaled = nn.functional.normalize(features.float(), dim=1)
    return float(scaled.std(dim=0).mean() * scaled.shape[1] ** 0.5)
