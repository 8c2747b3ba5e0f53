"""HistoTNet's six convolutions learn painted tissue, and nothing from the same labels dealt by chance."""

from functools import partial

import pytest

from tests.painted_tissue import write_tissue_classes
from tests.unit.train.dealt_labels import learnt_and_dealt
from wsi_patches.train import classifier_network
from wsi_patches.train.engine_settings import EngineSettings
from wsi_patches.train.fields import FieldSettings
from wsi_patches.train.label_settings import FLIPS

SMALL = FieldSettings(
    architecture="six_conv", input_px=224, normalisation="scalar", batch_size=4, augmentation=FLIPS,
    by="slide", shares={"train": 0.45, "validation": 0.1, "test": 0.45}, split_seed=1, patch_cell_diameters=1.5,
    training=EngineSettings(
        epochs=3, optimizer="sgd", learning_rate=0.01, weight_decay=5e-4, keep="last", seed=1, device="cpu"
    ),
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_it_learns_and_its_control_of_shuffled_labels_does_not(tmp_path, monkeypatch):
    monkeypatch.setattr(classifier_network, "BATCH_NORM_MOMENTUM", 0.3)  # to follow within the nine steps of a run
    figures = learnt_and_dealt(SMALL, partial(write_tissue_classes, count=28, side_px=224), tmp_path)
    assert figures[0] > 0.8
    assert figures[0] > figures[1] + 0.2
