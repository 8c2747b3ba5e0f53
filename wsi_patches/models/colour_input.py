"""What a network sees of colours: all of them, or what other lamps and stains leave as it is."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

__all__ = ["COLOURS", "OneStain", "turn_hue"]

WHITE_SHARE = 0.95
"""Share of the pixels of a channel that are darker than its white: glass or plasma, without the brightest specks."""
DARKEST_WHITE = 0.1
EVERY_PX = 3
"""White is told from every third row and column: sorting all pixels would take as long as a small network."""
HUE, CHROMA = 0.75, 0.4
"""Of nuclei as they are shown: violet, in turns of the colour circle, and on a scale from 0 to 1."""
LEAST_CHROMA, MOST_CHANGE = 0.02, 5.0
SPREAD, LEAST_SPREAD = 0.5, 0.02
"""Standard deviation of what comes out, about that of pictures on a scale from -1 to 1; and of what goes in."""


def turn_hue(images: Tensor, turn: Tensor, saturation: Tensor) -> Tensor:
    """Turn the hue and multiply the saturation of HSV.

    Parameters
    ----------
    images
        Float ``(n, 3, h, w)`` of 0 to 1.
    turn
        In turns of the colour circle, ``(n,)``: 1/6 makes red yellow.
    saturation
        Factor, ``(n,)``.
    """
    turn, saturation = (each.view(-1, 1, 1, 1).to(images.device) for each in (turn, saturation))
    value, least = images.amax(1, keepdim=True), images.amin(1, keepdim=True)
    chroma = value - least
    red, green, blue = ((images - least) / chroma.clamp_min(1e-6)).chunk(3, dim=1)
    # Where a channel is the largest it is 1 in these units, and the others say how far the hue is to either side.
    sextant = torch.where(red == 1, green - blue, torch.where(green == 1, 2 + blue - red, 4 + red - green))
    sextant = sextant + 6 * turn
    chroma = torch.minimum(chroma * saturation, value)
    place = (sextant + images.new_tensor([5.0, 3.0, 1.0]).view(1, 3, 1, 1)) % 6
    return value - chroma * torch.minimum(place, 4 - place).clamp(0, 1)


class OneStain(nn.Module):
    """Show a network all fields as if stain, lamp and camera were one: it sees only how colours differ within a field.

    Each channel is divided by its white, which takes the lamp's colour away. Hue is turned and saturation multiplied
    so that what is dark and colourful, nuclei above all, is always of one violet; red cells keep their difference from
    it. Mean 0 and one spread for each image take away exposure and contrast. Nothing is learnt, so a weight file holds
    nothing of it.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return float ``(n, 3, h, w)`` of images ``(n, 3, h, w)`` of -1 to 1."""
        light = (x + 1) / 2
        sampled = light[..., ::EVERY_PX, ::EVERY_PX].flatten(2)
        white = sampled.quantile(WHITE_SHARE, dim=2)[..., None, None].clamp_min(DARKEST_WHITE)
        shown = self._one_hue((light / white).clamp(0, 1))
        spread = shown.std(dim=(1, 2, 3), keepdim=True) + LEAST_SPREAD
        return (shown - shown.mean(dim=(1, 2, 3), keepdim=True)) / spread * SPREAD

    @staticmethod
    def _one_hue(balanced: Tensor) -> Tensor:
        red, green, blue = balanced.unbind(1)
        least = balanced.amin(1)
        chroma = balanced.amax(1) - least
        weight = chroma**2 * (1 - least) ** 2
        # A hue is an angle: its mean is that of unit vectors.
        along = (2 * red - green - blue) / 2 / chroma.clamp_min(1e-6)
        across = math.sqrt(3) / 2 * (green - blue) / chroma.clamp_min(1e-6)
        hue = torch.atan2((weight * across).sum((1, 2)), (weight * along).sum((1, 2))) / math.tau
        usual = (weight * chroma).sum((1, 2)) / weight.sum((1, 2)).clamp_min(1e-6)
        change = (CHROMA / usual.clamp_min(LEAST_CHROMA)).clamp(1 / MOST_CHANGE, MOST_CHANGE)
        return turn_hue(balanced, HUE - hue, change)


COLOURS: dict[str, type[nn.Module]] = {"rgb": nn.Identity, "one_stain": OneStain}
"""What a network's ``colour`` may be."""
