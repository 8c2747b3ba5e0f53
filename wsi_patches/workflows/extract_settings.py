"""What ``extract`` can be asked to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from wsi_patches.cells import ALL_IDB_RULE, LabelRule
from wsi_patches.datasets import GroupRule, SlideItem, class_names_of, picture_side
from wsi_patches.datasets.all_idb1 import ALL_IDB1
from wsi_patches.datasets.all_idb_patches import ALL_IDB_PATCHES
from wsi_patches.errors import UsageError
from wsi_patches.executors.site import Site
from wsi_patches.grid import PatchSpec
from wsi_patches.locations import Location
from wsi_patches.slide import ReadOptions
from wsi_patches.stores import CODECS, StoreSettings
from wsi_patches.workflows.foreground import FOREGROUNDS
from wsi_patches.workflows.output import Existing
from wsi_patches.workflows.shards import Shard

__all__ = ["ExtractSettings"]

ALL_IDB_RULED = {ALL_IDB1.name, ALL_IDB_PATCHES.name}
"""Layouts whose annotations follow the rule of ALL-IDB Patches."""


@dataclass(frozen=True)
class ExtractSettings:
    """What ``extract`` is asked to do; the keys of a recipe, and the command's options."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    inputs: tuple[Location, ...]
    """Slides, folders of slides, or dataset folders."""
    out: Location
    """The store to write."""
    patch_size: int | None = None
    """Side of a patch in patch pixels; 256 if not given."""
    overlap: float | None = None
    stride: int | None = None
    edge: str | None = None
    level: int | None = None
    mpp: float | None = None
    magnification: float | None = None
    tolerance: int | None = None
    """How far outside of a patch, in level-0 pixels, a cell's centre may lie and still count."""
    annotations: Location | None = None
    """A folder of annotation files that bear their slide's name."""
    group_pattern: str | None = None
    """A regular expression that takes the patient or slide out of a file's name."""
    group_table: Location | None = None
    """A CSV file that names the patient of each image."""
    slide_mpp: float | None = None
    """The slides' level-0 pixel size in um, where their files do not say."""
    reader: str | None = None
    """Which reader opens the slides; chosen by each file's content if not given."""
    channels: tuple[str, ...] = ()
    """Of pictures of several channels, the one to three that are meant, by name or 0-based number."""
    foreground: str = "none"
    """``auto`` leaves out patches of bare glass."""
    codec: str = "auto"
    fsync: bool = True
    """Wait until the disk has every file, so that a power cut loses nothing that was called done."""
    workers: int | None = None
    cluster: str | None = None
    site: Site | None = None
    """What the cluster's site asks of jobs."""
    shard: Shard | None = None
    """Which share of the slides this run does; what the store holds of them is kept, as with ``resume``."""
    resume: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        for name, allowed in (("codec", CODECS), ("foreground", FOREGROUNDS)):
            if getattr(self, name) not in allowed:
                msg = f"{name} must be one of {', '.join(allowed)}, found {getattr(self, name)!r}"
                raise UsageError(msg)
        self.read_options()
        self.group_rule()
        self.existing()

    def existing(self) -> Existing:
        """Return what to do with a store that is there."""
        return Existing.of(resume=self.resume, overwrite=self.overwrite, shard=self.shard)

    def group_rule(self) -> GroupRule:
        """Return where groups come from that no layout states."""
        return GroupRule(self.group_pattern, self.group_table)

    def read_options(self) -> ReadOptions:
        """Return how slides are to be opened."""
        return ReadOptions(self.slide_mpp, self.reader, self.channels)

    def store_settings(self, items: Sequence[SlideItem]) -> StoreSettings:
        """Return the patches and labels that were asked for.

        ALL-IDB1 folders get their published protocol; of pictures of single cells, and of patches that somebody cut,
        each is one patch.

        Raises
        ------
        UsageError
            The pictures of single cells are too large to be one patch each.
        """
        published = bool(items) and all(item.layout == ALL_IDB1.name for item in items)
        chosen: dict[str, Any] = {"edge": "drop", "overlap": 0.25} if published else {}
        if self.patch_size is None and items and all(item.unit != "slide" for item in items):
            chosen = {"size_px": picture_side(items), "edge": "pad"}
        if self.stride is not None:
            chosen.pop("overlap", None)
        named = {"size_px": self.patch_size, "stride_px": self.stride, "overlap": self.overlap, "edge": self.edge}
        named |= {"level": self.level, "mpp": self.mpp, "magnification": self.magnification}
        chosen |= {name: value for name, value in named.items() if value is not None}
        as_published = bool(items) and all(item.layout in ALL_IDB_RULED for item in items)
        default = ALL_IDB_RULE.tolerance_px if as_published else 0
        rule = LabelRule(default if self.tolerance is None else self.tolerance, class_names=class_names_of(items))
        return StoreSettings(PatchSpec(**chosen), rule, self.foreground)
