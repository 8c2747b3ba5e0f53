"""What a patch is put through each time that it is shown, so that a network learns what a cell is, not how it lies.

Geometry, stain, light, focus, noise and compression are drawn for each patch by itself, from one generator on the CPU,
so equal seeds give equal patches on every device. torchvision's transforms draw once for a whole batch, and from a
generator that all of the program shares; so its kernels are used here and not its drawing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from wsi_patches.models.colour_input import turn_hue
from wsi_patches.train.checks import check_choices, check_ranges
from wsi_patches.train.frames import Border, Frames, Turn, draw_frames, held_by, uniform
from wsi_patches.train.jitter import StainBasis, jitter_blur, jitter_jpeg, jitter_light, jitter_stain

__all__ = ["HARD_COLOUR", "Augmentation", "as_float"]

RANGES = {
    "degrees": (0, 180),
    "shift": (0, 0.5),
    "scale": (0, 0.9),
    "stain": (0, 0.9),
    "brightness": (0, 0.9),
    "lamp": (0, 0.9),
    "contrast": (0, 0.9),
    "gamma": (0, 0.9),
    "hue": (0, 0.5),
    "saturation": (0, 1),
    "blur_px": (0, 20),
    "blur_share": (0, 1),
    "noise": (0, 0.5),
    "jpeg_quality": (1, 100),
    "jpeg_share": (0, 1),
}


@dataclass(frozen=True)
class Augmentation:
    """What a patch is put through each time that it is shown.

    A knob of ``a`` that is a factor is drawn evenly from 1 - a to 1 + a. Patches come with a `margin`, so that a
    turned, shifted or wider cut shows what is really there.

    Raises
    ------
    UsageError
        A value is unknown or out of range.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    turn: Turn = "full"
    """By any angle (``full``), by a ``small`` one, by ``quarter`` turns, by ``half`` ones (with ``flip``:
    flips along both axes), or not at all."""
    degrees: float = 20.0
    """Of ``turn: small``: the largest angle, either way."""
    border: Border = "mirror"
    """What a cut shows beyond its patch's border, where that has no margin left: the patch as in a mirror, ``black`` as
    torchvision's and MATLAB's turns leave it, or its ``edge`` repeated as Keras does."""
    flip: bool = True
    """Left to right, of every other patch."""
    shift: float = 0.05
    """Largest shift of the centre along x and along y, as a share of the side that is kept."""
    scale: float = 0.15
    """Factor on the side that is kept."""
    stain: float = 0.2
    """Factor on the amount of each stain."""
    stain_basis: StainBasis = "giemsa"
    brightness: float = 0.1
    """Factor on all channels."""
    lamp: float = 0.05
    """Factor on each channel by itself."""
    contrast: float = 0.1
    """Factor on the distance from middle grey."""
    gamma: float = 0.1
    """Exponent, drawn as a factor."""
    hue: float = 0.0
    """Largest turn of the hue either way, in turns of the colour circle."""
    saturation: float = 0.1
    """Factor on the saturation of HSV."""
    blur_px: float = 1.0
    """Largest standard deviation of the blur, in pixels of the cut."""
    blur_share: float = 0.2
    """Share of the patches that are blurred."""
    noise: float = 0.01
    """Largest standard deviation of the noise; white is 1."""
    jpeg_quality: int = 60
    """The lowest; up to 100."""
    jpeg_share: float = 0.1
    """Share of the patches that are compressed."""

    def __post_init__(self) -> None:
        check_ranges(self, RANGES, "the augmentation")
        check_choices(self, {"turn": Turn, "border": Border, "stain_basis": StainBasis})

    @property
    def margin(self) -> float:
        """Side of the patches that are taken, in sides of those that come out."""
        return (1 + self.scale) * held_by(self.turn, self.degrees) + 2 * self.shift

    def apply(self, images: Tensor, size_px: int, generator: torch.Generator) -> Tensor:
        """Return augmented patches, float ``(n, 3, size_px, size_px)`` of 0 to 1.

        Parameters
        ----------
        images
            uint8, or float of 0 to 1, ``(n, 3, s, s)``, `margin` times as wide as what is to be kept.
        size_px
            Side of what comes out.
        generator
            On the CPU.
        """
        frames = self.frames(images, size_px, generator)
        return self.recolour(frames.cut(as_float(images), self.border), generator)

    def frames(self, images: Tensor, size_px: int, generator: torch.Generator) -> Frames:
        """Draw where to cut each image; the frames also say where points and boxes of the images come to lie.

        Parameters
        ----------
        images
            ``(n, c, h, w)``, their shorter side `margin` times as wide as what is to be kept.
        size_px, generator
            As in `apply`.
        """
        height, width = images.shape[2:]
        image_px = torch.tensor([width, height], dtype=torch.float32).expand(len(images), 2)
        kept_px = min(width, height) / self.margin
        return draw_frames(
            image_px, size_px, kept_px, turn=self.turn, flip=self.flip, shift=self.shift, scale=self.scale,
            generator=generator, degrees=self.degrees,
        )  # fmt: skip

    def recolour(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return images with other stain, light, focus, noise and compression, float ``(n, 3, h, w)`` of 0 to 1.

        Parameters
        ----------
        images
            uint8, or float of 0 to 1, ``(n, 3, h, w)``.
        generator
            On the CPU.
        """
        count, out = len(images), as_float(images)

        def factors(spread: float, *shape: int) -> Tensor:
            return uniform((count, *shape), 1 - spread, 1 + spread, generator)

        if self.stain:
            out = jitter_stain(out, factors(self.stain, 3), self.stain_basis)
        if self.brightness or self.lamp or self.contrast or self.gamma:
            gain = factors(self.brightness, 1) * factors(self.lamp, 3)
            out = jitter_light(out, gain, factors(self.contrast), factors(self.gamma))
        if self.hue or self.saturation:
            turn = uniform((count,), -self.hue, self.hue, generator)
            out = turn_hue(out, turn, factors(self.saturation))
        return self._photographed(out, generator)

    def _photographed(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Blur, add noise, compress: in the order in which a microscope's camera does."""
        count = len(images)
        if self.blur_px and self.blur_share:
            images = jitter_blur(images, _of_some(count, self.blur_share, 0, self.blur_px, generator))
        if self.noise:
            spread = uniform((count, 1, 1, 1), 0, self.noise, generator)
            noise = torch.randn(images.shape, generator=generator) * spread
            images = (images + noise.to(images.device)).clamp(0, 1)
        if self.jpeg_share:
            images = jitter_jpeg(images, _of_some(count, self.jpeg_share, self.jpeg_quality, 100, generator).round())
        return images


HARD_COLOUR = Augmentation(stain=0.3, brightness=0.2, lamp=0.35, contrast=0.2, gamma=0.2, hue=1 / 6, saturation=0.5)
"""Colours so far off that only shape and texture can be relied on: each channel x0.65-1.35, hue +-30/180 (of OpenCV's
180, a sixth of the circle), saturation x0.5-1.5, beside stain and light."""


def as_float(images: Tensor) -> Tensor:
    """Return images as float of 0 to 1; only uint8 is scaled."""
    return images / 255 if images.dtype == torch.uint8 else images


def _of_some(count: int, share: float, low: float, high: float, generator: torch.Generator) -> Tensor:
    """Draw evenly between two values for a share of the images, 0 for the others."""
    chosen = torch.rand(count, generator=generator) < share
    return uniform((count,), low, high, generator) * chosen
