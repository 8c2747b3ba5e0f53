"""Training a network that tells many labels of a patch of tissue: what others then start from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from wsi_patches.datasets.split_file import write_split
from wsi_patches.datasets.splits import Split
from wsi_patches.models.card import LabelCard
from wsi_patches.models.classifier import choose_device
from wsi_patches.models.systems import find_system
from wsi_patches.train.classifier_network import changes_of, colours_for, first_network, plain_values
from wsi_patches.train.engine import Epoch, fit
from wsi_patches.train.label_set import LabelSet, LabelView, split_labels
from wsi_patches.train.label_settings import LabelSettings
from wsi_patches.train.label_task import LabelTask
from wsi_patches.train.network_settings import SHARES, TEST, TRAIN, VALIDATION
from wsi_patches.train.patch_task import logits_of

__all__ = ["TrainedLabels", "train_labels"]

LIMITS = (
    "tells labels of tissue, as learnt from one data set: it tells no cells and no disease, and trainings may start "
    "from it; for research use"
)
Told = Callable[[str, int, int], None]


@dataclass(frozen=True)
class TrainedLabels:
    """What training came to; the test split was asked once."""

    network: nn.Module
    """Of the best epoch, in evaluation mode."""
    card: LabelCard
    """Without scores."""
    history: tuple[Epoch, ...]
    best_epoch: int
    split: Split
    """A row an image."""
    test: LabelView
    probabilities: NDArray[np.float32]
    """Of each label, of the images of the test split, ``(n, labels)``."""
    left_out: tuple[str, ...]

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader of the figures must know."""
        return (*self.split.warnings, *self.left_out)


def train_labels(
    settings: LabelSettings, patches: LabelSet, folder: Path, progress: Told | None = None, *, resume: bool = False
) -> TrainedLabels:
    """Train a network on images with many labels, and ask it about slides that it never saw.

    Parameters
    ----------
    settings
        What to train, and how.
    patches
        What to learn from.
    folder
        Gets ``split.csv`` and what the training loop writes.
    progress
        Told how many epochs are done.
    resume
        Go on where a run with the same settings and images was killed.

    Raises
    ------
    UsageError
        There are too few slides, the network cannot be built, or a resumed run differs.
    ModelError
        The training diverged.
    OutputExists
        The folder holds a training and ``resume`` is not set.
    """
    split, names = split_labels(patches, settings)
    views = {name: LabelView(patches, np.flatnonzero(names == name), settings.input_px) for name in SHARES}
    network = first_network(settings, len(patches.labels.names))
    card = _card(settings, patches, views[TRAIN])
    task = LabelTask(network, card, views[TRAIN], views[VALIDATION], settings)
    write_split(split, folder, overwrite=resume)
    epochs, device = settings.training.epochs, choose_device(settings.training.device)
    fitted = fit(
        task,
        settings.training,
        folder,
        resume=resume,
        progress=None if progress is None else lambda epoch: progress("epochs", epoch.epoch, epochs),
        depends_on={"labels": _identity(settings, patches, names)},
    )
    network.load_state_dict(fitted.best_state)
    network.to(device).eval()
    said = torch.from_numpy(logits_of(network, card, views[TEST], device)).sigmoid().numpy()
    return TrainedLabels(
        network, card, fitted.history, fitted.best_epoch, split, views[TEST], said, patches.left_out
    )  # fmt: skip


def _card(settings: LabelSettings, patches: LabelSet, train: LabelView) -> LabelCard:
    system, colours = find_system(settings.architecture), colours_for(settings, train)
    slides = len({patches.labels.slides[row] for row in train.rows.tolist()})
    apart = "whole slides" if settings.by == "slide" else "single images, so that slides lie on both sides"
    return LabelCard(
        name=settings.name,
        title="Labels of patches of tissue",
        architecture=settings.architecture,
        settings=plain_values({name: value for name, value in settings.network.items() if name != "seed"}),
        classes=patches.labels.names,
        trained_on=f"{len(train)} images of {slides} slides, {len(patches.labels.names)} labels",
        limits=LIMITS,
        licence=settings.licence,
        paper=system.paper,
        doi=system.doi,
        changes=changes_of(settings),
        input_px=settings.input_px,
        mean=colours.mean,
        std=colours.std,
        split=f"validation chose the epoch, and test was held back: {apart}",
    )


def _identity(settings: LabelSettings, patches: LabelSet, names: NDArray[np.str_]) -> str:
    """Return a hash of what a resumed run must share beside the training loop's own settings."""
    kept: dict[str, Any] = {name: value for name, value in asdict(settings).items() if name not in ("name", "training")}
    digest = hashlib.sha256(repr(sorted(kept.items())).encode())
    digest.update("\n".join((*patches.ids.tolist(), *names.tolist())).encode("utf-8", "surrogateescape"))
    digest.update(np.ascontiguousarray(patches.labels.values).tobytes())
    return digest.hexdigest()
