"""What is written of a training while it runs: a table of its epochs, and TensorBoard's files where it is installed."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from wsi_patches.stores.files import replacing

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

__all__ = ["HISTORY", "Epoch", "TrainingLog", "write_history"]

HISTORY = "history.csv"


@dataclass(frozen=True)
class Epoch:
    """How one epoch went."""

    epoch: int
    """From 1."""
    train_loss: float
    """Mean over the epoch's batches, while the weights moved."""
    learning_rate: float
    """At the epoch's last step."""
    figures: Mapping[str, float]
    """What validation gave, by name."""
    seconds: float = field(default=0.0, compare=False)
    """How long it took, validation included."""

    def row(self) -> dict[str, float]:
        """Return the epoch as a flat row."""
        told = {"epoch": self.epoch, "train_loss": self.train_loss, "learning_rate": self.learning_rate}
        return {**told, "seconds": round(self.seconds, 3), **self.figures}


def write_history(path: Path, history: Sequence[Epoch]) -> None:
    """Write a CSV with a row an epoch: epoch, train_loss, learning_rate, seconds, and validation's figures."""
    rows = [epoch.row() for epoch in history]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


class TrainingLog:
    """``history.csv`` and, where TensorBoard is installed, ``tensorboard/`` in a training's folder.

    Parameters
    ----------
    folder
        Where they go.
    history
        The epochs that are done; what was told of later ones, before a kill, is taken back.
    """

    def __init__(self, folder: Path, history: Sequence[Epoch] = ()) -> None:
        self._history = folder / HISTORY
        write_history(self._history, history)
        self._scalars: SummaryWriter | None = None
        if find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._scalars = SummaryWriter(folder / "tensorboard", purge_step=len(history) + 1)

    def tell(self, history: Sequence[Epoch]) -> None:
        """Write a history whose last epoch is new."""
        write_history(self._history, history)
        if self._scalars is not None:
            row = history[-1].row()
            epoch = int(row.pop("epoch"))
            for name, value in row.items():
                self._scalars.add_scalar(name, value, epoch)
            self._scalars.flush()

    def close(self) -> None:
        """Let the files go."""
        if self._scalars is not None:
            self._scalars.close()
