"""What ``wsi-patches train`` can train: a line a task, loaded when a recipe asks for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from wsi_patches.evaluate.classification import ClassificationResult
    from wsi_patches.evaluate.result import Result

__all__ = ["TRAINABLE", "Trainable", "Training"]


class Training(Protocol):
    """What a training came to, as the command tells it."""

    @property
    def results(self) -> Mapping[str, Result]:
        """On the test split; a name a result."""

    @property
    def baselines(self) -> Mapping[str, ClassificationResult]:
        """What simpler ways reach on the same."""

    @property
    def evaluations(self) -> Mapping[str, Path]:
        """The page of each result."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader may want to know, in sentences."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader of the figures must know."""

    @property
    def page(self) -> Path:
        """Curves and settings."""

    @property
    def weights(self) -> Path:
        """The weight file, or a folder of several."""


@dataclass(frozen=True)
class Trainable:
    """A task: how its recipes are checked, and who trains it."""

    home: str
    """``module:Class`` of its settings."""
    runner: str
    """``module:function``, called with settings, data, the output folder, what to do with a training that is there, and
    a progress."""
    searched: bool = False
    """Whether ``--tune`` can search its settings."""

    @property
    def settings(self) -> type[Any]:
        """The settings' dataclass."""
        found: type[Any] = _load(self.home)
        return found

    @property
    def run(self) -> Callable[..., Training]:
        """What trains it."""
        found: Callable[..., Training] = _load(self.runner)
        return found


TRAINABLE: dict[str, Trainable] = {
    "blasts": Trainable(
        "wsi_patches.train.blasts:BlastSettings", "wsi_patches.workflows.train_folder:train_on_folder", searched=True
    ),
    "cell_types": Trainable(
        "wsi_patches.train.cell_types:TypeSettings", "wsi_patches.workflows.train_folder:train_on_folder", searched=True
    ),
    "fields": Trainable(
        "wsi_patches.train.fields:FieldSettings", "wsi_patches.workflows.train_folder:train_on_folder", searched=True
    ),
    "taxonomy": Trainable(
        "wsi_patches.train.taxonomy:TaxonomySettings",
        "wsi_patches.workflows.train_folder:train_on_folder",
        searched=True,
    ),
    "dss_xai": Trainable(
        "wsi_patches.train.dss_xai:DssSettings", "wsi_patches.workflows.train_folder:train_on_folder", searched=True
    ),
    "one_against_control": Trainable(
        "wsi_patches.train.one_against_control:OneAgainstControlSettings",
        "wsi_patches.workflows.train_against_control:train_against_control_on_folder",
    ),
    "two_sets": Trainable(
        "wsi_patches.train.two_set_settings:TwoSetSettings",
        "wsi_patches.workflows.train_two_sets:train_two_sets_on_folders",
    ),
    "labels": Trainable(
        "wsi_patches.train.label_settings:LabelSettings", "wsi_patches.workflows.train_labels:train_labels_on_folder"
    ),
    "diagnosis": Trainable(
        "wsi_patches.train.diagnosis:DiagnosisSettings",
        "wsi_patches.workflows.train_diagnosis:train_diagnosis_on_counts",
    ),
    "caption": Trainable(
        "wsi_patches.train.captions:CaptionSettings", "wsi_patches.workflows.train_captions:train_captions_on_folder"
    ),
    "counts": Trainable(
        "wsi_patches.train.counter_settings:CounterSettings",
        "wsi_patches.workflows.train_counter:train_counter_on_folder",
    ),
    "detector": Trainable(
        "wsi_patches.train.detector_settings:DetectorSettings",
        "wsi_patches.workflows.train_detector:train_detector_on_folder",
    ),
    "bags": Trainable(
        "wsi_patches.train.bag_settings:BagSettings", "wsi_patches.workflows.train_bags:train_bags_on_stores"
    ),
    "pretrain": Trainable(
        "wsi_patches.train.pretrain_settings:PretrainSettings",
        "wsi_patches.workflows.train_encoder:train_encoder_on_stores",
    ),
    "attribute_detector": Trainable(
        "wsi_patches.train.attribute_settings:AttributeDetectorSettings",
        "wsi_patches.workflows.train_attributes:train_attributes_on_folder",
    ),
}
"""What a recipe's ``task`` may be, beside ``painted``."""


def _load(home: str) -> Any:
    module, name = home.split(":")
    return getattr(import_module(module), name)
