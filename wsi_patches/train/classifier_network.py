"""The network that a classifier starts as, and the card that goes with it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from wsi_patches.errors import UsageError
from wsi_patches.models.card import ModelCard
from wsi_patches.models.start import colours_of, load_start
from wsi_patches.models.system import Colours
from wsi_patches.models.systems import find_system
from wsi_patches.train.network_settings import NetworkSettings
from wsi_patches.train.patch_set import PatchSet
from wsi_patches.train.patch_task import PatchView, Pixels

__all__ = [
    "CardWords",
    "changes_of",
    "colours_for",
    "first_card",
    "first_network",
    "plain_values",
    "quick_to_adapt",
]

MOST_MEASURED = 512
BATCH_NORM_MOMENTUM = 0.1
LEAST_STD = 1e-3
UNCHANGED = Colours((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


@dataclass(frozen=True)
class CardWords:
    """What only the maker of a training set knows of a model's card."""

    title: str
    limits: str
    patch_um: float | None
    patch_cell_diameters: float | None
    tree: dict[str, Any] | None = None
    """What the classes are kinds of, as `LabelTree` reads it."""
    blasts: tuple[str, ...] | None = None
    """Which classes are blasts, where these are types of cells."""


def first_network(settings: NetworkSettings, classes: int) -> nn.Module:
    """Return a network before its first step, on the CPU.

    Raises
    ------
    UsageError
        The architecture does not know one of its settings.
    ModelError, MissingExtra
        Weights are asked for and cannot be had.
    """
    system = find_system(settings.architecture)
    with torch.random.fork_rng([]):
        torch.manual_seed(settings.training.seed)
        try:
            if settings.pretrained and system.pretrained is not None and settings.start is None:
                network = system.pretrained(classes, settings.network)
            else:
                network = system.build(classes, **settings.network)
        except TypeError as error:
            msg = f"network: {settings.architecture} does not know these settings: {error}"
            raise UsageError(msg) from error
    if settings.start is not None:
        load_start(network, system.head, settings.start)
    return quick_to_adapt(network)


def quick_to_adapt(network: nn.Module) -> nn.Module:
    """Let the running means and variances follow within tens of steps: a lab's set gives few steps, ImageNet many."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = BATCH_NORM_MOMENTUM
    # Measured: with channels last a CPU trains this network in two thirds of the time.
    return network.to(memory_format=torch.channels_last)


def first_card(settings: NetworkSettings, patches: PatchSet, train: PatchView, words: CardWords) -> ModelCard:
    """Return the card of a network that is yet to be trained."""
    system = find_system(settings.architecture)
    colours = colours_for(settings, train)
    return ModelCard(
        name=settings.name,
        title=words.title,
        architecture=settings.architecture,
        settings=plain_values({name: value for name, value in settings.network.items() if name != "seed"}),
        classes=patches.class_names,
        input_px=settings.input_px,
        mean=colours.mean,
        std=colours.std,
        trained_on=_trained_on(patches, train),
        limits=words.limits,
        licence=settings.licence,
        patch_um=words.patch_um,
        patch_cell_diameters=words.patch_cell_diameters,
        tree=words.tree,
        blasts=words.blasts,
        paper=system.paper,
        doi=system.doi,
        changes=changes_of(settings),
    )


def plain_values(values: dict[str, Any]) -> dict[str, Any]:
    """Return values as they come back from a card's JSON."""
    plain: dict[str, Any] = json.loads(json.dumps(values))
    return plain


def colours_for(settings: NetworkSettings, train: Pixels) -> Colours:
    """Return how the colours of a network's input are to be scaled.

    Parameters
    ----------
    settings
        Of the network.
    train
        The patches that it learns from, some of which are measured where nothing else says how.

    Raises
    ------
    ModelError
        The weights to start from cannot be used.
    """
    if settings.normalisation == "none":
        return UNCHANGED
    known = colours_of(settings.start) or find_system(settings.architecture).colours
    if settings.normalisation == "auto" and known is not None:
        return known
    some = np.unique(np.linspace(0, len(train) - 1, min(len(train), MOST_MEASURED)).round().astype(int))
    pixels = train.read(some).reshape(-1, 3) / np.float64(255)
    if settings.normalisation == "scalar":
        return Colours(_triple([pixels.mean()] * 3), _triple([max(pixels.std(), LEAST_STD)] * 3))
    return Colours(_triple(pixels.mean(axis=0)), _triple(pixels.std(axis=0).clip(LEAST_STD)))


def _triple(values: Iterable[float]) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue


def _trained_on(patches: PatchSet, train: PatchView) -> str:
    rows = np.bincount(train.truth, minlength=len(patches.class_names)).tolist()
    counts = ", ".join(f"{count} {name}" for count, name in zip(rows, patches.class_names, strict=True))
    used = [patches.slides[row] for row in np.unique(patches.slide[train.rows]).tolist()]
    layouts = sorted({item.layout or "a plain folder" for item in used})
    licences = sorted({item.licence for item in used if item.licence})
    terms = f"; data: {'; '.join(licences)}" if licences else ""
    return f"{counts} of {len(used)} slides or fields ({', '.join(layouts)}){terms}"


def changes_of(settings: NetworkSettings) -> str:
    """Return how a network differs from the published one, in a few words."""
    start, system = "from scratch", find_system(settings.architecture)
    if settings.start is not None:
        start = f"from {settings.start.name}"
    elif settings.pretrained and system.pretrained is not None:
        start = f"from {system.origin}"
    return f"{settings.input_px} px input, trained {start} with {settings.training.optimizer}"
