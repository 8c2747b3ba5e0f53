"""The card of a model that tells the label of a bag of patches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from wsi_patches.errors import ModelError
from wsi_patches.models.card import Card

__all__ = ["BagCard"]


@dataclass(frozen=True, kw_only=True)
class BagCard(Card):
    """The card of a model that tells the label of a bag of patches; its classes are the labels.

    Raises
    ------
    ModelError
        A value cannot be; the message names it.
    """

    kind: Literal["bags"] = "bags"
    bag: Literal["patient", "slide"]
    """What a bag is."""
    encoder: dict[str, Any]
    """`Encoder.identity` of what described the patches that it learnt from."""
    patches: dict[str, Any]
    """Side and resolution of the patches that it learnt from."""
    split: str
    """Which bags it was not trained on, and what they were used for, in a sentence."""
    temperature: float = 1.0
    """Logits are divided by it before the softmax."""
    isotonic: tuple[tuple[float, float], ...] = ()
    """Of two classes: points (said, meant) between which the first class's probability is read off."""

    def __post_init__(self) -> None:
        if not self.temperature > 0 or len(set(self.classes)) != len(self.classes) or len(self.classes) < 2:
            msg = f"card of {self.name}: temperature is above 0 and two or more different labels are named"
            raise ModelError(msg)
        if "encoder" not in self.encoder:
            msg = f"card of {self.name}: encoder does not say which one, found {self.encoder}"
            raise ModelError(msg)
