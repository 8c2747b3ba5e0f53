"""FQPath on a GPU, or with torch on the CPU: the twin of `wsi_patches.imaging.focus`, with the same numbers."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from wsi_patches.errors import UsageError
from wsi_patches.imaging.focus import BINS, FLAT_SCORE, GREY_WEIGHTS, LEAST_RESPONSE, said_of
from wsi_patches.imaging.focus_taps import filter_blocks

__all__ = ["fqpath_torch"]

_PRECISIONS = {torch.float32: "float32", torch.float64: "float64"}

_PIXELS_AT_ONCE = {"cpu": 2**20, "cuda": 2**25}
"""Pixels in one go; each takes some 50 bytes."""


def fqpath_torch(
    images: Tensor | NDArray[Any], device: torch.device | str | None = None, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Return the FQPath focus score, as `wsi_patches.imaging.focus.fqpath` does.

    Parameters
    ----------
    images
        uint8, of a shape that `fqpath` takes.
    device
        Where to compute; by default where the images are.
    dtype
        ``torch.float32`` or ``torch.float64``, of the filters.

    Returns
    -------
    float64 of shape ``()`` or ``(n,)``, on ``device``.

    Raises
    ------
    UsageError
        The images are not uint8 or of another shape, or the dtype is another one.
    """
    if dtype not in _PRECISIONS:
        message = f"focus is computed in torch.float32 or torch.float64, not in {dtype}"
        raise UsageError(message)
    stack = torch.as_tensor(images)
    shape = said_of(tuple(stack.shape), str(stack.dtype).removeprefix("torch."))
    stack = stack if shape else stack[None]
    device = stack.device if device is None else torch.device(device)
    if len(stack) == 0:
        return torch.zeros(shape, dtype=torch.float64, device=device)
    step = max(1, _PIXELS_AT_ONCE.get(device.type, 2**20) // (stack.shape[1] * stack.shape[2]))
    scores = [_scores(_grey(part.to(device)).to(dtype)) for part in torch.split(stack, step)]
    return torch.cat(scores).reshape(shape)


def _grey(images: Tensor) -> Tensor:
    """Return MATLAB's grey, rounded, uint8 of shape ``(n, h, w)``."""
    if images.ndim == 3:
        return images
    weights = torch.tensor(GREY_WEIGHTS, dtype=torch.float64, device=images.device)
    return (images.double() @ weights + 0.5).to(torch.uint8)


def _scores(levels: Tensor) -> Tensor:
    """Return the scores of grey planes, float64 of shape ``(n,)``."""
    across, down = _filtered(levels, 2), _filtered(levels, 1)
    lower, higher = torch.minimum(across, down).flatten(1), torch.maximum(across, down).flatten(1)
    lit = levels.flatten(1) > 0
    responding = (lower > LEAST_RESPONSE) | ((lower > -LEAST_RESPONSE) & (higher > LEAST_RESPONSE) & lit)
    # Pixels without a response lie past the last bin.
    lower, higher = (torch.where(responding, side, torch.inf) for side in (lower.clamp(min=0), higher))
    pixels = responding.sum(1)
    kept = (_kept_share(lower, higher, pixels) * pixels + 0.5).floor().long()
    features = torch.where(responding, (lower.sqrt() + higher.sqrt()) ** 2, 0)
    top = features.topk(int(kept.max()), dim=1).values.double()
    return _scores_of_top(top, kept)


def _filtered(levels: Tensor, axis: int) -> Tensor:
    """Return the planes filtered along an axis, 1 or 2."""
    steps = levels.diff(dim=axis)
    filtered = []
    for block in filter_blocks(levels.shape[axis], _PRECISIONS[levels.dtype]):
        matrix = torch.from_numpy(block.matrix).to(levels.device)
        filtered.append(steps[:, :, block.steps] @ matrix.T if axis == 2 else matrix @ steps[:, block.steps])
    return torch.cat(filtered, dim=axis)


def _kept_share(lower: Tensor, higher: Tensor, pixels: Tensor) -> Tensor:
    """Return the share of the features to keep, of each plane; 0.09 or more, whatever it is for a plane without any."""
    some = pixels > 0
    least = torch.where(some, lower.amin(1), 0).double()
    most = torch.where(torch.isinf(higher), 0, higher).amax(1).double()
    width = (most - least) / BINS

    def cumulated(bins: Tensor | int) -> Tensor:
        upto = (least + bins * width).to(lower.dtype)[:, None]
        return ((lower <= upto).sum(1) + (higher <= upto).sum(1)) / (2 * pixels.clamp(min=1)).double()

    first = cumulated(1)
    goal = first + 0.95 * (1 - first)
    below = torch.zeros_like(pixels)
    for step in (32, 16, 8, 4, 2, 1):
        more = below + step
        below = torch.where((more < BINS) & (cumulated(more) < goal), more, below)
    last = torch.where(some, least + (BINS - 0.5) * width, 1)
    spread = (least + (below - 0.5) * width) / last
    return (1 - torch.tanh(60 * (spread - 0.095))) / 4 + 0.09


def _scores_of_top(top: Tensor, kept: Tensor) -> Tensor:
    """Return the scores of the features, in descending order along axis 1, of which each plane keeps the first few."""
    inside = torch.arange(top.shape[1], device=top.device) < kept[:, None]
    number = kept.clamp(min=1)
    mean = torch.where(inside, top, 0).sum(1) / number
    moment = torch.where(inside, top - mean[:, None], 0).pow(4).sum(1) / number
    least = LEAST_RESPONSE**4
    return torch.where(moment <= least, FLAT_SCORE, -moment.clamp(min=least).log10())
