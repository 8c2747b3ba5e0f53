"""Training a network that classifies cells."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader

from wsi_patches.cells import ALL_IDB_CLASSES
from wsi_patches.errors import ModelError, OutputExists
from wsi_patches.models.allnet import ALLNet
from wsi_patches.models.classifier import CellClassifier, choose_device, normalised
from wsi_patches.torch_data import ArrayPatches, PatchDataset
from wsi_patches.train.output import Epoch, TrainResult, write_training
from wsi_patches.train.painted import TEST, TRAIN, VALIDATION, CellSet, paint_cells, painted_card, split_seed
from wsi_patches.train.settings import TrainSettings

__all__ = ["train_cell_classifier"]

BLAST = ALL_IDB_CLASSES.index("blast")
TINY = 1e-30


def train_cell_classifier(
    settings: TrainSettings,
    out: str | Path,
    overwrite: bool = False,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> TrainResult:
    """Train an ALLNet to tell blasts from other white cells, and write it with its card.

    Parameters
    ----------
    settings
        What to train, and on what.
    out
        Folder that gets ``weights.safetensors``, ``card.json``, ``history.csv`` and ``curve.png``.
    overwrite
        Whether these files may replace others.
    on_epoch
        Called after every epoch.

    Raises
    ------
    OutputExists
        ``out`` is there and ``overwrite`` is not set.
    UsageError
        The device is not there.
    ModelError
        The network cannot be built, or the training diverged.
    """
    folder, device = Path(out), choose_device(settings.device)
    if folder.exists() and not overwrite:
        msg = f"{folder} is there already: give another folder, or --overwrite to replace what is in it"
        raise OutputExists(msg)
    network = ALLNet(len(ALL_IDB_CLASSES), settings.depth, settings.widths, settings.kernel, seed=settings.seed)
    train, validation = paint_cells(settings, TRAIN), paint_cells(settings, VALIDATION)
    model = CellClassifier(network.to(device), painted_card(settings, train.images), "", device)
    history: list[Epoch] = []
    best = network.state_dict()
    for train_loss in _epochs(model, settings, train):
        epoch = _judged(model, validation, len(history) + 1, train_loss)
        if epoch.validation_loss < min((one.validation_loss for one in history), default=math.inf):
            best = deepcopy(network.state_dict())
        history.append(epoch)
        if on_epoch is not None:
            on_epoch(epoch)
    network.load_state_dict(best)
    model = _calibrated(model, validation)
    scores = {"painted_test_seed": split_seed(settings, TEST), **_scores(model, paint_cells(settings, TEST))}
    card = replace(model.card, scores=scores)
    return write_training(folder, network, card, history)


def _epochs(model: CellClassifier, settings: TrainSettings, train: CellSet) -> Iterator[float]:
    """Train one epoch after the other; yield each one's mean loss."""
    generator = torch.Generator().manual_seed(settings.seed)
    data = PatchDataset(ArrayPatches(train.images), train.class_index.astype(np.int64))
    batch_size = min(settings.batch_size, len(data))
    batches = DataLoader(data, batch_size, shuffle=True, drop_last=True, generator=generator)
    optimiser = torch.optim.AdamW(
        model.network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, settings.epochs * len(batches))
    for _ in range(settings.epochs):
        model.network.train()
        losses = []
        for images, labels in batches:
            shown = settings.jitter.apply(images.to(model.device) / 255, settings.input_px, generator)
            loss = nn.functional.cross_entropy(model.network(normalised(shown, model.card)), labels.to(model.device))
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
        model.network.eval()
        yield sum(losses) / len(losses)


def _judged(model: CellClassifier, validation: CellSet, epoch: int, train_loss: float) -> Epoch:
    probabilities = model.probabilities(validation.images)
    if not (math.isfinite(train_loss) and np.isfinite(probabilities).all()):
        msg = f"the training diverged in epoch {epoch} (loss {train_loss:.3g}): lower learning_rate"
        raise ModelError(msg)
    loss = _cross_entropy(np.log(probabilities.clip(TINY)), validation.class_index)
    return Epoch(epoch, train_loss, loss, _auc(probabilities[:, BLAST], validation.class_index == BLAST))


def _calibrated(model: CellClassifier, validation: CellSet) -> CellClassifier:
    """Return the model with the temperature of least validation loss (Guo et al., ICML 2017)."""
    logits = np.log(model.probabilities(validation.images).clip(TINY))
    temperature = min(
        np.geomspace(0.1, 10, 401), key=lambda candidate: _cross_entropy(logits / candidate, validation.class_index)
    )
    return replace(model, card=replace(model.card, temperature=float(temperature)))


def _scores(model: CellClassifier, test: CellSet) -> dict[str, float]:
    probabilities, is_blast = model.probabilities(test.images), test.class_index == BLAST
    called = probabilities.argmax(axis=1) == BLAST
    return {
        "painted_test_cells": float(len(is_blast)),
        "painted_test_auc": _auc(probabilities[:, BLAST], is_blast),
        "painted_test_balanced_accuracy": float((called[is_blast].mean() + 1 - called[~is_blast].mean()) / 2),
        "painted_test_loss": _cross_entropy(np.log(probabilities.clip(TINY)), test.class_index),
    }


def _cross_entropy(logits: NDArray[np.float32], class_index: NDArray[np.int32]) -> float:
    """Return the mean cross entropy of logits ``(n, classes)``, nats."""
    rows = np.arange(len(class_index))
    return float((np.logaddexp.reduce(logits, axis=1) - logits[rows, class_index]).mean())


def _auc(scores: NDArray[np.float32], positive: NDArray[np.bool_]) -> float:
    """Return the chance that a positive scores above a negative, ties counting half."""
    negatives = np.sort(scores[~positive])
    below, upto = (np.searchsorted(negatives, scores[positive], side) for side in ("left", "right"))
    return float((below + upto).mean() / 2 / len(negatives))
