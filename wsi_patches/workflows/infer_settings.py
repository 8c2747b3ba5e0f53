"""What ``infer`` can be asked to do."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import ClassVar, Literal

from wsi_patches.datasets import GroupRule
from wsi_patches.errors import UsageError, needs_extra
from wsi_patches.executors.site import Site
from wsi_patches.infer import FOUND, ModelChoice
from wsi_patches.locations import Location
from wsi_patches.models.table import DEFAULT_FINDER
from wsi_patches.slide import ReadOptions
from wsi_patches.workflows.output import Existing
from wsi_patches.workflows.shards import Shard

__all__ = ["InferSettings"]

GROUPINGS = ("auto", "patient", "slide", "none")


@dataclass(frozen=True)
class InferSettings:
    """What ``infer`` is asked to do; the keys of a recipe, and the command's options."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    inputs: tuple[Location, ...]
    """Slides, folders of slides, dataset folders, or stores."""
    out: Location
    """The folder to write."""
    model: str | None = None
    """What counts, as `ModelChoice` says; white cells alone are counted without one."""
    method: str = FOUND
    ensemble: tuple[str, ...] = ()
    tta: int = 1
    finder: str = DEFAULT_FINDER
    device: str = "auto"
    precision: str = "auto"
    backend: str = "torch"
    compile: bool = False
    batch_size: int | None = None
    sharpen: float | None = None
    overlap: float | None = None
    patch_calibration: Path | None = None
    annotations: Location | None = None
    """A folder of annotation files named as the slides, such as corrected in QuPath: their cells are counted, instead
    of what a finder finds."""
    annotations_format: Literal["geojson", "dicom"] = "geojson"
    """What a slide's cells are written as; ``dicom`` writes ``cells.dcm`` beside the GeoJSON, for slides in DICOM."""
    group_pattern: str | None = None
    """A regular expression that takes the patient or slide out of a file's name."""
    group_table: Location | None = None
    """A CSV file that names the patient of each image."""
    group_by: str = "auto"
    """What ``groups.csv`` takes together: ``patient``, ``slide``, either as it is known, or ``none``."""
    slide_mpp: float | None = None
    """The slides' level-0 pixel size in um, where their files do not say."""
    reader: str | None = None
    """Which reader opens the slides; chosen by each file's content if not given."""
    channels: tuple[str, ...] = ()
    """Of pictures of several channels, the one to three that are meant, by name or 0-based number."""
    workers: int | None = None
    cluster: str | None = None
    site: Site | None = None
    """What the cluster's site asks of jobs."""
    shard: Shard | None = None
    """Which share of the slides this run counts; what was counted before is kept, as with ``resume``."""
    resume: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.group_by not in GROUPINGS:
            msg = f"group_by must be one of {', '.join(GROUPINGS)}, found {self.group_by!r}"
            raise UsageError(msg)
        if self.annotations_format == "dicom":
            with needs_extra("dicom", "--annotations-format dicom"):
                import highdicom  # noqa: F401 - said now, before any slide is read
        self.models()
        self.read_options()
        self.group_rule()
        self.existing()

    def existing(self) -> Existing:
        """Return what to do with counts that are there."""
        return Existing.of(resume=self.resume, overwrite=self.overwrite, shard=self.shard)

    @property
    def is_elsewhere(self) -> bool:
        """Whether slides are counted on other machines than this one."""
        return self.cluster not in (None, "local")

    def models(self) -> ModelChoice:
        """Return what slides are counted with."""
        return ModelChoice(**{one.name: getattr(self, one.name) for one in fields(ModelChoice)})

    def group_rule(self) -> GroupRule:
        """Return where groups come from that no layout states."""
        return GroupRule(self.group_pattern, self.group_table)

    def read_options(self) -> ReadOptions:
        """Return how slides are to be opened."""
        return ReadOptions(self.slide_mpp, self.reader, self.channels)
