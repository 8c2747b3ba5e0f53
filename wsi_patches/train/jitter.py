"""What stain, lamp, lens and camera do to colours: jitter of batches, each image by amounts of its own.

Images are float ``(n, 3, h, w)`` of 0 to 1; amounts are drawn by the caller, one an image, ``(n,)`` or ``(n, 3)``.
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil
from typing import Literal

import cv2
import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional

__all__ = ["StainBasis", "jitter_blur", "jitter_jpeg", "jitter_light", "jitter_stain"]

StainBasis = Literal["giemsa", "hed"]
DARKEST = 1 / 255
MIDDLE = 0.5


def jitter_stain(images: Tensor, factors: Tensor, basis: StainBasis) -> Tensor:
    """Multiply how much of each stain there is: in optical density, in which stains add (Tellez et al., TMI 2018).

    Parameters
    ----------
    images
        Float ``(n, 3, h, w)`` of 0 to 1.
    factors
        On the amount of each stain, ``(n, 3)``.
    basis
        ``giemsa``: methyl blue, eosin and a third at right angles; ``hed``: haematoxylin, eosin and DAB.
    """
    to_stain, to_rgb = (matrix.to(images.device) for matrix in _stain_matrices(basis))
    change = torch.einsum("ck,nk,kd->ndc", to_stain, factors.to(images.device), to_rgb)
    density = -images.clamp(DARKEST, 1).log().flatten(2)
    return (-(change @ density)).exp().view_as(images).clamp(0, 1)


@lru_cache
def _stain_matrices(basis: StainBasis) -> tuple[Tensor, Tensor]:
    """Return scikit-image's matrices from densities to stains and back, float32 ``(3, 3)``, for rows."""
    from skimage.color import bex_from_rgb, hed_from_rgb, rgb_from_bex, rgb_from_hed

    matrices = (bex_from_rgb, rgb_from_bex) if basis == "giemsa" else (hed_from_rgb, rgb_from_hed)
    to_stain, to_rgb = (torch.tensor(matrix, dtype=torch.float32) for matrix in matrices)
    return to_stain, to_rgb


def jitter_light(images: Tensor, gain: Tensor, contrast: Tensor, gamma: Tensor) -> Tensor:
    """Change exposure and lamp colour (``gain`` ``(n, 3)``), contrast about middle grey, and gamma, in this order."""
    gain, contrast, gamma = (each.view(len(images), -1, 1, 1).to(images.device) for each in (gain, contrast, gamma))
    lit = ((images * gain - MIDDLE) * contrast + MIDDLE).clamp(0, 1)
    return lit**gamma


def jitter_blur(images: Tensor, sigma_px: Tensor) -> Tensor:
    """Blur by Gaussians of standard deviation ``sigma_px`` ``(n,)``; 0 leaves an image as it is."""
    out, widest = images.clone(), min(images.shape[2:]) - 1
    for row in sigma_px.nonzero().flatten().tolist():
        sigma = float(sigma_px[row])
        side = 2 * min(ceil(3 * sigma), widest) + 1
        out[row] = functional.gaussian_blur(images[row], [side, side], [sigma, sigma])
    return out


def jitter_jpeg(images: Tensor, quality: Tensor) -> Tensor:
    """Compress as JPEG of ``quality`` ``(n,)``, 1 to 100; 0 leaves an image as it is."""
    out = images.clone()
    for row in quality.nonzero().flatten().tolist():
        pixels = (images[row] * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
        encoded = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, int(quality[row])])[1]
        decoded = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR))[..., ::-1].copy()
        out[row] = torch.tensor(decoded).permute(2, 0, 1).to(images.device) / 255
    return out
