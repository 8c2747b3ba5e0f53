"""``wsi-patches train``: a recipe into weights with a card."""

from __future__ import annotations

from pathlib import Path

from wsi_patches.pipeline import Progress
from wsi_patches.train import TrainResult, TrainSettings, train_cell_classifier

__all__ = ["TrainResult", "TrainSettings", "train"]


def train(
    settings: TrainSettings, out: Path, *, overwrite: bool = False, progress: Progress | None = None
) -> TrainResult:
    """Train the demo's model on painted cells, and write its weights, card, history and curve.

    Raises
    ------
    OutputExists
        The folder is there and ``overwrite`` is not set.
    """
    on_epoch = None if progress is None else lambda epoch: progress(epoch.epoch, settings.epochs)
    return train_cell_classifier(settings, out, overwrite=overwrite, on_epoch=on_epoch)
