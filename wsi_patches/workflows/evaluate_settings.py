"""What ``evaluate`` can be asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from wsi_patches.datasets import GroupRule
from wsi_patches.datasets.splits import By
from wsi_patches.errors import UsageError
from wsi_patches.locations import Location

__all__ = ["EvaluateSettings"]


@dataclass(frozen=True)
class EvaluateSettings:
    """What ``evaluate`` is asked to do; the keys of a recipe, and the command's options."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    source: Location
    """What ``infer`` wrote, a store, or a table of predictions."""
    out: Path
    """The folder to write."""
    annotations: Path | None = None
    """For counts: a dataset's folder, or a folder of annotation files named as the slides."""
    radius: float | None = None
    """For counts: how far, in level-0 pixels, a found cell may lie from a marked point."""
    attribute_columns: tuple[str, ...] = ()
    """For counts with attributes: which attribute each number behind a marked YOLO box is, where no file says it."""
    threshold: float | None = None
    """For counts: the least score of a cell that counts; all count if not given."""
    positive: tuple[str, ...] = ()
    """For counts: labels of slides that are leukemic."""
    min_blasts: float = 1
    """For counts: from how many blasts on a slide is called positive."""
    write_calibration: Path | None = None
    """For counts of patches by a classifier: the file that gets how many blasts a positive patch means, which ``infer``
    takes as ``patch_calibration``."""
    model: str | None = None
    """For a store: name or file of the cell classifier to measure."""
    ensemble: tuple[str, ...] = ()
    """Further classifiers, whose probabilities are averaged with the model's."""
    tta: int = 1
    """In how many views each patch is classified: 1, 2, 4 or 8."""
    patches: Path | None = None
    """For a table of predictions: the store that its patches are in."""
    target: str | None = None
    """For a store: ``label``, or an annotated class."""
    device: str = "auto"
    folds: int = 5
    """Folds that colour alone is measured by."""
    by: By = "patient"
    """What these keep together."""
    draws: int = 1000
    seed: int = 0
    group_pattern: str | None = None
    """A regular expression that takes the patient or slide out of a file's name."""
    group_table: Path | None = None
    """A CSV file that names the patient of each image."""
    overwrite: bool = False

    def __post_init__(self) -> None:
        self.group_rule()
        if self.model is None and (self.ensemble or self.tta != 1):
            msg = "--ensemble and --tta add to the --model that a store is classified by: give one"
            raise UsageError(msg)
        if self.radius is not None and not self.radius > 0:
            msg = f"radius must be above 0 px, found {self.radius}"
            raise UsageError(msg)

    def group_rule(self) -> GroupRule:
        """Return where groups come from that no layout states."""
        return GroupRule(self.group_pattern, self.group_table)
