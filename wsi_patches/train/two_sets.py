"""Pictures of cells learnt beside another set, so that what is few borrows from what is plenty (DL4ALL).

Source: A. Genovese and others, IEEE Access 11, 65222-65237, 2023; AngeloUNIMI/DL4ALL.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from wsi_patches.datasets import SlideItem
from wsi_patches.models.classifier import InputFrame
from wsi_patches.models.dl4all import single_headed, with_two_heads
from wsi_patches.models.systems import find_system
from wsi_patches.train.classifier import Progress, TrainedClassifier, train_classifier
from wsi_patches.train.classifier_network import colours_for
from wsi_patches.train.fields import cut_fields
from wsi_patches.train.interleaving import Ends, Pairs, interleave, matched_batch_size
from wsi_patches.train.patch_task import PatchTask, PatchView
from wsi_patches.train.source_set import SourceSet, cut_source
from wsi_patches.train.two_set_settings import TwoSetSettings
from wsi_patches.train.two_set_steps import Side, TwoSetNetwork, TwoSetSteps

__all__ = ["TwoSetTask", "class_counts_weights", "train_two_sets", "two_set_task"]

RAREST = 10
"""A class that has fewer images than this weighs as if it had so many."""


def train_two_sets(
    settings: TwoSetSettings,
    items: Sequence[SlideItem],
    folder: Path,
    progress: Progress | None = None,
    *,
    resume: bool = False,
) -> TrainedClassifier:
    """Train a classifier of pictures on their labels and, at the same time, on another set.

    Parameters
    ----------
    settings
        What to train, and how; its source says which other set.
    items
        Pictures with a label each: the target.
    folder
        Gets ``weights.safetensors``, which tell the target's classes alone, and what the training loop writes.
    progress
        Told how many pictures and epochs are done.
    resume
        Go on where a run with the same settings and pictures was killed.

    Raises
    ------
    UsageError
        One of the sets cannot be learnt from: absent, too few classes or pictures, labels that cannot be read.
    ModelError
        The training diverged.
    OutputExists
        The folder holds a training and ``resume`` is not set.
    """
    source = cut_source(settings.source, settings.input_px, settings.learns_slides, folder, progress)
    patches, words = cut_fields(settings, items, folder, progress)
    taught = "slides" if source.tells_slides else "labels"
    title = f"Class of a picture, learnt beside {len(source)} others of {source.outputs} {taught}: {settings.strategy}"
    return train_classifier(
        settings,
        replace(patches, left_out=(*patches.left_out, *source.patches.left_out)),
        replace(words, title=title),
        folder,
        progress,
        resume=resume,
        make_task=partial(two_set_task, settings, source),
    )


@dataclass(kw_only=True)
class TwoSetTask(TwoSetSteps):
    """What the training loop needs to know of two sets, of which the target is judged."""

    judge: PatchTask
    """The target's patches, and its validation."""
    policy: Ends
    depends_on: Mapping[str, str]
    watched: str
    higher_is_better: bool

    def batches(self, epoch: int) -> Pairs:
        """Return the batches of an epoch, a pair of both sets each."""
        self.begin_epoch()
        return interleave(self.source.loader.batches(epoch), self.target.loader.batches(epoch), self.policy)

    def validate(self, network: nn.Module, device: torch.device) -> Mapping[str, float]:
        """Return figures of the target's validation patches, and how many source steps of the epoch were kept."""
        trained = network.network if isinstance(network, TwoSetNetwork) else network
        figures = self.judge.validate(single_headed(trained, self.head).eval(), device)
        return {**figures, **({"source_steps_kept": self.kept / len(self.tried)} if self.tried else {})}

    def finished(self) -> nn.Module:
        """Return the network with the target's last layer alone."""
        return single_headed(self.network.network, self.head)


@dataclass
class _SourceTask(PatchTask):
    """Batches of the source: its labels are not its patches' class, but what is known of each."""

    known: Tensor

    def labels(self) -> Tensor:
        return self.known


def two_set_task(
    settings: TwoSetSettings,
    source: SourceSet,
    network: nn.Module,
    frame: InputFrame,
    train: PatchView,
    validation: PatchView,
) -> TwoSetTask:
    """Return what the training loop learns.

    Parameters
    ----------
    settings
        How.
    source
        The other set, all of which is learnt from.
    network
        For the target, before its first step; gets a second last layer.
    frame
        What it takes.
    train, validation
        Of the target.
    """
    head = find_system(settings.architecture).head
    with torch.random.fork_rng([]):
        torch.manual_seed(settings.training.seed)
        with_two_heads(network, head, source.outputs)
    judge = PatchTask(network, frame, train, validation, settings)
    seen = np.concatenate([train.truth, validation.truth])
    weights = class_counts_weights(np.bincount(seen, minlength=len(train.patches.class_names)), len(seen))
    return TwoSetTask(
        network=TwoSetNetwork(network, settings.weighting),
        head=head,
        source=_source_side(settings, source, network, len(train)),
        target=Side(judge, frame, nn.CrossEntropyLoss(weights)),
        kind="greedy" if settings.strategy == "greedy" else "joint",
        accept=settings.accept,
        head_factor=settings.head_factor,
        settle_batches=settings.settle_batches,
        judge=judge,
        policy=settings.ends,
        depends_on={"source": _identity(source)},
        watched=settings.watched,
        higher_is_better=judge.higher_is_better,
    )


def _source_side(settings: TwoSetSettings, source: SourceSet, network: nn.Module, targets: int) -> Side:
    """Return the source's batches, colours and loss."""
    view = PatchView(source.patches, np.arange(len(source)), settings.input_px)
    size = settings.batch_size
    if settings.strategy != "regular":
        size = matched_batch_size(len(source), targets, size)
    shown = replace(settings, batch_size=size, augmentation=settings.source_augmentation)
    colours = colours_for(replace(settings, normalisation="scalar"), view)
    own = _Frame(settings.input_px, colours.mean, colours.std)
    weights = class_counts_weights(source.counts, len(source))
    loss = nn.CrossEntropyLoss(weights) if source.tells_slides else nn.MultiLabelSoftMarginLoss(weights)
    return Side(_SourceTask(network, own, view, view, shown, source.labels), own, loss)


@dataclass(frozen=True)
class _Frame:
    input_px: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def class_counts_weights(counts: NDArray[np.int64], total: int) -> Tensor:
    """Return the weight of each class in DL4ALL's losses: the images over those that have it, 10 at least."""
    return torch.from_numpy((total / np.maximum(counts, RAREST)).astype(np.float32))


def _identity(source: SourceSet) -> str:
    digest = hashlib.sha256("\n".join(source.patches.ids.tolist()).encode("utf-8", "surrogateescape"))
    digest.update(source.labels.numpy().tobytes())
    return digest.hexdigest()
