"""``wsi-patches train dl4all --data FOLDER --source FOLDER``: pictures of cells learnt beside another set."""

from __future__ import annotations

from pathlib import Path

from wsi_patches.pipeline import Progress
from wsi_patches.train.two_set_settings import TwoSetSettings
from wsi_patches.train.two_sets import train_two_sets
from wsi_patches.workflows.output import Existing
from wsi_patches.workflows.train_folder import FolderTraining, TrainingData, measured_training, open_training

__all__ = ["train_two_sets_on_folders"]


def train_two_sets_on_folders(
    settings: TwoSetSettings,
    data: TrainingData,
    out: Path,
    existing: Existing,
    progress: Progress | None = None,
) -> FolderTraining:
    """Train a classifier of pictures beside another set, and measure it on the test split.

    Parameters and errors are those of `train_on_folder`; the settings say which the other set is.
    """
    items, notes = open_training(data, out, existing)
    told = None if progress is None else lambda _what, done, total: progress(done, total)
    trained = train_two_sets(settings, items, out, told, resume=existing.resume)
    return measured_training(settings, trained, out, notes)
