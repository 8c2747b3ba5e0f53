"""Fine-tuning of one arm: it learns what is there to learn, from the patches that it is given alone."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from wsi_patches.datasets import SlideItem
from wsi_patches.train.classifier_settings import ClassifierSettings
from wsi_patches.train.effect_arms import TURNED, by_tuning
from wsi_patches.train.effect_network import SubtractMean
from wsi_patches.train.engine_settings import EngineSettings
from wsi_patches.train.patch_set import PatchSet

COUNT, PX = 80, 32
SETTINGS = ClassifierSettings(
    architecture="allnet", network={"widths": [8, 16]}, input_px=PX, batch_size=10, augmentation=TURNED,
    training=EngineSettings(epochs=8, optimizer="sgd", learning_rate=0.02, schedule="constant", device="cpu"),
)  # fmt: skip


def textures(shuffled=False):
    """Return patches of fine and of coarse noise, of one mean each: no turn, mirror or brightness tells them apart."""
    rng = np.random.default_rng(5)
    truth = (np.arange(COUNT) % 2).astype(np.int32)
    images = rng.normal(size=(COUNT, PX, PX, 3)).astype(np.float32)
    for row in np.flatnonzero(truth).tolist():
        coarse = cv2.GaussianBlur(images[row], (0, 0), 2.0)
        images[row] = coarse / coarse.std()
    pixels = np.clip(150 + 30 * images, 0, 255).astype(np.uint8)
    said = rng.permutation(truth) if shuffled else truth
    items = tuple(SlideItem(f"{row}.png") for row in range(COUNT))
    return PatchSet(("fine", "coarse"), items, pixels, said, np.arange(COUNT, dtype=np.int32), np.zeros((COUNT, 2)))


@pytest.mark.parametrize("subtract", ["float", "uint8"])
def test_it_learns_and_its_control_of_shuffled_labels_does_not(subtract: SubtractMean, tmp_path: Path):
    train, test = np.arange(0, COUNT // 2), np.arange(COUNT // 2, COUNT)
    right = []
    for shuffled in (False, True):
        patches = textures(shuffled)
        said = by_tuning(SETTINGS, subtract, patches, train, test, tmp_path / "run")
        right.append((said == patches.truth[test]).mean())
        assert not (tmp_path / "run").exists()
    assert right[0] > 0.9 > 0.75 > right[1]
