"""A last layer that learns alone before all others do, so that its first steps do not spoil what they know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from wsi_patches.models.systems import find_system
from wsi_patches.train.classifier_settings import ClassifierSettings
from wsi_patches.train.engine import fit
from wsi_patches.train.patch_task import PatchTask

__all__ = ["freeze_all_but_head", "learn_head_first"]

FOLDER = "head"


def freeze_all_but_head(network: nn.Module, architecture: str) -> list[nn.Parameter]:
    """Let nothing learn but a network's last layer; return what would have learnt."""
    head = {id(one) for one in network.get_submodule(find_system(architecture).head).parameters()}
    others = [one for one in network.parameters() if one.requires_grad and id(one) not in head]
    for one in others:
        one.requires_grad_(False)
    return others


def learn_head_first(
    task: PatchTask, settings: ClassifierSettings, folder: Path, depends_on: Mapping[str, Any]
) -> None:
    """Train the last layer of a task's network for the settings' ``head_epochs``.

    Nothing else of the network changes but its running means and variances.

    Parameters
    ----------
    task
        Its network is trained in place.
    settings
        For how long, and how fast.
    folder
        Gets a folder ``head`` with what the training loop writes; a run that was killed goes on there.
    depends_on
        As `fit` takes it.

    Raises
    ------
    ModelError
        The training diverged.
    """
    if not settings.head_epochs:
        return
    others = freeze_all_but_head(task.network, settings.architecture)
    short = replace(
        settings.training,
        epochs=settings.head_epochs,
        learning_rate=settings.head_learning_rate or settings.training.learning_rate,
        schedule="constant",
        warmup_epochs=0.0,
        ema_decay=None,
        patience=None,
        keep="last",
    )
    fitted = fit(task, short, folder / FOLDER, resume=True, depends_on=depends_on)
    for one in others:
        one.requires_grad_(True)
    task.network.load_state_dict(fitted.best_state)
