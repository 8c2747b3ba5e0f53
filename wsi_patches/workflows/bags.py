"""``wsi-patches bags STORE --model FILE``: the label of each slide or patient by its patches, and which counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from wsi_patches.datasets import assign_ids
from wsi_patches.errors import ModelError, UsageError
from wsi_patches.evaluate.tables import write_table
from wsi_patches.locations import Location
from wsi_patches.pipeline import Progress
from wsi_patches.workflows.bag_pictures import write_bag
from wsi_patches.workflows.output import Existing, check_output, clear_output, make_folder
from wsi_patches.workflows.store_bags import FoundBags, describe_stores, find_store_bags

if TYPE_CHECKING:
    from wsi_patches.models.bag_card import BagCard
    from wsi_patches.models.encoders import FrozenEncoder
    from wsi_patches.train.bags import Bag

__all__ = ["LABELS", "BagsResult", "BagsSettings", "SaidBag", "label_bags"]

LABELS = "labels.csv"
"""Written last: what makes a folder an output of ``bags``."""
COLUMNS = ("id", "group", "truth", "predicted")
MOST_TOP = 48


@dataclass(frozen=True)
class BagsSettings:
    """What ``bags`` is asked to do; the keys of a recipe, and the command's options.

    Raises
    ------
    UsageError
        A value is out of range.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    stores: tuple[Location, ...]
    model: Path
    """Weights that ``wsi-patches train slide_bags`` wrote."""
    out: Path
    encoder: str | None = None
    """A YAML file of the encoder that the model learnt with; one that comes with the package is found by itself."""
    labels: Path | None = None
    """True labels, a CSV table; the stores' own if None."""
    top: int = 12
    """Patches of the highest attention that are shown of each bag; 0 draws no pictures."""
    device: str = "auto"
    overwrite: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.top <= MOST_TOP:
            msg = f"top must lie in 0..{MOST_TOP}, got {self.top}"
            raise UsageError(msg)
        if not self.stores:
            msg = "name a store of patches, as `wsi-patches extract` writes it"
            raise UsageError(msg)


@dataclass(frozen=True)
class SaidBag:
    """What a model says of one bag."""

    bag: Bag
    probabilities: NDArray[np.float32]
    """Of each label, shape ``(classes,)``."""
    attention: NDArray[np.float32]
    """Of each of its patches, shape ``(n,)``; they sum to 1."""


@dataclass(frozen=True)
class BagsResult:
    """What was said."""

    table: Path
    card: BagCard
    said: tuple[SaidBag, ...]
    notes: tuple[str, ...]


def label_bags(settings: BagsSettings, progress: Progress | None = None) -> BagsResult:
    """Tell the label of each slide or patient of some stores, and write which patches it went by.

    Raises
    ------
    UsageError
        What was asked cannot be done.
    ModelError
        The model or its encoder cannot be used.
    StoreError
        A store cannot be read.
    OutputExists
        The folder is there and is not to be replaced.
    """
    from wsi_patches.models.weights import build_aggregator
    from wsi_patches.train.bag_task import said_of

    existing = Existing(overwrite=settings.overwrite)
    ours = (settings.out / LABELS).is_file()
    there = check_output(settings.out, existing, ours=ours, what="an output of bags", resumable=False)
    network, card, _ = build_aggregator(settings.model)
    encoder = _encoder(settings, card)
    found = find_store_bags(settings.stores, card.bag, settings.labels)
    features = describe_stores(found.patches, encoder, progress)
    network.to(encoder.device)
    said = []
    for bag in found.bags:
        logits, attention = said_of(network, features[bag.rows], encoder.device)
        said.append(SaidBag(bag, _probabilities(logits, card), attention))
    if there:
        clear_output(settings.out)
    make_folder(settings.out)
    _write(settings, card, found, said)
    return BagsResult(settings.out / LABELS, card, tuple(said), (*found.notes, *_notes(found, card)))


def _encoder(settings: BagsSettings, card: BagCard) -> FrozenEncoder:
    """Return the very encoder that the model learnt with.

    Raises
    ------
    ModelError
        It is another, or is not known by its name.
    """
    from wsi_patches.models.encoders import ENCODERS, FrozenEncoder

    name = str(card.encoder["encoder"])
    if settings.encoder is None and name not in ENCODERS:
        msg = f"{settings.model} learnt from features of the encoder {name}: give its file with --encoder FILE.yaml"
        raise ModelError(msg)
    encoder = FrozenEncoder.load(settings.encoder or name, settings.device)
    if encoder.encoder.identity != card.encoder:
        wanted, has = card.encoder.get("sha256", "none"), encoder.encoder.sha256
        msg = (
            f"{settings.model} learnt from features of {name} (weights {wanted[:12]}...), and {encoder.encoder.name} "
            f"(weights {has[:12]}...) is another: give the encoder that it was trained with"
        )
        raise ModelError(msg)
    return encoder


def _probabilities(logits: NDArray[np.float32], card: BagCard) -> NDArray[np.float32]:
    from wsi_patches.models.classifier import meant
    from wsi_patches.train.calibrate import tempered

    said: NDArray[np.float32] = meant(tempered(logits[None], card.temperature), card)[0]
    return said


def _notes(found: FoundBags, card: BagCard) -> tuple[str, ...]:
    if found.patches.cut == card.patches:
        return ()
    return (
        f"the model learnt from patches of {card.patches}, and these are of {found.patches.cut}: labels may be off",
    )


def _write(settings: BagsSettings, card: BagCard, found: FoundBags, said: Sequence[SaidBag]) -> None:
    """Write a folder a bag, and, last, the table of all."""
    folders = assign_ids([(f"{one.bag.id}.bag", "") for one in said])
    for name, one in zip(folders, said, strict=True):
        folder = settings.out / "bags" / name
        make_folder(folder)
        write_bag(folder, card, found, one.bag, one.probabilities, one.attention, settings.top)
    columns = [*COLUMNS, *(f"p_{name}" for name in card.classes), "slides", "patches", "folder"]
    rows = [[*_row(one, card), f"bags/{name}"] for name, one in zip(folders, said, strict=True)]
    write_table(settings.out / LABELS, columns, rows)


def _row(said: SaidBag, card: BagCard) -> list[str]:
    bag, p = said.bag, said.probabilities
    truth = bag.label if bag.label in card.classes else ""
    shares = [f"{value:.9g}" for value in p.tolist()]
    named = [bag.id, bag.group or bag.id, str(truth), card.classes[int(p.argmax())]]
    return [*named, *shares, str(len(bag.slides)), str(len(bag.rows))]
