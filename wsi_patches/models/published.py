"""The published systems: a card each, in ``cards/``, read without loading torch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import ClassVar

from wsi_patches.errors import ModelError

__all__ = ["CARDS", "PublishedSystem", "published_systems", "read_card"]

CARDS = Path(__file__).parent / "cards"


@dataclass(frozen=True)
class PublishedSystem:
    """A published system: what it is, and what ours changes; every text is for people, in Markdown."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    name: str
    """That of its card's file."""
    title: str
    paper: str
    """Authors, title, where and when."""
    data: str
    """What it was published on."""
    input: str
    """Side of its input, what is cropped, how it is augmented."""
    normalisation: str
    """How colours are scaled."""
    classes: str
    licence: str
    """Of the published code and weights, and what that means here."""
    changed: str
    """What ours does otherwise, and the names of the switches that do it as published."""
    reported: str
    """What the paper reports, or that it is not known."""
    doi: str = ""
    code: str = ""
    """The authors' own, as owner/name or an address."""
    module: str | None = None
    """File in ``wsi_patches/models/`` whose ``SYSTEM`` or ``SYSTEMS`` recipes may name; None if it has none of its
    own."""
    networks: tuple[str, ...] = ()
    """What its recipes train, names in `wsi_patches.models.systems.SYSTEMS`."""
    parameters: str = ""
    """How many the networks have, with how many outputs."""
    recipes: tuple[str, ...] = ()
    """Names in ``configs/``."""


@cache
def published_systems() -> tuple[PublishedSystem, ...]:
    """Return all cards, by name.

    Raises
    ------
    ModelError
        A card lacks a key, has one too many, or is named otherwise than its file.
    """
    return tuple(read_card(path) for path in sorted(CARDS.glob("*.yaml")))


def read_card(path: Path) -> PublishedSystem:
    """Read one card; errors are those of `published_systems`."""
    import yaml
    from pydantic import TypeAdapter, ValidationError

    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        card = TypeAdapter(PublishedSystem).validate_python(values)
    except (OSError, yaml.YAMLError, ValidationError) as error:
        msg = f"card {path} cannot be used: {' '.join(str(error).split())}"
        raise ModelError(msg) from error
    if card.name != path.stem:
        msg = f"card {path} is of {card.name!r}: name the file as the system"
        raise ModelError(msg)
    return card
