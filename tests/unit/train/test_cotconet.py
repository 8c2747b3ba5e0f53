"""CoTCoNet learns painted cells, and nothing from the same labels dealt by chance; then it is an encoder."""

import hashlib
from functools import partial

import numpy as np
import pytest
import yaml

from tests.painted_sets import painted_cells, write_class_folders
from tests.unit.train.dealt_labels import learnt_and_dealt
from wsi_patches.models.encoders import FrozenEncoder
from wsi_patches.train import classifier_network
from wsi_patches.train.engine_settings import EngineSettings
from wsi_patches.train.fields import FieldSettings
from wsi_patches.train.label_settings import FLIPS

NETWORK = {"width": 8, "dim": 32, "heads": 2, "depth": 1}
SMALL = FieldSettings(
    architecture="cotconet", network=NETWORK, input_px=32, batch_size=8, augmentation=FLIPS, by="slide",
    shares={"train": 0.5, "validation": 0.1, "test": 0.4}, split_seed=1, patch_cell_diameters=1.5, calibration="none",
    training=EngineSettings(
        epochs=10, learning_rate=0.001, warmup_epochs=1, ema_decay=None, keep="last", seed=1, device="cpu"
    ),
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_it_learns_and_its_control_of_shuffled_labels_does_not(tmp_path, monkeypatch):
    monkeypatch.setattr(classifier_network, "BATCH_NORM_MOMENTUM", 0.3)  # to follow within the few steps of a run
    figures = learnt_and_dealt(SMALL, partial(write_class_folders, count=400), tmp_path)
    assert figures[0] > 0.75
    assert figures[0] > figures[1] + 0.2

    weights = tmp_path / "False" / "out" / "weights.safetensors"
    told = {
        "name": "cotconet", "library": "wsi-patches", "network": "cotconet", "options": NETWORK, "dim": 32 + 32,
        "weights": str(weights), "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(), "input_px": 32,
        "mean": [0.8, 0.7, 0.8], "std": [0.2, 0.2, 0.2],
    }  # fmt: skip
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(told))
    features = FrozenEncoder.load(str(tmp_path / "mine.yaml"), "cpu").features(painted_cells(4)[0])
    assert features.shape == (4, 64)
    assert np.isfinite(features).all()
    assert all(np.ptp(half, axis=0).max() > 0 for half in np.split(features, 2, axis=1))
