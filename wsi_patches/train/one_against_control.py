"""Classifiers of one class against the same controls, which share a split, and the one that they make together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from wsi_patches.datasets.split_file import write_split
from wsi_patches.datasets.splits import By, Split
from wsi_patches.errors import UsageError
from wsi_patches.models.card import ModelCard
from wsi_patches.models.classifier import CellClassifier, choose_device
from wsi_patches.models.one_against_control import SYSTEM, OneAgainstControl
from wsi_patches.models.weights import load_weights, save_weights
from wsi_patches.train.augment import Augmentation
from wsi_patches.train.classifier import (
    WEIGHTS,
    Progress,
    TestPatches,
    TrainedClassifier,
    class_scores,
    train_classifier,
)
from wsi_patches.train.classifier_network import CardWords, first_card, plain_values
from wsi_patches.train.classifier_settings import TEST, TRAIN
from wsi_patches.train.fields import FieldSettings
from wsi_patches.train.patch_set import PatchSet, PatchSplit, split_patches
from wsi_patches.train.patch_task import PatchView

__all__ = [
    "OneAgainstControlSettings",
    "SubtypeSettings",
    "TrainedAgainstControl",
    "of_patients",
    "train_against_control",
]

PATCHES_AT_ONCE = 256
ASIDE = ""
"""Split of patches that a training does not see."""


@dataclass(frozen=True)
class SubtypeSettings:
    """What one class's training does otherwise than the others."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    network: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of the architecture, beside the recipe's."""
    learning_rate: float | None = None
    """The recipe's if None."""


@dataclass(frozen=True, kw_only=True)
class OneAgainstControlSettings(FieldSettings):
    """What classifiers of one class against control are, and how they are trained.

    Raises
    ------
    UsageError
        A value is out of range, here or for one of the classes.
    """

    task: Literal["one_against_control"] = "one_against_control"  # type: ignore[assignment] # it cuts as its parent
    name: str = "one-against-control"
    architecture: str = "aml_cnn"
    input_px: int = 144
    by: By = "patient"
    """A picture is a slide here, so that ``slide`` splits pictures: cells of a patient then lie on both sides."""
    control: str = "control"
    """The class that each of the others is held against."""
    subtypes: Mapping[str, SubtypeSettings] = field(default_factory=dict)
    """What differs for a class; one that is not named here is trained as the rest of the recipe says."""
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.control in self.subtypes:
            msg = f"subtypes of a training are held against {self.control}, which cannot be one of them"
            raise UsageError(msg)
        if self.mask != "none":
            msg = f"task: one_against_control shows whole pictures: leave mask: {self.mask} out, or take task: fields"
            raise UsageError(msg)
        for subtype in self.subtypes:
            self.of(subtype)

    def of(self, subtype: str) -> OneAgainstControlSettings:
        """Return the settings of one class's training."""
        own = self.subtypes.get(subtype, SubtypeSettings())
        rate = self.training.learning_rate if own.learning_rate is None else own.learning_rate
        return replace(
            self,
            name=f"{self.name}-{subtype}",
            network={**self.network, **own.network},
            training=replace(self.training, learning_rate=rate),
            subtypes={},
        )


@dataclass(frozen=True)
class TrainedAgainstControl:
    """What training one classifier a class came to."""

    control: str
    members: Mapping[str, TrainedClassifier]
    """By class."""
    card: ModelCard
    """Of all of them as one model."""
    weights: Path
    """The file of that model, which needs none of the members' own."""
    together: TestPatches
    """What this file says of all classes' patches of the test split; control is the first class."""
    split: Split
    """Of all classes; the members' are parts of it."""
    left_out: tuple[str, ...]

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader of the figures must know."""
        return (*self.split.warnings, *self.left_out)


def train_against_control(
    settings: OneAgainstControlSettings,
    patches: PatchSet,
    words: CardWords,
    folder: Path,
    progress: Progress | None = None,
    *,
    resume: bool = False,
) -> TrainedAgainstControl:
    """Train a classifier for each class against control, make one of them, and ask it about all classes' test split.

    All share one split, so that no classifier has seen a patient whom all of them are asked about.

    Parameters
    ----------
    settings
        What to train, and how.
    patches
        Of control and of one class or more.
    words
        What else the cards say.
    folder
        Gets a folder for each class, as `train_classifier` writes it, ``split.csv`` of all classes, and
        ``weights.safetensors`` of the one model.
    progress
        Told after each epoch.
    resume
        Go on where a run with the same settings and patches was killed.

    Raises
    ------
    UsageError
        There are no controls, or the patches cannot be split.
    ModelError
        A training diverged.
    OutputExists
        The folder holds a training and ``resume`` is not set.
    """
    patches = _control_first(patches, settings.control)
    split, names = split_patches(patches, settings.by, settings.shares, settings.split_seed)
    write_split(split, folder, overwrite=resume)
    subtypes = patches.class_names[1:]
    members = {}
    for number, subtype in enumerate(subtypes, 1):
        told = _of_all(progress, number - 1, len(subtypes))
        pair, made = _pair(patches, number, (split, names))
        members[subtype] = train_classifier(
            settings.of(subtype), pair, words, folder / subtype, told, resume=resume, made=made
        )
    views = {name: PatchView(patches, np.flatnonzero(names == name), settings.input_px) for name in (TRAIN, TEST)}
    card = _card(settings, first_card(settings, patches, views[TRAIN], words), members)
    network = _network(card, members).to(choose_device(settings.training.device)).eval()
    card = _write(folder / WEIGHTS, network, card, views[TEST])
    loaded = CellClassifier.load(folder / WEIGHTS, settings.training.device)
    together = TestPatches.of(views[TEST], card.classes, _said(loaded, views[TEST]))
    absent = [f"no picture is of {one}: nothing was trained for it" for one in settings.subtypes if one not in subtypes]
    left_out = (*patches.left_out, *absent)
    return TrainedAgainstControl(settings.control, members, card, folder / WEIGHTS, together, split, left_out)


def of_patients(test: TestPatches) -> TestPatches:
    """Return what is said of each patient: the mean of the probabilities of its patches.

    A patient of two classes is two rows. The images are those of the patches.
    """
    keys = np.stack([test.groups, test.truth.astype(str)], axis=1)
    patients, row = np.unique(keys, axis=0, return_inverse=True)
    sums = np.zeros((len(patients), len(test.class_names)))
    np.add.at(sums, row.ravel(), test.probabilities)
    truth = patients[:, 1].astype(np.int32)
    twice = np.unique(patients[:, 0], return_counts=True)
    several = set(twice[0][twice[1] > 1].tolist())
    ids = [
        f"{one} ({test.class_names[of]})" if one in several else one
        for one, of in zip(patients[:, 0].tolist(), truth.tolist(), strict=True)
    ]
    means = sums / sums.sum(axis=1, keepdims=True)
    return replace(
        test,
        ids=np.array(ids, str),
        groups=patients[:, 0],
        truth=truth,
        probabilities=means.astype(np.float32),
    )


def _control_first(patches: PatchSet, control: str) -> PatchSet:
    if control not in patches.class_names:
        msg = f"no picture is of {control}, only of {', '.join(patches.class_names)}: say which class is control:"
        raise UsageError(msg)
    names = (control, *(name for name in patches.class_names if name != control))
    order = np.array([names.index(name) for name in patches.class_names], np.int32)
    return replace(patches, class_names=names, truth=order[patches.truth])


def _pair(patches: PatchSet, subtype: int, made: PatchSplit) -> tuple[PatchSet, PatchSplit]:
    """Return control and one class as a set of two, and their part of the split; no pixel is copied."""
    split, names = made
    inside = (patches.truth == 0) | (patches.truth == subtype)
    rows = set(patches.slide_ids[np.unique(patches.slide[inside])].tolist())
    kept = [(row, name) for row, name in zip(split.rows, split.names, strict=True) if row.id in rows]
    part = replace(split, rows=tuple(row for row, _ in kept), names=tuple(name for _, name in kept))
    pair = replace(
        patches,
        class_names=(patches.class_names[0], patches.class_names[subtype]),
        truth=np.where(inside, np.minimum(patches.truth, 1), -1).astype(np.int32),
    )
    return pair, (part, np.where(inside, names, ASIDE))


def _card(settings: OneAgainstControlSettings, first: ModelCard, members: Mapping[str, TrainedClassifier]) -> ModelCard:
    """Return what all members say of themselves as one model, from the card of a network of all classes."""
    cards = [one.card.to_dict() for one in members.values()]
    changes = f"{first.changes}; {len(cards)} networks of one class against {settings.control}, whose odds are combined"
    return replace(
        first,
        architecture=SYSTEM.name,
        settings=plain_values({"members": cards}),
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        changes=changes,
    )


def _network(card: ModelCard, members: Mapping[str, TrainedClassifier]) -> OneAgainstControl:
    """Return the network of a card, with the weights of its members' files."""
    network = OneAgainstControl(len(card.classes), **card.settings)
    for place, member in zip(network.members, members.values(), strict=True):
        place.get_submodule("network").load_state_dict(load_weights(member.weights)[0])
    return network


def _write(path: Path, network: OneAgainstControl, card: ModelCard, test: PatchView) -> ModelCard:
    """Write a network's file; return its card, with how good it is on the test split."""
    said = _said(CellClassifier(network, card, "", next(network.parameters()).device), test)
    card = replace(card, scores={**class_scores(card.classes, said, test.truth), "test_patches": float(len(test))})
    save_weights(path, network, card)
    return card


def _said(classifier: CellClassifier, view: PatchView) -> NDArray[np.float32]:
    """Return the probabilities of each patch, ``(n, classes)``."""
    starts = range(0, len(view), PATCHES_AT_ONCE)
    return np.concatenate(
        [classifier.probabilities(view.read(range(start, min(start + PATCHES_AT_ONCE, len(view))))) for start in starts]
    )


def _of_all(progress: Progress | None, trained: int, trainings: int) -> Progress | None:
    """Return what tells the epochs of one training as part of all of them."""
    if progress is None:
        return None
    return lambda what, done, total: progress(what, trained * total + done, trainings * total)
