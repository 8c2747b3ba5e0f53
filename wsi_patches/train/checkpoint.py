"""What a training leaves after each epoch, so that it can go on after a kill."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import torch
from torch import Tensor

from wsi_patches.errors import ModelError, UsageError
from wsi_patches.stores.files import replacing, sync_folder
from wsi_patches.train.logs import Epoch

__all__ = ["CHECKPOINT", "Checkpoint", "State", "read_checkpoint", "write_checkpoint"]

CHECKPOINT = "checkpoint.pt"
FORMAT = 1
State = dict[str, Tensor]


@dataclass(frozen=True)
class Checkpoint:
    """All that the next epoch depends on.

    Generators of random numbers are not in it: every epoch seeds them anew, from the run's seed and its number.
    """

    network: State
    average: State | None
    """The running average of the weights, if there is one."""
    optimizer: dict[str, Any]
    history: tuple[Epoch, ...]
    """The epochs that are done."""
    best_epoch: int
    best_state: State


def write_checkpoint(path: Path, checkpoint: Checkpoint, settings: Mapping[str, Any]) -> None:
    """Write a checkpoint that is whole or absent, through a power cut too.

    Parameters
    ----------
    path
        Replaced if it is there.
    checkpoint
        Tensors and plain values.
    settings
        What the run depends on, as plain values; a resume with others is refused.
    """
    # Not asdict: it would copy every tensor.
    values = {**vars(checkpoint), "history": [asdict(epoch) for epoch in checkpoint.history]}
    with replacing(path, durable=True) as partial:
        torch.save({"format": FORMAT, "settings": dict(settings), **values}, partial)
    sync_folder(path.parent)


def read_checkpoint(path: Path, settings: Mapping[str, Any]) -> Checkpoint:
    """Read a checkpoint; tensors come to the CPU.

    Raises
    ------
    ModelError
        The file is damaged, or of another version.
    UsageError
        It is of a run with other settings.
    """
    if not _is_intact(path):
        msg = f"{path} is no intact checkpoint: remove it and train again"
        raise ModelError(msg)
    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, pickle.UnpicklingError) as error:
        msg = f"{path} is no intact checkpoint ({' '.join(str(error).split())[:200]}): remove it and train again"
        raise ModelError(msg) from error
    if not isinstance(values, dict) or values.pop("format", None) != FORMAT:
        msg = f"{path} is no checkpoint of this version: remove it and train again"
        raise ModelError(msg)
    _check_settings(path, values.pop("settings"), dict(settings))
    history = tuple(Epoch(**epoch) for epoch in values.pop("history"))
    return Checkpoint(history=history, **values)


def _is_intact(path: Path) -> bool:
    """Hold each member against its checksum, which torch writes and does not read."""
    try:
        with ZipFile(path) as file:
            return file.testzip() is None
    except BadZipFile:
        return False


def _check_settings(path: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    names = [name for name in dict.fromkeys([*before, *now]) if before.get(name) != now.get(name)]
    if names:
        told = ", ".join(f"{name} {before.get(name)!r}, now {now.get(name)!r}" for name in names)
        msg = f"{path} is of a training with other settings ({told}): resume with the same, or start anew elsewhere"
        raise UsageError(msg)
