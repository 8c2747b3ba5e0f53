"""Format version 1 of the store: names, and the settings that the whole store shares.

A store is a Zarr v3 group that plain zarr-python opens. Its patches lie in *parts*, each written by one task and by no
other, ever; a part counts only when its own attribute ``status`` says ``complete``, which is written last.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from wsi_patches._version import __version__
from wsi_patches.cells import LabelRule
from wsi_patches.errors import StoreError
from wsi_patches.grid import PatchSpec

__all__ = ["COMPLETE", "FORMAT", "FORMAT_VERSION", "PARTS", "REPLACES", "StoreSettings", "patches_in_shard"]

FORMAT = "wsi-patches"
FORMAT_VERSION = "1.1"
PARTS = "parts"
COMPLETE = "complete"
REPLACES = "replaces"
"""Attribute of a part that was written anew without some slides: the part that it stands for."""

SHARD_BYTES = 96 << 20
"""Of pixels: 512 patches of 256 px. Few files, and still small beside a reader's memory if it takes a shard whole."""


TILES_FOR_ONE = 4
"""A JPEG tile takes a twentieth of its pixels; this many times more of them go into a shard."""


def patches_in_shard(size_px: int, *, as_tiles: bool = False) -> int:
    """Return how many patches of a side a full shard holds, as pixels or as a slide's own JPEG tiles."""
    patches = max(1, SHARD_BYTES // (3 * size_px**2))
    return patches * TILES_FOR_ONE if as_tiles else patches


@dataclass(frozen=True)
class StoreSettings:
    """What all patches of a store share; the store's root attributes."""

    spec: PatchSpec
    rule: LabelRule
    foreground: str = "none"
    """``auto`` where patches of bare glass were left out."""
    creator: str = f"{FORMAT} {__version__}"

    def differences(self, asked: StoreSettings, called: str = "asked") -> list[str]:
        """Return what makes other patches or labels in other settings, as ``name this (asked: that)``."""
        have, want = (
            {**one.spec.to_dict(), **one.rule.to_dict(), "foreground": one.foreground} for one in (self, asked)
        )
        return [f"{name} {have[name]} ({called}: {want[name]})" for name in want if have[name] != want[name]]

    def to_attributes(self) -> dict[str, Any]:
        """Return the root group's attributes."""
        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "patch_spec": self.spec.to_dict(),
            "class_names": list(self.rule.class_names),
            "label_rule": self.rule.to_dict(),
            "foreground": self.foreground,
            "creator": self.creator,
        }

    @classmethod
    def from_attributes(cls, attributes: dict[str, Any], where: str) -> StoreSettings:
        """Read what `to_attributes` wrote.

        Raises
        ------
        StoreError
            The group is of another format, or of a version that this program does not know.
        """
        if attributes.get("format") != FORMAT:
            msg = f"{where} is a Zarr group, but not a store of {FORMAT}: its attributes do not name the format"
            raise StoreError(msg)
        version = str(attributes.get("format_version", ""))
        if version.split(".")[0] != FORMAT_VERSION.split(".")[0]:
            msg = f"{where} has format version {version or 'unknown'}; this program reads {FORMAT_VERSION}: update it"
            raise StoreError(msg)
        rule = LabelRule.from_dict(attributes["label_rule"])
        spec = PatchSpec.from_dict(attributes["patch_spec"])
        return cls(spec, rule, attributes.get("foreground", "none"), attributes.get("creator", ""))
