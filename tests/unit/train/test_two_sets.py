"""Two painted sets learnt at once: what is shown and weighed, what is kept, resuming, and learning more than chance."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.two_painted_sets import LABELS, write_adp, write_c_nmc
from tests.unit.train.same_bits import assert_same_bits
from wsi_patches.datasets import find_inputs
from wsi_patches.errors import UsageError
from wsi_patches.models.classifier import CellClassifier
from wsi_patches.recipe import settings_from
from wsi_patches.train.classifier_network import first_network
from wsi_patches.train.engine import EngineSettings
from wsi_patches.train.fields import cut_fields
from wsi_patches.train.interleaving import Pair
from wsi_patches.train.patch_set import split_patches
from wsi_patches.train.patch_task import PatchView
from wsi_patches.train.source_set import SourceSettings, cut_source
from wsi_patches.train.task import Compute, SteppingTask
from wsi_patches.train.two_set_settings import TwoSetSettings
from wsi_patches.train.two_set_steps import TwoSetSteps
from wsi_patches.train.two_sets import class_counts_weights, train_two_sets, two_set_task

CPU = Compute(torch.device("cpu"))
TRAINING = EngineSettings(
    epochs=2, optimizer="sgd", learning_rate=0.01, weight_decay=5e-4, schedule="constant", device="cpu"
)
SMALL = TwoSetSettings(
    architecture="allnet", network={"widths": [8, 16]}, input_px=32, patch_cell_diameters=1.5, training=TRAINING
)
FRAME_PX = 32

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def without_tensorboard(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)


@pytest.fixture(scope="module")
def painted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    write_c_nmc(folder / "target", 96)
    write_adp(folder / "source", 60)
    return folder


def asked(painted, **values):
    return replace(SMALL, source=SourceSettings(painted / "source", **values.pop("source", {})), **values)


def made(settings, painted, folder):
    """Return the task of a training, before its first step."""
    source = cut_source(settings.source, settings.input_px, settings.learns_slides, folder)
    patches, _ = cut_fields(settings, find_inputs([painted / "target"]).items, folder)
    _, names = split_patches(patches, settings.by, settings.shares, settings.split_seed)
    train, validation = (
        PatchView(patches, np.flatnonzero(names == name), FRAME_PX) for name in ("train", "validation")
    )
    frame = type("Frame", (), {"input_px": FRAME_PX, "mean": (0.5,) * 3, "std": (0.25,) * 3})()
    return two_set_task(settings, source, first_network(settings, 2), frame, train, validation)


def trained(settings, painted, folder, *, resume=False):
    return train_two_sets(settings, find_inputs([painted / "target"]).items, folder, resume=resume)


@pytest.mark.parametrize(
    ("strategy", "source_size", "labels", "outputs"),
    [("regular", 8, (8, len(LABELS)), len(LABELS)), ("self", 7, (7,), 6), ("greedy", 7, (7, len(LABELS)), len(LABELS))],
)
def test_each_strategy_shows_its_batches_and_teaches_its_labels(
    painted, tmp_path, strategy, source_size, labels, outputs
):
    task = made(asked(painted, strategy=strategy), painted, tmp_path)
    assert isinstance(task, SteppingTask)

    pairs = list(task.batches(1))

    targets = len(task.judge.train)
    assert source_size == (8 if strategy == "regular" else 8 * 60 // targets)
    assert len(pairs) == len(task.batches(1)) == min(60 // source_size, targets // 8)
    assert all(isinstance(pair, Pair) for pair in pairs)
    assert pairs[0].source[1].shape == labels
    assert pairs[0].source[0].shape == (source_size, 3, FRAME_PX, FRAME_PX)
    assert pairs[0].target[0].shape == (8, 3, FRAME_PX, FRAME_PX)
    assert task.heads.source.out_features == outputs
    assert task.kind == ("greedy" if strategy == "greedy" else "joint")
    again, other = list(task.batches(1)), list(task.batches(2))
    assert torch.equal(again[0].source[0], pairs[0].source[0])
    assert not torch.equal(other[0].source[0], pairs[0].source[0])


def test_classes_weigh_as_published_and_colours_are_those_of_each_set(painted, tmp_path):
    task = made(asked(painted), painted, tmp_path)

    truth = np.concatenate([task.judge.train.truth, task.judge.validation.truth])
    counts = np.bincount(truth)
    assert task.target.loss.weight.tolist() == pytest.approx((len(truth) / counts).tolist())
    weights = dict(zip(LABELS, task.source.loss.weight.tolist(), strict=True))
    assert weights[LABELS[-1]] == weights[LABELS[-2]] == 6.0  # no patch bears them: 60 / 10
    images = task.source.loader.train.read(range(60)) / 255
    assert task.source.frame.mean == pytest.approx([images.mean()] * 3)
    assert task.source.frame.std == pytest.approx([images.std()] * 3)


def test_counts_below_ten_weigh_as_ten():
    assert class_counts_weights(np.array([0, 9, 10, 40]), 100).tolist() == [10, 10, 10, 2.5]


@pytest.mark.slow
def test_a_vit_takes_one_step(painted, tmp_path):
    network = {"image_px": FRAME_PX}
    task = made(asked(painted, architecture="vit_b_16", network=network, strategy="greedy"), painted, tmp_path)
    optimizer = torch.optim.SGD(task.network.parameters(), lr=1e-3)
    before = task.network.network.get_parameter("encoder.ln.weight").detach().clone()
    task.network.train()

    loss = task.step(next(iter(task.batches(1))), optimizer, CPU)

    assert torch.isfinite(loss)
    assert not torch.equal(task.network.network.get_parameter("encoder.ln.weight"), before)
    plain = task.finished()
    assert plain.get_submodule("heads.head").out_features == 2
    assert sum(one.numel() for one in plain.parameters()) == 85_800_194 - (14**2 - 2**2) * 768


@pytest.mark.parametrize("strategy", ["regular", "greedy"])
def test_what_is_kept_tells_the_targets_classes_as_any_classifier(painted, tmp_path, strategy):
    done = trained(asked(painted, strategy=strategy), painted, tmp_path)

    classifier = CellClassifier.load(done.weights, "cpu")
    assert classifier.card.classes == ("ALL", "healthy")
    assert classifier.card.architecture == "allnet"
    assert f"beside 60 others of 38 labels: {strategy}" in classifier.card.title
    assert len(set(classifier.card.mean)) == 1
    said = classifier.probabilities(done.test.images.read(range(len(done.test.truth))))
    np.testing.assert_allclose(said, done.test.probabilities, atol=1e-5)
    accuracies = [epoch.figures["accuracy"] for epoch in done.history]
    assert done.card.scores["best_epoch"] == 1 + accuracies.index(max(accuracies))
    assert all(("source_steps_kept" in epoch.figures) == (strategy == "greedy") for epoch in done.history)


def test_every_test_picture_is_counted_and_no_patient_is_on_two_sides(painted, tmp_path):
    done = trained(asked(painted, batch_size=7), painted, tmp_path)

    assert done.split.by == "patient"
    assert not done.warnings
    sides = {}
    for row, name in zip(done.split.rows, done.split.names, strict=True):
        sides.setdefault(row.group, set()).add(name)
    assert all(len(one) == 1 for one in sides.values())
    assert len(done.test.truth) == done.split.names.count("test") == done.card.scores["test_patches"]
    assert len(done.test.truth) % 7 != 0  # a last batch that is not full, which the released code drops


def test_a_split_of_pictures_is_told_loudly(painted, tmp_path):
    done = trained(asked(painted, by="slide", training=replace(TRAINING, epochs=1)), painted, tmp_path)

    assert any("One patient may lie on both sides" in warning for warning in done.warnings)


@pytest.mark.parametrize(("strategy", "accept"), [("greedy", "all_time"), ("self", "epoch")])
def test_interrupted_in_mid_epoch_and_resumed_it_ends_with_the_same_bits(
    painted, tmp_path, monkeypatch, strategy, accept
):
    settings = asked(painted, strategy=strategy, accept=accept, weighting="uncertainty")
    whole = trained(settings, painted, tmp_path / "whole")
    steps, count = TwoSetSteps.step, [0]

    def interrupted(self, *given):
        count[0] += 1
        if count[0] == len(self.target.loader.batches(1)) + 3:  # in the second epoch
            raise KeyboardInterrupt
        return steps(self, *given)

    monkeypatch.setattr(TwoSetSteps, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trained(settings, painted, tmp_path / "parts")
    monkeypatch.setattr(TwoSetSteps, "step", steps)
    resumed = trained(settings, painted, tmp_path / "parts", resume=True)

    one, other = (torch.load(tmp_path / name / "checkpoint.pt", weights_only=True) for name in ("parts", "whole"))
    assert_same_bits(one, other)
    assert (one["network"]["lowest"] < 1e6) == (accept == "all_time")
    assert not torch.equal(one["network"]["weights.spread"], torch.ones(2))
    np.testing.assert_array_equal(resumed.test.probabilities, whole.test.probabilities)


def test_a_picture_of_the_source_that_cannot_be_read_is_told(painted, tmp_path):
    write_adp(tmp_path / "source", 40)
    (tmp_path / "source" / "img" / "001.png_crop_0.png").write_bytes(b"no picture")
    settings = replace(SMALL, source=SourceSettings(tmp_path / "source"), training=replace(TRAINING, epochs=1))

    done = trained(settings, painted, tmp_path / "out")

    assert any("001.png_crop_0.png was left out" in warning for warning in done.warnings)
    assert "beside 39 others" in done.card.title
    rows = (tmp_path / "source" / "labels.csv").read_text().splitlines()[2:]  # but the header, and the first picture
    labels = cut_source(settings.source, FRAME_PX, False, tmp_path / "again").labels
    assert labels.int().tolist() == [[int(one) for one in row.split(",")[1:]] for row in rows]


def test_another_source_is_not_resumed(painted, tmp_path):
    trained(asked(painted), painted, tmp_path / "out")
    write_adp(tmp_path / "other", 60, seed=6)
    other = replace(SMALL, source=SourceSettings(tmp_path / "other"))

    with pytest.raises(UsageError, match="other settings"):
        trained(other, painted, tmp_path / "out", resume=True)


@pytest.mark.parametrize("strategy", ["regular", "greedy"])
@pytest.mark.slow
def test_it_learns_what_it_does_not_from_labels_dealt_by_chance(painted, tmp_path, strategy):
    write_c_nmc(tmp_path / "shuffled" / "target", 96, shuffled=True)
    settings = asked(
        painted,
        strategy=strategy,
        network={"widths": [16, 32]},
        shares={"train": 0.5, "validation": 0.25, "test": 0.25},
        head_factor=1.0,
        training=replace(TRAINING, epochs=4),
    )

    real = trained(settings, painted, tmp_path / "real")
    chance = trained(settings, tmp_path / "shuffled", tmp_path / "chance")

    assert real.card.scores["test_roc_auc"] > 0.9
    assert chance.card.scores["test_roc_auc"] < 0.8


@pytest.mark.slow
def test_resnet18_learns_two_sets_too(painted, tmp_path):
    settings = asked(painted, architecture="resnet18", network={}, training=replace(TRAINING, epochs=1))

    done = trained(settings, painted, tmp_path)

    assert CellClassifier.load(done.weights, "cpu").card.architecture == "resnet18"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"strategy": "eager"}, "strategy"),
        ({"accept": "always"}, "accept"),
        ({"head_factor": 0.0}, "head_factor"),
        ({"settle_batches": -1}, "settle_batches"),
        ({"balance": "weights"}, "leave balance 'weights'"),
        ({"head_epochs": 2}, "head_epochs 2 out"),
        ({"source": {"slide_pattern": "x"}}, "captures nothing"),
        ({"source": {"file": "x"}}, "source.file"),
    ],
)
def test_impossible_settings_are_named(values, message):
    with pytest.raises(UsageError, match=message):
        settings_from(TwoSetSettings, {}, values)


def test_a_source_that_is_absent_or_cannot_be_read_is_told(painted, tmp_path):
    with pytest.raises(UsageError, match="name its folder with --source"):
        trained(SMALL, painted, tmp_path / "a")
    write_adp(tmp_path / "pictures", 12, table=False)
    bare = replace(SMALL, source=SourceSettings(tmp_path / "pictures"))
    with pytest.raises(UsageError, match="must hold one table of labels"):
        trained(bare, painted, tmp_path / "b")
    with pytest.raises(UsageError, match=r"has no column E\.Z"):
        trained(asked(painted, source={"labels": ("E", "E.Z")}), painted, tmp_path / "c")
    pattern = SourceSettings(tmp_path / "pictures", slide_pattern="^patient(.)")
    with pytest.raises(UsageError, match="name no slide"):
        trained(replace(SMALL, strategy="self", source=pattern), painted, tmp_path / "d")
    assert cut_source(bare.source, FRAME_PX, True, tmp_path / "e").outputs == 6


@pytest.mark.gpu
def test_on_a_gpu_it_steps_in_bf16(painted, tmp_path):
    training = replace(TRAINING, device="cuda", precision="auto")
    done = trained(asked(painted, strategy="greedy", accept="all_time", training=training), painted, tmp_path)

    assert CellClassifier.load(done.weights, "cpu").card.classes == ("ALL", "healthy")
