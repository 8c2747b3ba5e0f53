"""What ALLNet's and HistoTNet's released code does in its steps: a setting asks for each, and the default does not."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from tests.unit.train.toy_task import STEPS, ToyTask
from wsi_patches.errors import UsageError
from wsi_patches.recipe import settings_from
from wsi_patches.train.engine import EngineSettings, fit
from wsi_patches.train.optimisers import build_optimizer, follow_schedule, momentum_at

PAPER = EngineSettings(
    epochs=80, optimizer="sgd", learning_rate=0.02, weight_decay=5e-4, schedule="triangle", device="cpu"
)
CYCLING = replace(PAPER, cycle_momentum=True)


def test_the_momentum_stays_unless_it_is_to_cycle():
    assert {momentum_at(PAPER, epoch / 80) for epoch in range(80)} == {0.9}
    assert [momentum_at(CYCLING, (epoch + 0.5) / 80) for epoch in (0, 2, 4, 6, 8)] == pytest.approx(
        [0.9, 0.85, 0.8, 0.85, 0.9]
    )


@pytest.mark.parametrize("schedule", ["triangle", "triangle_dips"])
def test_the_cycles_are_those_of_torch_stepped_once_an_epoch(schedule):
    theirs = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.02, momentum=0.9)
    stepped = [torch.optim.lr_scheduler.CyclicLR(theirs, 0.001, 0.02, 4)]
    if schedule == "triangle_dips":
        stepped.append(torch.optim.lr_scheduler.StepLR(theirs, 20, 0.5))
    settings = replace(CYCLING, schedule=schedule)
    ours = build_optimizer(nn.Linear(2, 2), settings)
    for epoch in range(80):
        for middle in (0.01, 0.5, 0.99):
            follow_schedule(ours, settings, (epoch + middle) / 80)
            for name in ("lr", "momentum"):
                assert [group[name] for group in ours.param_groups] == pytest.approx([theirs.param_groups[0][name]] * 2)
        theirs.step()
        for one in stepped:
            one.step()


def test_a_training_takes_its_steps_with_the_momentum_of_their_epoch(tmp_path, monkeypatch):
    took = []
    step = torch.optim.SGD.step
    monkeypatch.setattr(
        torch.optim.SGD, "step", lambda one, *rest: took.append(one.param_groups[0]["momentum"]) or step(one, *rest)
    )
    fit(ToyTask(), replace(CYCLING, epochs=6), tmp_path)

    assert took == pytest.approx([momentum for momentum in (0.9, 0.875, 0.85, 0.825, 0.8, 0.825) for _ in range(STEPS)])


@pytest.mark.parametrize("decay", ["weights", "all"])
def test_all_decays_if_asked_for_as_in_an_optimizer_of_torchs_own(decay):
    settings = replace(PAPER, weight_decay=0.1, decay=decay)
    ours, theirs = ToyTask().network, ToyTask().network
    plain = torch.optim.SGD(theirs.parameters(), lr=0.02, momentum=0.9, weight_decay=0.1)
    for network, optimizer in ((ours, build_optimizer(ours, settings)), (theirs, plain)):
        network.eval()
        for images, labels in ToyTask().batches(1):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(images), labels).backward()
            optimizer.step()

    same = {name: torch.equal(one, theirs.state_dict()[name]) for name, one in ours.state_dict().items()}
    assert all(same.values()) == (decay == "all")
    assert not same["1.weight"] or decay == "all"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"decay": "biases"}, "decay"),
        ({"cycle_momentum": True, "optimizer": "adamw", "schedule": "triangle"}, "found adamw, triangle and 0.9"),
        (
            {"cycle_momentum": True, "optimizer": "sgd", "schedule": "halving"},
            "triangle or triangle_dips .* halving",
        ),
        (
            {"cycle_momentum": True, "optimizer": "sgd", "schedule": "triangle", "momentum": 0.5},
            r"0\.8 or more, found .* 0\.5",
        ),
    ],
)
def test_what_cannot_be_is_told(values, message):
    with pytest.raises(UsageError, match=message):
        settings_from(EngineSettings, {}, values, "recipe")
    with pytest.raises(UsageError, match=message):
        EngineSettings(**values)


def test_both_are_off_by_default():
    settings = settings_from(EngineSettings, {}, {"optimizer": "sgd", "schedule": "triangle"}, "recipe")
    decayed, spared = build_optimizer(ToyTask().network, settings).param_groups

    assert not settings.cycle_momentum
    assert (decayed["weight_decay"], spared["weight_decay"]) == (settings.weight_decay, 0)
