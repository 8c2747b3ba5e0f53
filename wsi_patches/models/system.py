"""A published network: what a recipe may train and a card may name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

__all__ = ["HALF", "IMAGENET", "Colours", "System"]

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Colours:
    """How the colours of a network's input are scaled: ``(value - mean) / std``, of red, green and blue of 0 to 1."""

    mean: Triple
    std: Triple


HALF = Colours((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
"""From -1 to 1."""
IMAGENET = Colours((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""As networks of torchvision were trained."""


@dataclass(frozen=True)
class System:
    """A network, where it was published, and how it begins."""

    name: str
    """What a card's and a recipe's ``architecture`` says."""
    build: Callable[..., nn.Module]
    """Called with the number of ``classes`` and further settings; draws weights from torch's generator."""
    paper: str
    doi: str = ""
    colours: Colours | None = None
    """What it takes; measured on what it is trained on if None."""
    head: str = "fc"
    """The last layer, or the last few: what no published file of weights holds for other classes."""
    pretrained: Callable[[int, Mapping[str, Any]], nn.Module] | None = None
    """Returns it with published weights that come with a package, from the number of classes and its settings."""
    origin: str = ""
    """Of these weights, with their licence."""
    side: Callable[[Mapping[str, Any]], int | None] = lambda _: None
    """Returns the only side of its input that it takes, in pixels, from its settings; None if it takes any."""
    needs_start: Callable[[Mapping[str, Any]], bool] = lambda _: False
    """Whether a training must be given weights to start from, from its settings: some of its own are frozen."""
