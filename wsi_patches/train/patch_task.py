"""Labelled patches as a task of the training loop: batches that are balanced and augmented, a loss, and figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax
from torch import Tensor, nn

from wsi_patches.models.classifier import InputFrame, normalised
from wsi_patches.train.augment import Augmentation, as_float
from wsi_patches.train.engine_settings import EngineSettings
from wsi_patches.train.frames import draw_frames
from wsi_patches.train.patch_set import PatchSet
from wsi_patches.train.sampling import ClassWeights, balanced_draws, class_weights, oversampled
from wsi_patches.train.task import SteppingTask

__all__ = [
    "Balance", "PatchTask", "PatchView", "Pixels", "SteppingClassifier", "TaskMaker", "Watched", "balanced_accuracy",
    "cross_entropy", "logits_of", "loss_and_accuracies",
]  # fmt: skip

Balance = Literal["none", "weights", "effective", "oversample", "groups", "smote"]
"""How rare classes are made to count, in the training split alone: not at all; by weights in the loss, inverse to their
frequency or to their effective number; by being repeated until there are as many as of the largest, or as many as
asked; by draws in which classes weigh the same, and within a class its patients or slides; or by a last layer that is
learnt anew on features to which SMOTE has added (see `refit_head`)."""
WEIGHTS: dict[str, ClassWeights] = {"weights": "inverse", "effective": "effective"}
Watched = Literal["loss", "accuracy", "balanced_accuracy", "accuracy_then_loss"]
"""``accuracy`` is the share of right patches; ``accuracy_then_loss`` too, and of equal ones the lower loss."""
PATCHES_AT_ONCE = 64


class Pixels(Protocol):
    """Patches that can be looked at."""

    def __len__(self) -> int: ...
    def read(self, positions: object) -> NDArray[np.uint8]:
        """Return patches, uint8 RGB ``(n, s, s, 3)``."""


@dataclass(frozen=True)
class PatchView:
    """Some patches of a set, as the network sees them: without the margin that augmentation needs."""

    patches: PatchSet
    rows: NDArray[np.int64]
    input_px: int

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def truth(self) -> NDArray[np.int32]:
        """Index of the class of each, shape ``(n,)``."""
        return self.patches.truth[self.rows]

    def read(self, positions: object) -> NDArray[np.uint8]:
        """Return patches, uint8 RGB ``(n, input_px, input_px, 3)``."""
        first = (self.patches.images.shape[1] - self.input_px) // 2
        inner = slice(first, first + self.input_px)
        rows = self.rows[np.asarray(positions, np.int64)]
        return np.asarray(self.patches.images[rows][:, inner, inner])


@dataclass
class Batches:
    """The batches of one epoch, made as they are asked for."""

    count: int
    make: Callable[[], Iterator[Any]]

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Any]:
        return self.make()


class PatchSettings(Protocol):
    """What a task is told of how patches are shown and judged."""

    @property
    def augmentation(self) -> Augmentation: ...
    @property
    def balance(self) -> Balance: ...
    @property
    def oversample_to(self) -> int | None: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def watched(self) -> Watched: ...
    @property
    def training(self) -> EngineSettings: ...


@dataclass
class PatchTask:
    """What the training loop needs to know of labelled patches."""

    network: nn.Module
    frame: InputFrame
    """What the network takes."""
    train: PatchView
    validation: PatchView
    settings: PatchSettings

    def __post_init__(self) -> None:
        kind = WEIGHTS.get(self.settings.balance, "none")
        weights = class_weights(self.train.truth, len(self.train.patches.class_names), kind)
        self.weights = torch.from_numpy(weights)
        self.watched: str = self.settings.watched
        self.higher_is_better = self.watched != "loss"

    def batches(self, epoch: int) -> Batches:
        """Return the batches of an epoch, equal for equal seeds: images float ``(b, 3, s, s)`` and labels ``(b,)``."""
        seed = int(np.random.SeedSequence([self.settings.training.seed, epoch]).generate_state(1)[0])
        order = self._order(seed)
        size = min(self.settings.batch_size, len(order))
        return Batches(len(order) // size, lambda: self._drawn(order, torch.Generator().manual_seed(seed), size))

    def loss(self, batch: tuple[Tensor, Tensor], device: torch.device) -> Tensor:
        """Return the mean cross entropy of a batch, nats."""
        images, labels = batch
        logits = self.network(normalised(images.to(device), self.frame))
        return nn.functional.cross_entropy(logits.float(), labels.to(device), self.weights.to(device))

    def validate(self, network: nn.Module, device: torch.device) -> Mapping[str, float]:
        """Return loss and accuracies on the validation patches."""
        return self.figures(logits_of(network, self.frame, self.validation, device), self.validation.truth)

    def figures(self, logits: NDArray[np.float32], truth: NDArray[np.int32]) -> dict[str, float]:
        """Return loss and accuracies of logits ``(n, classes)``."""
        return loss_and_accuracies(logits, truth)

    @property
    def depends_on(self) -> Mapping[str, str]:
        """What a resumed run must share beside the settings and the patches."""
        return {}

    def finished(self) -> nn.Module:
        """Return what is kept of the network to classify patches."""
        return self.network

    def labels(self) -> Tensor:
        """Return what is taught of each training patch: its class, int64 ``(n,)``."""
        return torch.from_numpy(self.train.truth.astype(np.int64))

    def _drawn(self, order: Tensor, generator: torch.Generator, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        labels = self.labels()
        for start in range(0, len(order) - size + 1, size):
            rows = order[start : start + size]
            yield self._augmented(rows, generator), labels[rows]

    def _order(self, seed: int) -> Tensor:
        """Return positions of training patches in the order in which an epoch shows them."""
        truth, rng = self.train.truth, np.random.default_rng(seed)
        if self.settings.balance == "groups":
            groups = self.train.patches.groups[self.train.rows]
            return torch.from_numpy(balanced_draws(truth, groups, len(truth), seed))
        if self.settings.balance == "oversample":
            counts = np.bincount(truth)
            wanted = self.settings.oversample_to or int(counts.max())
            return torch.from_numpy(rng.permutation(oversampled(truth, len(counts), wanted, seed)))
        return torch.from_numpy(rng.permutation(len(truth)))

    def _augmented(self, positions: Tensor, generator: torch.Generator) -> Tensor:
        images = self.train.patches.images[self.train.rows[positions.numpy()]]
        pixels = as_float(torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))))
        side, knobs = torch.tensor([float(images.shape[1])] * 2), self.settings.augmentation
        frames = draw_frames(
            side.expand(len(images), 2), self.frame.input_px, self.frame.input_px, turn=knobs.turn, flip=knobs.flip,
            shift=knobs.shift, scale=knobs.scale, generator=generator, degrees=knobs.degrees,
        )  # fmt: skip
        return knobs.recolour(frames.cut(pixels, knobs.border), generator)


class SteppingClassifier(SteppingTask, Protocol):
    """What is learned by steps of its own, and what is kept of it."""

    @property
    def depends_on(self) -> Mapping[str, str]:
        """What a resumed run must share beside the settings and the patches."""

    def finished(self) -> nn.Module:
        """Return what is kept of the network to classify patches."""


TaskMaker = Callable[[nn.Module, InputFrame, PatchView, PatchView], PatchTask | SteppingClassifier]
"""Called with the network before its first step, what it takes, and the patches of training and of validation."""


@torch.inference_mode()
def logits_of(network: nn.Module, frame: InputFrame, view: Pixels, device: torch.device) -> NDArray[np.float32]:
    """Return the logits of patches by a network in evaluation mode, float32 ``(n, classes)``."""
    out = []
    for start in range(0, len(view), PATCHES_AT_ONCE):
        images = view.read(range(start, min(start + PATCHES_AT_ONCE, len(view))))
        pixels = torch.tensor(images).to(device).permute(0, 3, 1, 2).float() / 255
        out.append(network(normalised(pixels, frame)).float().cpu().numpy())
    return np.concatenate(out)


def loss_and_accuracies(logits: NDArray[np.float32], truth: NDArray[np.integer[Any]]) -> dict[str, float]:
    """Return what `Watched` names, of logits ``(n, classes)`` and the classes ``(n,)``; the loss in nats."""
    loss, predicted = cross_entropy(logits, truth), logits.argmax(axis=1)
    right = float((predicted == truth).mean())
    return {
        "loss": loss,
        "accuracy": right,
        "balanced_accuracy": balanced_accuracy(predicted, truth),
        # The loss takes less from the share of right patches than one patch more or less would.
        "accuracy_then_loss": right - loss / (1 + loss) / len(truth),
    }


def cross_entropy(logits: NDArray[np.float32], truth: NDArray[np.integer[Any]]) -> float:
    """Return the mean cross entropy of logits ``(n, classes)``, nats."""
    return -float(log_softmax(logits.astype(np.float64), axis=1)[np.arange(len(truth)), truth].mean())


def balanced_accuracy(predicted: NDArray[np.int64], truth: NDArray[np.integer[Any]]) -> float:
    """Return the mean recall of the classes that occur in the truth."""
    return float(np.mean([(predicted[truth == one] == one).mean() for one in np.unique(truth)]))
