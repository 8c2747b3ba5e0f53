"""What a network sees of colours: all of them, or only what other lamps and stains leave as it is."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["COLOURS", "DarkestChannel"]

WHITE_SHARE = 0.95
"""Share of the pixels of a channel that are darker than its white: glass or plasma, without the brightest specks."""
DARKEST_WHITE = 0.1
EVERY_PX = 3
"""White is told from every third row and column: sorting all pixels would take as long as a small network."""
SPREAD = 0.5
"""Standard deviation of what comes out, about that of pictures on a scale from -1 to 1."""
LEAST_SPREAD = 0.02


class DarkestChannel(nn.Module):
    """Show a network no colour: the darkest channel of each pixel, after a white balance, three times.

    Each channel is divided by its white, which takes the lamp's colour away. The darkest channel, in which stained
    nuclei stand out most, does not change with the hue of HSV. Mean 0 and one spread for each image take away most of
    what saturation, exposure and contrast do. Nothing is learnt, so a weight file holds nothing of it.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return float ``(n, 3, h, w)`` of images ``(n, 3, h, w)`` of -1 to 1."""
        light = (x + 1) / 2
        sampled = light[..., ::EVERY_PX, ::EVERY_PX].flatten(2)
        white = sampled.quantile(WHITE_SHARE, dim=2)[..., None, None].clamp_min(DARKEST_WHITE)
        darkest = (light / white).clamp(0, 1).amin(dim=1, keepdim=True)
        spread = darkest.std(dim=(2, 3), keepdim=True) + LEAST_SPREAD
        return ((darkest - darkest.mean(dim=(2, 3), keepdim=True)) / spread * SPREAD).expand(-1, 3, -1, -1)


COLOURS: dict[str, type[nn.Module]] = {"rgb": nn.Identity, "darkest": DarkestChannel}
"""What a network's ``colour`` may be."""
