"""Training on painted cells learns, repeats itself, and leaves files that load."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from wsi_patches.errors import ModelError, OutputExists, UsageError
from wsi_patches.models import CellClassifier, ModelCard
from wsi_patches.recipe import read_recipe, settings_from
from wsi_patches.train import PatchJitter, TrainSettings, train_cell_classifier
from wsi_patches.train.cells import _auc, _cross_entropy

SMALL = TrainSettings(
    cells=500,
    test_cells=120,
    input_px=40,
    patch_cell_diameters=1.3,
    widths=(8, 16),
    epochs=3,
    batch_size=16,
    learning_rate=0.01,
    jitter=PatchJitter(shift=0, scale=0, stain=0, brightness=0),
    device="cpu",
)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    seen = []
    result = train_cell_classifier(SMALL, tmp_path_factory.mktemp("train") / "out", on_epoch=seen.append)
    return result, seen


def test_something_better_than_chance_is_learned(trained):
    result, _ = trained

    assert result.card.scores["painted_test_auc"] > 0.7
    assert result.card.scores["painted_test_cells"] == 120


def test_every_epoch_is_told_and_written(trained):
    result, seen = trained

    assert tuple(seen) == result.history
    assert [epoch.epoch for epoch in seen] == [1, 2, 3]
    with result.weights.with_name("history.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["validation_loss"]) for row in rows] == [epoch.validation_loss for epoch in seen]
    assert cv2.imread(str(result.curve)).shape == (400, 640, 3)


def test_what_is_written_is_the_best_epoch_and_its_card(trained):
    result, _ = trained
    classifier = CellClassifier.load(result.weights, "cpu")

    assert classifier.card == result.card
    assert ModelCard.from_dict(json.loads(result.weights.with_name("card.json").read_text())) == result.card
    assert "painted" in result.card.limits
    assert result.card.patch_cell_diameters == SMALL.patch_cell_diameters


def test_a_seed_gives_the_same_bits(tmp_path):
    tiny = replace(SMALL, cells=200, test_cells=50, epochs=1, jitter=PatchJitter())

    one, two, other = (
        train_cell_classifier(settings, tmp_path / str(number)).weights.read_bytes()
        for number, settings in enumerate((tiny, tiny, replace(tiny, seed=1)))
    )

    assert one == two
    assert one != other


def test_an_output_that_is_there_is_kept(trained):
    result, _ = trained
    before = result.weights.read_bytes()

    with pytest.raises(OutputExists, match="--overwrite"):
        train_cell_classifier(SMALL, result.weights.parent)

    assert result.weights.read_bytes() == before


def test_divergence_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(PatchJitter, "apply", lambda self, images, size_px, generator: images * float("nan"))

    with pytest.raises(ModelError, match="diverged in epoch 1"):
        train_cell_classifier(replace(SMALL, cells=200, epochs=1), tmp_path / "out")

    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [("cells", 10), ("epochs", 0), ("validation_share", 0.9), ("learning_rate", float("nan")), ("seed", -1)],
)
def test_impossible_settings_are_named(name, value):
    with pytest.raises(UsageError, match=f"{name} of a training must lie in"):
        replace(SMALL, **{name: value})


def test_scores_are_the_textbook_ones():
    scores, positive = np.array([0.9, 0.4, 0.4, 0.1], np.float32), np.array([True, True, False, False])
    logits = np.log(np.array([[0.5, 0.5], [0.8, 0.2]], np.float32))

    assert _auc(scores, positive) == pytest.approx(3.5 / 4)
    assert _cross_entropy(logits, np.array([0, 1])) == pytest.approx(-(np.log(0.5) + np.log(0.2)) / 2)


def test_the_demo_recipe_reads():
    recipe = read_recipe(Path(__file__).parents[2] / "configs" / "demo_cells.yaml")

    settings = settings_from(TrainSettings, {}, recipe)

    assert recipe["command"] == "train"
    assert settings.name == "painted-cells-lbp"
