"""What an encoder is: a network that is never trained here, and what it takes and gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

__all__ = ["Encoder"]


@dataclass(frozen=True)
class Encoder:
    """One encoder: what it takes, what it gives and where it comes from."""

    name: str
    dim: int
    """Features of a patch."""
    input_px: int
    """Side of the square input in pixels; patches of another side are resized."""
    mean: tuple[float, float, float]
    """Subtracted from red, green and blue of 0 to 1."""
    std: tuple[float, float, float]
    """Red, green and blue are then divided by it."""
    sha256: str
    """Of the weight file."""
    licence: str
    """Of the weights."""
    load: Callable[[], nn.Module]
    """Returns the network on the CPU, in evaluation mode: ``(n, 3, input_px, input_px)`` to ``(n, dim)``."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What else its features depend on, as JSON values."""
    shape: tuple[int, ...] = ()
    """Rows, columns and channels where its features are a map, one row after the other; empty where they have no order.
    """

    @property
    def identity(self) -> dict[str, Any]:
        """All that its features depend on, as JSON values."""
        own = {"encoder": self.name, "sha256": self.sha256, "dim": self.dim, "input_px": self.input_px}
        return {**own, **self.details}
