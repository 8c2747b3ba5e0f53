"""What ``export`` can be asked to do."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Literal

from wsi_patches.errors import UsageError
from wsi_patches.export import ImageSettings, find_format
from wsi_patches.export.base import BOX_PX, OWN_PICTURES, SHARD_PATCHES, WITH_ATTRIBUTES, WITH_BOXES, WITH_FEATURES
from wsi_patches.export.images import ImageKind
from wsi_patches.locations import Location
from wsi_patches.workflows.output import Existing

__all__ = ["LEUKEMIA_ATTRI", "ExportSettings"]

LEUKEMIA_ATTRI = "leukemia-attri"
"""The format that counts go out in, where all others take a store."""
HOW_ONLY = {"store", "out", "workers", "resume", "overwrite"}
"""Settings that change nothing of what is written; what is in the store counts by itself."""


@dataclass(frozen=True)
class ExportSettings:
    """What ``export`` is asked to do; the keys of a recipe, and the command's options."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    store: Location
    out: Path
    format: str
    where: str | None = None
    """A condition on columns; all patches without one."""
    label_by: str | None = None
    """``cells``, ``slide`` or the name of a class."""
    split: Mapping[str, float] | Literal["store", "published", "none"] | None = None
    """The share of each split, or which split is taken; what there is by default."""
    group_by: Literal["patient", "slide"] = "patient"
    """What a split that is made keeps together."""
    seed: int = 0
    image: ImageKind = "png"
    quality: int | None = None
    """Of JPEG; if None, 95, and a slide's own JPEG that the store keeps is taken as it is."""
    shard_patches: int = SHARD_PATCHES
    """Patches in a file, for formats that keep many in one."""
    features: str | None = None
    """The derived features that are written instead of pixels, for formats that can hold them."""
    box_px: float = BOX_PX
    """Side of the box that stands for a marked cell, in pixels of the patch, for formats of boxes."""
    attributes: Path | None = None
    """What is stated of cells, for formats of captions; see `AttributeTable.read`."""
    workers: int | None = None
    resume: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.format != LEUKEMIA_ATTRI:
            find_format(self.format)
        if ImageSettings(self.image, self.quality) != ImageSettings() and self.format in OWN_PICTURES:
            msg = f"the pictures of {self.format} are {OWN_PICTURES[self.format]}: leave --image and --quality out"
            raise UsageError(msg)
        options = (
            ("features", self.features is not None, WITH_FEATURES),
            ("box-px", self.box_px != BOX_PX, WITH_BOXES),
            ("attributes", self.attributes is not None, WITH_ATTRIBUTES),
        )
        for name, is_given, formats in options:
            if is_given and self.format not in formats:
                msg = f"--{name} goes with --format {' or '.join(formats)}, found {self.format}"
                raise UsageError(msg)
        if not 0 < self.box_px < float("inf"):
            msg = f"--box-px takes a length above 0, found {self.box_px}"
            raise UsageError(msg)
        Existing(self.resume, self.overwrite)
        for name in ("shard_patches", "workers"):
            value = getattr(self, name)
            if value is not None and value < 1:
                msg = f"--{name.replace('_', '-')} takes 1 or more, found {value}"
                raise UsageError(msg)

    def shaping(self) -> dict[str, Any]:
        """Return the settings that shape what is written, as plain values."""
        values = {name: value for name, value in vars(self).items() if name not in HOW_ONLY}
        split = dict(self.split) if isinstance(self.split, Mapping) else self.split
        return values | {"split": split, "attributes": None if self.attributes is None else self.attributes.name}

    def command(self) -> str:
        """Return the command line that asks for the same, with names of files and no folders above them."""
        asked = self.shaping()
        if isinstance(self.split, Mapping):
            asked["split"] = "/".join(f"{share:g}" for share in self.split.values())
        words = ["wsi-patches", "export", self.store.name, "-o", self.out.name, "--format", asked.pop("format")]
        usual = {one.name: one.default for one in fields(self)}
        for name, value in asked.items():
            if value != usual[name]:
                words += [f"--{name.replace('_', '-')}", str(value)]
        return shlex.join(words)
