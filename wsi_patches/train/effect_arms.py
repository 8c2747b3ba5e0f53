"""What a classifier says of the test half of a split: by its nearest neighbour, or after fine-tuning."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from wsi_patches.models.classifier import choose_device
from wsi_patches.train.augment import Augmentation
from wsi_patches.train.classifier_network import colours_for, first_network
from wsi_patches.train.classifier_settings import ClassifierSettings
from wsi_patches.train.effect_network import Frame, MeanSubtracted, SubtractMean, bytes_less_mean
from wsi_patches.train.engine import fit
from wsi_patches.train.logs import Epoch
from wsi_patches.train.nearest import nearest
from wsi_patches.train.patch_set import PatchSet
from wsi_patches.train.patch_task import PatchTask, PatchView, logits_of

__all__ = ["RANK", "TURNED", "by_neighbours", "by_tuning"]

RANK = 5
TURNED = Augmentation(
    turn="full", flip=True, shift=0, scale=0, stain=0, brightness=0, lamp=0, contrast=0, gamma=0, saturation=0,
    blur_px=0, blur_share=0, noise=0, jpeg_share=0,
)  # fmt: skip
"""Turned by any angle and mirrored, nothing else. Beyond its border a patch is mirrored (MATLAB: black)."""


def by_neighbours(
    features: NDArray[np.float32], truth: NDArray[np.int32], train: NDArray[np.int64], test: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Return the class of the nearest training patch, and whether the true class is among the nearest five patches.

    Parameters
    ----------
    features, truth
        Of all patches, ``(n, dim)`` and ``(n,)``.
    train, test
        Rows; they share none, so that no patch is its own neighbour.
    """
    found = truth[train][nearest(features[train], features[test], RANK)]
    return found[:, 0], (found == truth[test][:, None]).any(axis=1)


@dataclass
class _ToTheEnd(PatchTask):
    """Nothing is held back to choose an epoch by, as published: the last one is kept."""

    def validate(self, network: nn.Module, device: torch.device) -> Mapping[str, float]:  # noqa: ARG002
        return {"loss": 0.0}


@dataclass(frozen=True)
class _Left:
    """What bytes leave of patches when their mean is taken: colours scaled by anything else lie far from 0."""

    patches: PatchView

    def __len__(self) -> int:
        return len(self.patches)

    def read(self, positions: object) -> NDArray[np.uint8]:
        """Return patches, uint8 RGB ``(n, s, s, 3)``."""
        pixels = torch.from_numpy(self.patches.read(positions)).permute(0, 3, 1, 2) / 255
        return (255 * bytes_less_mean(pixels)).round().byte().permute(0, 2, 3, 1).numpy()


def by_tuning(
    settings: ClassifierSettings,
    subtract: SubtractMean,
    patches: PatchSet,
    train: NDArray[np.int64],
    test: NDArray[np.int64],
    folder: Path,
    told: Callable[[Epoch], None] | None = None,
) -> NDArray[np.int32]:
    """Fine-tune a network on some patches, and return the class that it gives each of others.

    Parameters
    ----------
    settings
        The network, and how it is trained; the last epoch is kept.
    subtract
        What patches go through.
    patches
        As large as the network takes them.
    train, test
        Rows of them.
    folder
        Holds the training while it goes on, and goes with it; a training that it holds is gone on with.
    told
        Told after each epoch.

    Raises
    ------
    ModelError
        The training diverged, or the weights to start from cannot be used.
    """
    learnt, asked = (PatchView(patches, rows, settings.input_px) for rows in (train, test))
    first = first_network(settings, len(patches.class_names))
    colours = colours_for(settings, _Left(learnt) if subtract == "uint8" else learnt)
    network = MeanSubtracted(first, colours, subtract)
    frame, training = Frame(settings.input_px), replace(settings.training, keep="last", patience=None)
    task = _ToTheEnd(network, frame, learnt, asked, replace(settings, training=training))
    fitted = fit(task, training, folder, resume=True, progress=told)
    network.load_state_dict(fitted.best_state)
    device = choose_device(training.device)
    logits = logits_of(network.to(device).eval(), frame, asked, device)
    shutil.rmtree(folder)
    return np.asarray(logits.argmax(axis=1), np.int32)
