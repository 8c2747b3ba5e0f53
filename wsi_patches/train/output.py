"""What training leaves behind: weights, card, history and a picture of the losses."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import nn

from wsi_patches.models.card import ModelCard
from wsi_patches.models.weights import save_weights

__all__ = ["Epoch", "TrainResult", "write_training"]


@dataclass(frozen=True)
class Epoch:
    """How one epoch went; losses are mean cross entropies in nats."""

    epoch: int
    """From 1."""
    train_loss: float
    validation_loss: float
    validation_auc: float
    """Area under the ROC curve, blast against other."""


@dataclass(frozen=True)
class TrainResult:
    """What training came to."""

    card: ModelCard
    history: tuple[Epoch, ...]
    weights: Path
    """The weight file, its card within."""
    curve: Path
    """A picture of the losses."""


def write_training(folder: Path, network: nn.Module, card: ModelCard, history: Sequence[Epoch]) -> TrainResult:
    """Write ``weights.safetensors``, ``card.json``, ``history.csv`` and ``curve.png`` into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    weights, curve = folder / "weights.safetensors", folder / "curve.png"
    save_weights(weights, network, card)
    (folder / "card.json").write_text(json.dumps(card.to_dict(), indent=2) + "\n", encoding="utf-8")
    with (folder / "history.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.DictWriter(file, [one.name for one in fields(Epoch)], lineterminator="\n")
        rows.writeheader()
        rows.writerows(asdict(epoch) for epoch in history)
    curve.write_bytes(cv2.imencode(".png", _curve(history))[1].tobytes())
    return TrainResult(card, tuple(history), weights, curve)


def _curve(history: Sequence[Epoch]) -> NDArray[np.uint8]:
    """Draw the losses over the epochs, 640 x 400, in OpenCV's order of channels."""
    picture = np.full((400, 640, 3), 255, np.uint8)
    lines = {"train_loss": (180, 110, 20), "validation_loss": (30, 100, 220)}
    losses = np.array([[getattr(epoch, name) for name in lines] for epoch in history])
    x, y = np.linspace(60, 620, max(len(history), 2))[: len(history)], 360 - 340 * losses / losses.max()
    cv2.rectangle(picture, (60, 20), (620, 360), (0, 0, 0))
    words = [
        (f"{losses.max():.2f}", (10, 30)),
        ("0", (40, 364)),
        ("1", (58, 384)),
        (f"epoch {len(history)}", (550, 384)),
    ]
    text = [(word, at, (0, 0, 0)) for word, at in words]
    for column, (name, colour) in enumerate(lines.items()):
        points = np.stack([x, y[:, column]], axis=1).round().astype(np.int32)
        cv2.polylines(picture, [points], False, colour, 2, cv2.LINE_AA)
        text.append((name.replace("_", " "), (440, 45 + 22 * column), colour))
    for word, at, colour in text:
        cv2.putText(picture, word, at, cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, 1, cv2.LINE_AA)
    return picture
