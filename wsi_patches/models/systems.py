"""The table of the networks that classify patches: those of every file that a card in ``cards/`` names."""

from __future__ import annotations

from importlib import import_module

from wsi_patches.errors import ModelError
from wsi_patches.models.published import published_systems
from wsi_patches.models.system import System

__all__ = ["SYSTEMS", "find_system"]


def _systems_of(module: str) -> tuple[System, ...]:
    home = import_module(f"wsi_patches.models.{module}")
    several: tuple[System, ...] = getattr(home, "SYSTEMS", ())
    return several or (home.SYSTEM,)


SYSTEMS: dict[str, System] = {
    one.name: one for card in published_systems() if card.module is not None for one in _systems_of(card.module)
}


def find_system(name: str) -> System:
    """Return a network by its name.

    Raises
    ------
    ModelError
        There is none of that name; the message lists the names.
    """
    if name not in SYSTEMS:
        msg = f"no architecture {name!r}: choose from {', '.join(SYSTEMS)}"
        raise ModelError(msg)
    return SYSTEMS[name]
