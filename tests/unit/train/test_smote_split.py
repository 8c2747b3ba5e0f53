"""SMOTE and augmentation to a count touch the training split alone; the networks of their recipes learn."""

import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from tests.two_painted_sets import write_c_nmc
from wsi_patches.datasets import find_inputs
from wsi_patches.errors import ModelError, UsageError
from wsi_patches.models import load_weights
from wsi_patches.models.plain_cnn import PlainCNN
from wsi_patches.recipe import find_recipe, read_recipe, settings_from
from wsi_patches.train import classifier_network, refit
from wsi_patches.train.augment import Augmentation
from wsi_patches.train.classifier_network import first_network
from wsi_patches.train.engine import EngineSettings
from wsi_patches.train.fields import FieldSettings, train_fields
from wsi_patches.train.patch_task import balanced_accuracy

TURNED = Augmentation(
    stain=0, brightness=0, lamp=0, contrast=0, gamma=0, saturation=0, blur_share=0, noise=0, jpeg_share=0
)
SMALL = FieldSettings(
    architecture="plain_cnn", network={"widths": [8, 16]}, input_px=32, batch_size=8, balance="smote", by="slide",
    patch_cell_diameters=1.5, shares={"train": 0.5, "validation": 0.2, "test": 0.3}, augmentation=TURNED,
    training=EngineSettings(epochs=1, learning_rate=0.01, device="cpu", keep="last"),
)  # fmt: skip
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """Forty-eight cells, of which one class lacks a third."""
    folder = write_c_nmc(tmp_path_factory.mktemp("cells"), 48)
    for path in sorted((folder / "fold_0" / "hem").iterdir())[::3]:
        path.unlink()
    return folder


def trained(folder, out):
    return train_fields(SMALL, find_inputs([folder]).items, out)


def weights_of(training):
    return {name: value.numpy() for name, value in load_weights(training.weights)[0].items()}


def inverted(folder, copy, training, splits):
    """Copy the cells, with other pixels in the pictures of some splits."""
    shutil.copytree(folder, copy)
    rows = [row for row, split in zip(training.split.rows, training.split.names, strict=True) if split in splits]
    assert rows
    for row in rows:
        path = copy / row.path[len(str(folder)) + 1 :]
        assert cv2.imwrite(str(path), 255 - cv2.imread(str(path)))
    return copy


def test_smote_is_handed_the_training_split_and_nothing_else(cells, tmp_path, monkeypatch):
    handed, smote = [], refit.smote
    monkeypatch.setattr(refit, "smote", lambda *given: handed.append(given) or smote(*given))
    training = trained(cells, tmp_path / "out")
    ((features, truth, _),) = handed
    patches = training.test.images.patches
    names = np.array(training.split.names)
    assert len(features) == (names == "train").sum() < len(patches)
    assert truth.tolist() == patches.truth[names == "train"].tolist()


def test_too_few_for_smote_is_told_before_an_epoch(tmp_path):
    folder = write_c_nmc(tmp_path / "cells", 48)
    for path in sorted((folder / "fold_0" / "hem").iterdir())[8:]:
        path.unlink()
    with pytest.raises(UsageError, match="smote needs 6 patches or more of each class in the training split, found"):
        trained(folder, tmp_path / "out")
    assert not (tmp_path / "out" / "history.csv").exists()


def test_pictures_of_validation_and_test_change_no_weight(cells, tmp_path):
    first = trained(cells, tmp_path / "first")
    others = trained(inverted(cells, tmp_path / "a", first, {"validation", "test"}), tmp_path / "others")
    of_train = trained(inverted(cells, tmp_path / "b", first, {"train"}), tmp_path / "of_train")
    assert first.split.names == others.split.names
    began, same, changed = map(weights_of, (first, others, of_train))
    assert all(np.array_equal(began[name], same[name]) for name in began)
    assert not np.array_equal(began["fc.weight"], changed["fc.weight"])


def test_of_a_frozen_network_the_last_layer_alone_learns(cells, tmp_path):
    asked = replace(SMALL, balance="none", frozen=True, head_epochs=1)
    began = first_network(asked, 2).state_dict()
    ended = weights_of(train_fields(asked, find_inputs([cells]).items, tmp_path / "out"))
    moved = {name for name in began if not np.array_equal(began[name].numpy(), ended[name])}
    assert {"fc.weight", "fc.bias"} <= moved
    assert all(name.startswith("fc.") or "running_" in name or "num_batches" in name for name in moved)


@pytest.mark.parametrize("balance", [{"balance": "smote"}, {"balance": "oversample", "oversample_to": 24}])
def test_it_learns_and_its_control_of_shuffled_labels_does_not(balance, tmp_path, monkeypatch):
    monkeypatch.setattr(classifier_network, "BATCH_NORM_MOMENTUM", 0.3)  # to follow within the few steps of a run
    training = EngineSettings(epochs=8, learning_rate=0.003, device="cpu", keep="last")
    figures = []
    for shuffled in (False, True):
        data = write_c_nmc(tmp_path / f"data{shuffled}", 64, shuffled=shuffled)
        asked = FieldSettings(**{**vars(SMALL), **balance, "network": {}, "training": training})
        test = train_fields(asked, find_inputs([data]).items, tmp_path / f"out{shuffled}").test
        figures.append(balanced_accuracy(test.probabilities.argmax(axis=1), test.truth))
    assert figures[0] > max(0.7, figures[1] + 0.2)


def test_a_plain_cnn_takes_any_side_and_refuses_no_stage():
    assert PlainCNN(3)(torch.zeros(2, 3, 9, 9)).shape == (2, 3)
    with pytest.raises(ModelError, match="stages of 1 channel or more"):
        PlainCNN(3, widths=())


def test_the_recipes_are_as_their_papers_say():
    def asked(name):
        values = read_recipe(find_recipe(name))
        assert values.pop("command") == "train"
        return settings_from(FieldSettings, {}, values)

    smote, counted = asked("mobilenet_smote"), asked("efficientnet_c_nmc")
    assert (smote.architecture, smote.balance) == ("mobilenet_v2", "smote")
    assert (counted.architecture, counted.balance, counted.oversample_to) == ("efficientnet_b3", "oversample", 10_000)
    assert counted.by == "patient"
    with pytest.raises(UsageError, match="oversample_to is a count"):
        FieldSettings(balance="smote", oversample_to=10_000)
