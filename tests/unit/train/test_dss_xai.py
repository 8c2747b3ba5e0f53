"""DSS-XAI's training: its losses by hand, a last layer that learns first, and a run that learns what can be learnt."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from tests.painted_sets import CELL_DIAMETERS, painted_cells, write_class_folders
from wsi_patches.datasets import find_inputs
from wsi_patches.errors import UsageError
from wsi_patches.models import CellClassifier
from wsi_patches.models.classifier import normalised
from wsi_patches.models.dss_xai import orthogonality
from wsi_patches.recipe import find_recipe, read_recipe, settings_from
from wsi_patches.train.classifier_network import first_network
from wsi_patches.train.dss_xai import DssSettings, DssTask, triplet_loss
from wsi_patches.train.engine import EngineSettings
from wsi_patches.train.fields import cut_fields, train_fields
from wsi_patches.train.patch_task import PatchTask, PatchView

SMALL = DssSettings(
    network={"width": 8},
    input_px=32,
    batch_size=16,
    by="slide",
    shares={"train": 0.6, "validation": 0.2, "test": 0.2},
    patch_cell_diameters=CELL_DIAMETERS,
    head_epochs=1,
    training=replace(DssSettings().training, epochs=6, learning_rate=0.05, device="cpu"),
)


def items(folder):
    return find_inputs([folder]).items


@pytest.fixture(scope="module")
def painted(tmp_path_factory):
    return items(write_class_folders(tmp_path_factory.mktemp("painted"), count=80, side_px=32))


def task_of(settings, painted, folder):
    patches, _ = cut_fields(settings, painted, folder)
    view = PatchView(patches, np.arange(len(patches)), settings.input_px)
    frame = frame_of(settings)
    return settings.patch_task(first_network(settings, 2), frame, view, view)


def frame_of(settings):
    class Frame:
        input_px, mean, std = settings.input_px, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)

    return Frame()


def test_triplets_by_hand():
    # Of length 1: (1, 0), (0.6, 0.8) and, of the other class, (0, 1).
    features = torch.tensor([[2.0, 0.0], [3.0, 4.0], [0.0, 5.0]])
    near, far = 0.8**0.5, 2**0.5  # |a - p|, and from (1, 0) to (0, 1)
    other = 0.4**0.5  # from (0.6, 0.8) to (0, 1)
    wrong = near - other + 0.05  # the other triplet, near - far + 0.05, is right and does not count
    assert near - far + 0.05 < 0 < wrong
    assert float(triplet_loss(0.05)(features, torch.tensor([0, 0, 1]))) == pytest.approx(wrong, abs=1e-5)


def test_a_batch_without_triplets_costs_nothing():
    assert float(triplet_loss()(torch.rand(3, 4), torch.tensor([0, 0, 0]))) == 0


def test_the_loss_is_the_sum_of_three(painted, tmp_path):
    task = task_of(SMALL, painted, tmp_path)
    assert isinstance(task, DssTask)
    batch = next(iter(task.batches(1)))
    task.network.eval()
    plain = PatchTask.loss(task, batch, torch.device("cpu"))
    features = task.network.describe(normalised(batch[0], task.frame)).features
    wanted = plain + triplet_loss(0.05)(features, batch[1]) + 0.1 * orthogonality(task.network)
    torch.testing.assert_close(task.loss(batch, torch.device("cpu")), wanted)


def test_only_the_last_layer_learns_at_first(painted, tmp_path):
    settings = replace(SMALL, training=replace(SMALL.training, epochs=1, learning_rate=1e-8, momentum=0.0))
    began = first_network(settings, 2).state_dict()
    trained = train_fields(settings, painted, tmp_path / "out")
    ended = CellClassifier.load(trained.weights, "cpu").network.state_dict()
    moved = {name for name in began if not torch.allclose(began[name].float(), ended[name].float(), atol=1e-5)}
    assert {"fc.weight", "fc.bias"} <= moved
    assert all(name.startswith("fc.") or "running_" in name or "num_batches" in name for name in moved)


def test_of_equal_accuracies_the_lower_loss_is_better(painted, tmp_path):
    task = task_of(SMALL, painted, tmp_path)
    device = torch.device("cpu")

    def figure(logits):
        with torch.no_grad():
            for one in task.network.parameters():
                one.zero_()
            task.network.fc.bias.copy_(torch.tensor(logits))
        return task.validate(task.network.eval(), device)["accuracy_then_loss"]

    right = float((task.validation.truth == 0).mean())
    mild, sure = figure([0.1, 0.0]), figure([5.0, 0.0])
    assert sure < mild  # both call all the same: who is surer of what is wrong has the larger loss
    assert mild < right < mild + 1 / len(task.validation)


def test_a_killed_run_ends_with_the_same_bits(painted, tmp_path):
    class Killed(Exception):
        pass

    def killed(what, done, _total):
        if (what, done) == ("epochs", 1):
            raise Killed

    settings = replace(SMALL, training=replace(SMALL.training, epochs=2))
    whole = train_fields(settings, painted, tmp_path / "whole")
    with pytest.raises(Killed):
        train_fields(settings, painted, tmp_path / "killed", killed)
    again = train_fields(settings, painted, tmp_path / "killed", resume=True)
    assert again.weights.read_bytes() == whole.weights.read_bytes()


def write_three(folder, *, shuffled=False):
    """Paint lymphoblasts, normal cells and bare glass as class folders; ``shuffled`` deals classes out by chance."""
    cells, truth = painted_cells(160, 48)
    rng = np.random.default_rng(0)
    light = np.median(cells, axis=(1, 2))[:80, None, None]
    glass = np.clip(light + rng.normal(0, 3, (80, 48, 48, 3)), 0, 255).astype(np.uint8)
    names = np.array(["lymphoblast", "normal", "nothing"])[[*truth.tolist(), *[2] * 80]]
    for number, name in enumerate(rng.permutation(names) if shuffled else names):
        (folder / name).mkdir(parents=True, exist_ok=True)
        image = cells[number] if number < 160 else glass[number - 160]
        cv2.imwrite(str(folder / name / f"{number:03}.png"), image[..., ::-1])
    return items(folder)


@pytest.mark.slow
def test_a_small_training_beats_dealt_labels(tmp_path):
    settings = replace(SMALL, input_px=48, training=replace(SMALL.training, learning_rate=0.02))
    learnt = train_fields(settings, write_three(tmp_path / "set"), tmp_path / "learnt")
    chance = train_fields(settings, write_three(tmp_path / "dealt", shuffled=True), tmp_path / "chance")
    scores = [one.card.scores["test_balanced_accuracy"] for one in (learnt, chance)]
    assert scores[0] > 0.65 > 0.5 > scores[1]  # 1/3 is chance


def test_the_recipe_is_as_published():
    values = read_recipe(find_recipe("dss_xai"))
    values.pop("command")
    settings = settings_from(DssSettings, {}, values, "dss_xai")
    assert settings.training == EngineSettings(
        epochs=90, optimizer="sgd", learning_rate=0.002, weight_decay=5e-4, schedule="halving"
    )
    assert (settings.head_epochs, settings.head_learning_rate, settings.batch_size) == (2, 0.02, 8)
    assert (settings.triplet_margin, settings.orthogonality_weight, settings.overlaps) == (0.05, 0.1, "released")


def test_another_network_is_refused():
    with pytest.raises(UsageError, match="try task: fields"):
        DssSettings(architecture="resnet18")
