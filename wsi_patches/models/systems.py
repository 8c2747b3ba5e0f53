"""The table of the networks that classify patches: adding one takes its file, and a line here."""

from __future__ import annotations

from wsi_patches.errors import ModelError
from wsi_patches.models import allnet, efficientnet_lite0, histotnet, torchvision_networks
from wsi_patches.models.system import System

__all__ = ["SYSTEMS", "find_system"]

SYSTEMS: dict[str, System] = {
    one.name: one for one in (allnet.SYSTEM, efficientnet_lite0.SYSTEM, histotnet.SYSTEM, *torchvision_networks.SYSTEMS)
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
