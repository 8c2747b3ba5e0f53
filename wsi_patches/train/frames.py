"""Where augmented patches are cut: turned, flipped, shifted and scaled squares, and what lies in them."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, radians, sin, sqrt
from typing import Literal

import torch
from torch import Tensor, nn

__all__ = ["Border", "Frames", "Turn", "draw_frames", "held_by", "uniform"]

Turn = Literal["none", "half", "quarter", "small", "full"]
Border = Literal["mirror", "black", "edge"]
PADDING: dict[Border, str] = {"mirror": "reflection", "black": "zeros", "edge": "border"}
"""PyTorch's words."""
UPRIGHT = ("none", "half", "quarter")
"""Turns after which a square's sides are along x and y again."""


def held_by(turn: Turn, degrees: float) -> float:
    """Return the side of the upright square that holds a turned one, over that one's side."""
    if turn in UPRIGHT:
        return 1.0
    angle = radians(min(degrees, 45))
    return cos(angle) + sin(angle) if turn == "small" else sqrt(2)


def uniform(shape: tuple[int, ...], low: float, high: float, generator: torch.Generator) -> Tensor:
    """Draw evenly between two values, float32, on the CPU."""
    return low + (high - low) * torch.rand(shape, generator=generator)


@dataclass(frozen=True)
class Frames:
    """A square to cut from each image of a batch, in that image's pixels; the first pixel's centre is (0, 0)."""

    centre: Tensor
    """float32 ``(n, 2)``, x and y."""
    step: Tensor
    """float32 ``(n, 2, 2)``: how far a step of one pixel along x and along y (columns) of the cut goes in the image."""
    size_px: int
    """Side of what is cut, in pixels of its own."""

    def __len__(self) -> int:
        return len(self.centre)

    @property
    def zoom(self) -> Tensor:
        """How much larger things are in the cut than in the image, float32 ``(n,)``."""
        return 1 / self.step.det().abs().sqrt()

    def cut(self, images: Tensor, border: Border = "mirror") -> Tensor:
        """Return the squares, bilinear.

        Parameters
        ----------
        images
            Float ``(n, c, h, w)``.
        border
            What lies beyond an image's border: the image as in a mirror, black, or its edge repeated.

        Returns
        -------
        float ``(n, c, size_px, size_px)``
        """
        side = images.new_tensor(images.shape[:1:-1])
        half = torch.cat([self.step * self.size_px / 2, (self.centre + 0.5)[..., None]], dim=2).to(images.device)
        theta = 2 * half / side[:, None]
        theta[:, :, 2] -= 1
        shape = [len(images), images.shape[1], self.size_px, self.size_px]
        grid = nn.functional.affine_grid(theta, shape, align_corners=False)
        return nn.functional.grid_sample(images, grid, padding_mode=PADDING[border], align_corners=False)

    def points(self, row: int, xy: Tensor) -> Tensor:
        """Return where points ``(k, 2)`` of image ``row`` lie in its cut; they may lie outside."""
        inverse = self.step[row].inverse().to(xy.dtype)
        return (xy - self.centre[row].to(xy.dtype)) @ inverse.T + (self.size_px - 1) / 2

    def boxes(self, row: int, boxes: Tensor) -> Tensor:
        """Return where boxes of image ``row`` lie in its cut.

        What is moved is the ellipse that fills the box, as cells do: the corners of a turned box would make it grow.

        Parameters
        ----------
        row
            Of the batch.
        boxes
            Float ``(k, 4)``: centre x, centre y, width, height.
        """
        inverse = self.step[row].inverse().to(boxes.dtype)
        sides = (boxes[:, None, 2:] * inverse).norm(dim=2)
        return torch.cat([self.points(row, boxes[:, :2]), sides], dim=1)


def draw_frames(
    image_px: Tensor,
    size_px: int,
    kept_px: float,
    *,
    turn: Turn,
    flip: bool,
    shift: float,
    scale: float,
    generator: torch.Generator,
    degrees: float = 0.0,
) -> Frames:
    """Draw a frame around the centre of each image.

    Parameters
    ----------
    image_px
        Width and height of each image, ``(n, 2)``.
    size_px
        Side of the cut in its own pixels.
    kept_px
        Usual side of the cut in the image's pixels.
    turn, flip, shift, scale, degrees
        As `Augmentation` has them.
    generator
        On the CPU.
    """
    count = len(image_px)
    quarters = torch.randint(0, 4, (count,), generator=generator) / 4
    turns = {"none": torch.zeros(count), "half": quarters * 2 % 1, "quarter": quarters}
    share = turns[turn] if turn in turns else torch.rand(count, generator=generator)
    angle = (2 * share - 1) * radians(degrees) if turn == "small" else share * 2 * torch.pi
    cosine, sine = (angle.cos().round(), angle.sin().round()) if turn in UPRIGHT else (angle.cos(), angle.sin())
    mirrored = torch.randint(0, 2, (count,), generator=generator) * 2.0 - 1 if flip else torch.ones(count)
    step = torch.stack([cosine * mirrored, -sine, sine * mirrored, cosine], dim=1).view(count, 2, 2)
    step = step * (kept_px / size_px * (1 + uniform((count, 1, 1), -scale, scale, generator)))
    centre = (image_px - 1) / 2 + uniform((count, 2), -shift, shift, generator) * kept_px
    return Frames(centre, step, size_px)
