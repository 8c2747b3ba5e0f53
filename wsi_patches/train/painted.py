"""Painted cells to learn from, and what the card says of a model that saw nothing else."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wsi_patches.cells import ALL_IDB_CLASSES
from wsi_patches.models.card import ModelCard
from wsi_patches.synthetic import paint_cell_patches
from wsi_patches.train.settings import TrainSettings

__all__ = ["TEST", "TRAIN", "VALIDATION", "CellSet", "paint_cells", "painted_card", "split_seed"]

TRAIN, VALIDATION, TEST = range(3)
LIMITS = (
    "knows only painted cells: it was never shown a photograph of blood, and what it says of real cells means nothing"
)


class CellSet(NamedTuple):
    """Patches of cells, uint8 RGB ``(n, s, s, 3)``, and their indices into `ALL_IDB_CLASSES`, ``(n,)``."""

    images: NDArray[np.uint8]
    class_index: NDArray[np.int32]


def split_seed(settings: TrainSettings, split: int) -> int:
    """Return the seed that a split is painted from: each has its own, so that no smear is in two."""
    return int(np.random.SeedSequence([settings.seed, split]).generate_state(1)[0])


def paint_cells(settings: TrainSettings, split: int) -> CellSet:
    """Paint a split; cells to learn from get the margin that the jitter cuts away."""
    held_out = round(settings.cells * settings.validation_share)
    count = {TRAIN: settings.cells - held_out, VALIDATION: held_out, TEST: settings.test_cells}[split]
    size_px = round(settings.input_px * (settings.jitter.margin if split == TRAIN else 1))
    diameters = settings.patch_cell_diameters * size_px / settings.input_px
    return CellSet(*paint_cell_patches(count, split_seed(settings, split), size_px, diameters))


def painted_card(settings: TrainSettings, images: NDArray[np.uint8]) -> ModelCard:
    """Return the card of a network that is yet to be trained on ``images``."""
    chosen_by = settings.cells - len(images)
    red, green, blue = (images[..., channel] / np.float32(255) for channel in range(3))
    return ModelCard(
        name=settings.name,
        title="Blast or other white cell, painted cells only, a small network with fixed kernels",
        architecture="allnet",
        settings={"depth": settings.depth, "widths": list(settings.widths), "kernel": settings.kernel},
        classes=ALL_IDB_CLASSES,
        input_px=settings.input_px,
        mean=(float(red.mean()), float(green.mean()), float(blue.mean())),
        std=(float(red.std()), float(green.std()), float(blue.std())),
        trained_on=f"{len(images)} painted cells on painted smears of many stains (seed {settings.seed}); epoch and "
        f"temperature chosen by {chosen_by} others, scores measured on yet others",
        limits=LIMITS,
        licence="Apache-2.0",
        patch_cell_diameters=settings.patch_cell_diameters,
        paper="ALLNet, IEEE CIVEMSA 2022",
        doi="10.1109/CIVEMSA53371.2022.9853691",
        changes=f"ResNet-{settings.depth} plan with stages of {', '.join(map(str, settings.widths))} channels, "
        f"{settings.input_px} px input, trained from scratch with AdamW on painted cells",
    )
