"""The loop learns, repeats itself to the bit, goes on after a kill, and says what is wrong."""

import csv
import subprocess
import sys
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import nn

from tests.conftest import ROOT
from tests.unit.train.same_bits import assert_same_bits, checkpoint
from tests.unit.train.toy_task import STEPS, THOROUGH, ToyTask
from wsi_patches.errors import ModelError, OutputExists, UsageError
from wsi_patches.recipe import settings_from
from wsi_patches.train.engine import EngineSettings, fit
from wsi_patches.train.optimisers import build_optimizer, rate_at, update_average

PLAIN = EngineSettings(epochs=3, learning_rate=0.02, device="cpu")
CYCLING = replace(PLAIN, epochs=4, optimizer="sgd", schedule="triangle", cycle_momentum=True, decay="all")

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def without_tensorboard(monkeypatch):
    """Its import takes longer than all else here; test_logs has it."""
    monkeypatch.setitem(sys.modules, "tensorboard", None)


@pytest.mark.parametrize(
    "settings",
    [
        THOROUGH,
        replace(PLAIN, optimizer="sgd", schedule="onecycle", learning_rate=0.1),
        replace(PLAIN, schedule="step", precision="bf16"),
    ],
)
def test_it_learns_and_tells_each_epoch(tmp_path, settings):
    told = []

    fitted = fit(ToyTask(separation=1), settings, tmp_path, progress=told.append)

    assert tuple(told) == fitted.history
    assert [epoch.epoch for epoch in told] == list(range(1, settings.epochs + 1))
    assert told[-1].train_loss < told[0].train_loss
    assert all(tensor.dtype != torch.bfloat16 for tensor in fitted.best_state.values())
    with (tmp_path / "history.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["loss"]) for row in rows] == [epoch.figures["loss"] for epoch in told]
    assert [float(row["learning_rate"]) for row in rows] == [epoch.learning_rate for epoch in told]


def test_the_best_epoch_is_kept(tmp_path):
    class Bounces(ToyTask):
        watched, higher_is_better = "score", True
        scores = (0.2, 0.9, 0.5)

        def validate(self, network, device):
            self.states = [*getattr(self, "states", []), deepcopy(network.state_dict())]
            return {"score": self.scores[len(self.states) - 1]}

    task = Bounces()
    fitted = fit(task, PLAIN, tmp_path)

    assert fitted.best_epoch == 2
    assert_same_bits(fitted.best_state, dict(task.states[1]))


@pytest.mark.parametrize(("ties", "kept"), [("earlier", 2), ("later", 3)])
def test_which_of_equally_good_epochs_is_kept_can_be_asked_for(tmp_path, ties, kept):
    class Levels(ToyTask):
        watched, higher_is_better = "score", True
        scores = iter((0.5, 0.9, 0.9, 0.7))

        def validate(self, network, device):
            return {"score": next(self.scores)}

    assert fit(Levels(), replace(PLAIN, epochs=4, ties=ties), tmp_path).best_epoch == kept


def test_the_running_average_is_what_is_judged_and_kept(tmp_path):
    fitted = fit(ToyTask(separation=1), THOROUGH, tmp_path)

    held = checkpoint(tmp_path)
    assert fitted.best_epoch == THOROUGH.epochs
    assert_same_bits(held["average"], held["best_state"])
    assert not torch.equal(held["network"]["0.weight"], held["average"]["0.weight"])


def test_patience_ends_it(tmp_path):
    class NeverBetter(ToyTask):
        def validate(self, network, device):
            return {"loss": 1.0}

    fitted = fit(NeverBetter(), replace(PLAIN, epochs=9, patience=2), tmp_path)

    assert fitted.best_epoch == 1
    assert len(fitted.history) == 3


def test_the_last_epoch_is_kept_if_asked_for_whatever_validation_says(tmp_path):
    class EverWorse(ToyTask):
        calls = 0

        def validate(self, network, device):
            self.calls += 1
            return {"loss": float(self.calls)}

    fitted = fit(EverWorse(), replace(PLAIN, epochs=3, patience=1, keep="last"), tmp_path)

    assert fitted.best_epoch == len(fitted.history) == 3
    assert_same_bits(checkpoint(tmp_path)["network"], fitted.best_state)


def test_a_seed_gives_the_same_bits_whatever_was_drawn_before(tmp_path):
    for number, seed in enumerate((5, 5, 6)):
        torch.rand(number)
        before = torch.get_rng_state()
        fit(ToyTask(), replace(THOROUGH, seed=seed), tmp_path / str(number))
        assert torch.equal(torch.get_rng_state(), before)
    one, two, other = (checkpoint(tmp_path / name)["network"]["6.weight"] for name in "012")

    assert torch.equal(one, two)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("settings", [THOROUGH, CYCLING], ids=["thorough", "cycling"])
@pytest.mark.parametrize("steps", [0, 2, STEPS, 3 * STEPS + 3])
def test_interrupted_at_any_step_and_resumed_it_ends_with_the_same_bits(tmp_path, steps, settings):
    class Interrupted(ToyTask):
        def loss(self, batch, device):
            if len(self.seen) == steps:
                raise KeyboardInterrupt
            return super().loss(batch, device)

    whole = fit(ToyTask(), settings, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        fit(Interrupted(), settings, tmp_path / "parts")
    resumed = fit(ToyTask(), settings, tmp_path / "parts", resume=True)

    assert_same_bits(checkpoint(tmp_path / "parts"), checkpoint(tmp_path / "whole"))
    assert_same_bits(vars(resumed), vars(whole))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGKILL")
def test_killed_in_mid_epoch_and_resumed_it_ends_with_the_same_bits(tmp_path):
    steps = 2 * STEPS + 2
    command = [sys.executable, "-m", "tests.unit.train.toy_task", str(tmp_path / "killed"), str(steps)]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    assert len(checkpoint(tmp_path / "killed")["history"]) == 2
    (tmp_path / "killed" / "checkpoint.pt.partial").write_bytes(b"of a kill in mid-checkpoint")

    whole = fit(ToyTask(), THOROUGH, tmp_path / "whole")
    resumed = fit(ToyTask(), THOROUGH, tmp_path / "killed", resume=True)

    assert_same_bits(checkpoint(tmp_path / "killed"), checkpoint(tmp_path / "whole"))
    assert_same_bits(vars(resumed), vars(whole))
    assert (tmp_path / "killed" / "history.csv").read_text().count("\n") == 1 + THOROUGH.epochs


def test_a_finished_run_is_resumed_without_a_step(tmp_path):
    whole = fit(ToyTask(), PLAIN, tmp_path)
    task = ToyTask()

    assert_same_bits(vars(fit(task, PLAIN, tmp_path, resume=True)), vars(whole))
    assert not task.seen


def test_an_output_is_not_trained_over_and_other_settings_are_not_resumed(tmp_path):
    fit(ToyTask(), PLAIN, tmp_path, depends_on={"data": "abc"})

    with pytest.raises(OutputExists, match="holds a training"):
        fit(ToyTask(), PLAIN, tmp_path)
    with pytest.raises(UsageError, match=r"learning_rate 0.02, now 0.01"):
        fit(ToyTask(), replace(PLAIN, learning_rate=0.01), tmp_path, resume=True, depends_on={"data": "abc"})
    with pytest.raises(UsageError, match="data 'abc', now 'xyz'"):
        fit(ToyTask(), PLAIN, tmp_path, resume=True, depends_on={"data": "xyz"})


def test_divergence_is_told(tmp_path):
    class Diverges(ToyTask):
        def loss(self, batch, device):
            return super().loss(batch, device) * float("inf")

    with pytest.raises(ModelError, match=r"diverged in epoch 1 .* lower learning_rate"):
        fit(Diverges(), PLAIN, tmp_path)
    assert not (tmp_path / "checkpoint.pt").exists()


def test_a_task_that_keeps_no_promise_is_told(tmp_path):
    class Watches(ToyTask):
        watched = "f1"

    class Streams(ToyTask):
        def batches(self, epoch):
            return iter(super().batches(epoch))

    with pytest.raises(UsageError, match="chosen by f1, and validation gave loss, accuracy"):
        fit(Watches(), PLAIN, tmp_path / "a")
    with pytest.raises(UsageError, match="set steps_per_epoch"):
        fit(Streams(), PLAIN, tmp_path / "b")
    with pytest.raises(UsageError, match="to have 5 batches and the task gave 4"):
        fit(Streams(), replace(PLAIN, steps_per_epoch=STEPS + 1), tmp_path / "c")
    task = Streams()
    fit(task, replace(PLAIN, steps_per_epoch=2), tmp_path / "d")
    assert len(task.seen) == 2 * PLAIN.epochs
    assert all(training for training, _ in task.seen)


@pytest.mark.parametrize(
    ("schedule", "warmup", "expected"),
    [
        ("constant", 0, [1, 1, 1, 1, 1]),
        ("cosine", 0, [1, 0.8536, 0.5, 0.1464, 0]),
        ("cosine", 2, [0, 0.5, 1, 0.75, 0]),
        ("step", 0, [1, 1, 0.1, 0.01, 0.01]),
        ("onecycle", 2, [0.04, 0.52, 1, 0.75, 0]),
    ],
)
def test_schedules(schedule, warmup, expected):
    settings = EngineSettings(epochs=8, schedule=schedule, warmup_epochs=warmup, learning_rate=0.5)
    shares = [0, 0.25, 0.5, 0.75, 1] if warmup == 0 else [0, 0.125, 0.25, 0.5, 1]

    assert [rate_at(settings, share) / 0.5 for share in shares] == pytest.approx(expected, abs=1e-4)


def test_onecycle_is_that_of_torch():
    settings = EngineSettings(epochs=10, schedule="onecycle", learning_rate=0.3)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.3, total_steps=1001, cycle_momentum=False)
    for step in range(1001):
        if step % 50 == 0:
            assert rate_at(settings, step / 1000) == pytest.approx(schedule.get_last_lr()[0], rel=0.03, abs=1e-5)
        optimizer.step()
        schedule.step() if step < 1000 else None


@pytest.mark.parametrize(
    ("schedule", "of_torch"),
    [
        ("halving", lambda one: torch.optim.lr_scheduler.StepLR(one, 20, 0.5)),
        ("triangle", lambda one: torch.optim.lr_scheduler.CyclicLR(one, 0.001, 0.02, 4, cycle_momentum=False)),
    ],
)
def test_schedules_of_allnet_and_histotnet_are_those_of_torch_stepped_once_an_epoch(schedule, of_torch):
    settings = EngineSettings(epochs=50, schedule=schedule, learning_rate=0.02)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.02)
    theirs = of_torch(optimizer)
    for epoch in range(50):
        for middle in (0.01, 0.5, 0.99):
            assert rate_at(settings, (epoch + middle) / 50) == pytest.approx(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()


def test_only_weights_decay_and_frozen_ones_are_left_out():
    network = ToyTask().network
    network[0].requires_grad_(False)

    decayed, spared = build_optimizer(network, PLAIN).param_groups

    assert [one is network[6].weight for one in decayed["params"]] == [True]
    assert decayed["weight_decay"] == PLAIN.weight_decay
    assert spared["weight_decay"] == 0
    assert len(spared["params"]) == 3


def test_the_running_average_follows_weights_and_statistics():
    network = nn.BatchNorm1d(1)
    average = deepcopy(network)
    network.running_mean.fill_(1)
    network.num_batches_tracked.fill_(7)

    update_average(average, network, 0.75, steps=1000)
    assert float(average.running_mean) == 0.25
    assert int(average.num_batches_tracked) == 7
    update_average(average, network, 0.99, steps=0)
    assert float(average.running_mean) == pytest.approx(0.25 + 0.9 * 0.75)


@pytest.mark.parametrize(
    "settings",
    [
        {"epochs": 0},
        {"learning_rate": float("nan")},
        {"optimizer": "adam"},
        {"precision": "fp16"},
        {"ema_decay": 1.0},
        {"patience": 0},
        {"keep": "first"},
        {"epochs": 3, "warmup_epochs": 3},
    ],
)
def test_impossible_settings_are_named(settings):
    with pytest.raises(UsageError, match=list(settings)[-1]):
        EngineSettings(**settings)


def test_a_recipe_builds_the_settings_and_unknown_keys_are_refused():
    assert settings_from(EngineSettings, {}, {"optimizer": "sgd", "ema_decay": 0.99}).ema_decay == 0.99
    with pytest.raises(UsageError, match="lr"):
        settings_from(EngineSettings, {}, {"lr": 0.1})


@pytest.mark.gpu
def test_on_a_gpu_it_learns_in_bf16(tmp_path):
    fitted = fit(ToyTask(separation=1), replace(THOROUGH, device="cuda", precision="auto"), tmp_path)

    assert fitted.history[-1].train_loss < fitted.history[0].train_loss
    assert all(tensor.device.type == "cpu" for tensor in fitted.best_state.values())
