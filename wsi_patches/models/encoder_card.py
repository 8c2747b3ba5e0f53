"""The card of a network that learnt from patches without labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from wsi_patches.errors import ModelError
from wsi_patches.models.card import Card

__all__ = ["EncoderCard"]


@dataclass(frozen=True, kw_only=True)
class EncoderCard(Card):
    """The card of a network that describes patches, and was taught no classes.

    Raises
    ------
    ModelError
        A value cannot be; the message names it.
    """

    kind: Literal["encoder"] = "encoder"
    input_px: int
    """Side of the square input in pixels."""
    mean: tuple[float, float, float]
    """Subtracted from red, green and blue of 0 to 1."""
    std: tuple[float, float, float]
    """Red, green and blue are then divided by it."""
    dim: int
    """Features of a patch."""
    split: str
    """Which slides it did not learn from, in a sentence."""

    def __post_init__(self) -> None:
        if self.classes or self.input_px < 1 or self.dim < 1 or min(self.std) <= 0:
            msg = f"card of {self.name}: input_px, dim and std are above 0, and an encoder has no classes"
            raise ModelError(msg)
