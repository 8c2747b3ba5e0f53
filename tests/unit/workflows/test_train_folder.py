"""What a training is measured beside."""

from types import SimpleNamespace

import numpy as np

from wsi_patches.train.classifier import TestPatches
from wsi_patches.workflows.train_folder import measured_test


def test_colour_needs_two_patients_to_be_learnt_in_folds(tmp_path):
    images = np.random.default_rng(1).integers(0, 255, (12, 8, 8, 3), np.uint8)
    test = TestPatches(
        class_names=("blast", "other"),
        ids=np.array([f"p{row}" for row in range(12)]),
        groups=np.full(12, "patient 1"),
        group_kind="patient",
        truth=np.arange(12, dtype=np.int32) % 2,
        probabilities=np.full((12, 2), 0.5, np.float32),
        images=SimpleNamespace(read=lambda rows: images[rows]),
    )
    _, baselines, page, told = measured_test(test, 0, tmp_path / "test", "test", {})

    assert page.exists()
    assert not baselines
    assert len(told) == 1
    assert "keep a patient together, and all test patches are of one" in told[0]
