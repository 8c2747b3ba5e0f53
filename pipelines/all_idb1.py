"""Slides into labelled patches, focus scores and counts in one go, here or on a cluster; by recipe, or as a script."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from wsi_patches.executors.site import Site
from wsi_patches.locations import Location
from wsi_patches.recipe import settings_from
from wsi_patches.workflows import extract, infer, preprocess
from wsi_patches.workflows.leading import SILENT, Watch
from wsi_patches.workflows.process import process, tell_processed


@dataclass(frozen=True)
class Settings:
    """The options of each stage under its name, and what they share."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}
    inputs: tuple[Location, ...]
    out: Location = Path("all-idb1-out")
    extract: dict[str, Any] = field(default_factory=dict)
    preprocess: dict[str, Any] = field(default_factory=lambda: {"focus": True})
    infer: dict[str, Any] = field(default_factory=dict)
    workers: int | None = None
    cluster: str | None = None
    site: Site | None = None
    resume: bool = False
    overwrite: bool = False


def run(settings: Settings, tell: Callable[[str], None] = print, watch: Watch = SILENT) -> int:
    """Run the three stages, and return 1 if a slide failed."""
    asked, shared = asdict(settings), ("inputs", "resume", "overwrite", "workers", "cluster")
    both, store = {**{name: asked[name] for name in shared}, "site": settings.site}, settings.out / "patches.zarr"
    cut = settings_from(extract.ExtractSettings, {**both, "out": store}, settings.extract, "extract")
    improve = settings_from(preprocess.PreprocessSettings, {"store": store}, settings.preprocess, "preprocess")
    count = settings_from(infer.InferSettings, {**both, "out": settings.out / "counts"}, settings.infer, "infer")
    return tell_processed(process(cut, improve, count, watch), tell)
