"""A task may take its own steps: warm-up, several steps a batch, rates of its own; the loop stays one."""

import sys
from collections import defaultdict
from dataclasses import replace

import pytest
import torch

from tests.unit.train.same_bits import assert_same_bits, checkpoint
from tests.unit.train.toy_task import STEPS, THOROUGH, ToyTask
from wsi_patches.train.engine import EngineSettings, fit
from wsi_patches.train.optimisers import build_optimizer, set_rate
from wsi_patches.train.task import Compute, SteppingTask

HEAD = "6."

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def without_tensorboard(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)


class PlainSteps(ToyTask):
    """Takes by itself the step that the loop would have taken."""

    def __init__(self, rate_factors=None, **settings):
        super().__init__(**settings)
        self.rate_factors = rate_factors or {}
        self.calls = defaultdict(list)

    def warm_up(self, optimizer, compute):
        self.calls["warm_up"].append([group["lr"] for group in optimizer.param_groups])

    def step(self, batch, optimizer, compute):
        optimizer.zero_grad()
        with compute.forward():
            loss = self.loss(batch, compute.device)
        loss.backward()
        optimizer.step()
        self.calls["gradient"].append(torch.cat([one.grad.flatten() for one in self.network.parameters()]).norm())
        return loss.detach()

    def settle(self, network, epoch, compute):
        assert network.training
        self.calls["settle"].append((epoch, network is self.network))


class Thorough(PlainSteps):
    """Warms its head up, and steps twice a batch."""

    def warm_up(self, optimizer, compute):
        for one in list(self.network.parameters())[:-2]:
            one.requires_grad_(False)
        self.step(self.batches(0)[0], optimizer, compute)
        self.network.requires_grad_(True)

    def step(self, batch, optimizer, compute):
        if all(one.requires_grad for one in self.network.parameters()):
            PlainSteps.step(self, batch, optimizer, compute)
        optimizer.zero_grad()
        loss = self.loss(batch, compute.device)
        loss.backward()
        optimizer.step()
        return loss.detach()

    def settle(self, network, epoch, compute):
        with torch.no_grad():
            network(self.batches(epoch)[0][0])


@pytest.mark.parametrize("settings", [THOROUGH, EngineSettings(epochs=2, precision="bf16", device="cpu")])
def test_a_step_of_its_own_that_is_the_usual_one_gives_the_same_bits(tmp_path, settings):
    usual, own = ToyTask(), PlainSteps()
    assert isinstance(own, SteppingTask)
    assert not isinstance(usual, SteppingTask)

    one = fit(usual, settings, tmp_path / "usual")
    other = fit(own, settings, tmp_path / "own")

    assert_same_bits(vars(one), vars(other))
    assert [epoch for epoch, _ in own.calls["settle"]] == list(range(1, settings.epochs + 1))


def test_its_steps_are_clipped_and_the_running_average_is_settled(tmp_path):
    task = PlainSteps()
    fit(task, replace(THOROUGH, clip_norm=0.01), tmp_path)

    assert len(task.calls["gradient"]) == STEPS * THOROUGH.epochs
    assert all(float(length) <= 0.0101 for length in task.calls["gradient"])
    assert not any(is_trained for _, is_trained in task.calls["settle"])


def test_the_head_moves_alone_in_the_warm_up_and_its_momentum_is_forgotten(tmp_path):
    class Looks(Thorough):
        def warm_up(self, optimizer, compute):
            before = {name: one.detach().clone() for name, one in self.network.named_parameters()}
            super().warm_up(optimizer, compute)
            moved = {name for name, one in self.network.named_parameters() if not torch.equal(one, before[name])}
            self.calls["moved"].append(moved)
            self.optimizer = optimizer

        def step(self, batch, optimizer, compute):
            self.calls["remembered"].append(len(optimizer.state))
            return super().step(batch, optimizer, compute)

    task = Looks()
    fit(task, EngineSettings(epochs=2, optimizer="sgd", learning_rate=0.01, device="cpu"), tmp_path)

    assert task.calls["moved"] == [{"6.weight", "6.bias"}]  # once, before the first epoch
    assert task.calls["remembered"][1] == 0  # the first is the warm-up's own
    assert task.calls["remembered"][2] == 6


@pytest.mark.parametrize("steps", [0, 1, 2 * STEPS, 6 * STEPS])
def test_interrupted_and_resumed_it_ends_with_the_same_bits(tmp_path, steps):
    class Interrupted(Thorough):
        def loss(self, batch, device):
            if len(self.seen) == steps:
                raise KeyboardInterrupt
            return super().loss(batch, device)

    factors = {HEAD: 5.0}
    whole = fit(Thorough(factors), THOROUGH, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        fit(Interrupted(factors), THOROUGH, tmp_path / "parts")
    resumed = fit(Thorough(factors), THOROUGH, tmp_path / "parts", resume=True)

    assert_same_bits(checkpoint(tmp_path / "parts"), checkpoint(tmp_path / "whole"))
    assert_same_bits(vars(resumed), vars(whole))


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_parameters_with_a_factor_have_a_rate_of_their_own(optimizer):
    network = ToyTask().network
    settings = EngineSettings(optimizer=optimizer, weight_decay=0.03)
    built = build_optimizer(network, settings, {HEAD: 5.0})

    set_rate(built, 2e-4)

    told = {id(one): (group["lr"], group["weight_decay"]) for group in built.param_groups for one in group["params"]}
    assert len(told) == 6
    for name, one in network.named_parameters():
        rate, decay = told[id(one)]
        assert rate == pytest.approx(1e-3 if name.startswith(HEAD) else 2e-4)
        assert decay == (0.03 if one.ndim > 1 else 0)


def test_in_bf16_a_pass_after_a_step_sees_the_new_weights():
    layer, compute = torch.nn.Linear(1, 1), Compute(torch.device("cpu"), bf16=True)
    said = []
    for _ in range(2):
        with compute.forward():
            said.append(float(layer(torch.ones(1, 1)).detach()))
        with torch.no_grad():
            layer.weight += 1
    assert said[1] - said[0] == pytest.approx(1, abs=0.02)
