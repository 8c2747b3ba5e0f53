"""Two sets in pairs of batches, and the steps that learn both: DL4ALL's Regular, Self and Greedy."""

from copy import deepcopy
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from wsi_patches.models.dl4all import with_two_heads
from wsi_patches.train.engine_settings import EngineSettings
from wsi_patches.train.interleaving import Pair, interleave, matched_batch_size
from wsi_patches.train.optimisers import build_optimizer, set_rate
from wsi_patches.train.task import Compute
from wsi_patches.train.two_set_steps import Side, TwoSetNetwork, TwoSetSteps

CPU = Compute(torch.device("cpu"))
SGD = EngineSettings(optimizer="sgd", learning_rate=0.01, weight_decay=5e-4, device="cpu")
FRAME = SimpleNamespace(input_px=8, mean=(0.5,) * 3, std=(0.25,) * 3)
SOURCE_SIZE, TARGET_SIZE = 6, 3

pytestmark = pytest.mark.usefixtures("one_thread")


class Backbone(nn.Sequential):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5)
        self.relu, self.pool, self.flat = nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        self.fc = nn.Linear(5, 2)


class Shows:
    """Random images with labels that their brightness tells: some batches, equal for equal epochs."""

    def __init__(self, size, labels, count=4, seed=0):
        self.size, self.labels, self.count, self.seed = size, labels, count, seed

    def batches(self, epoch):
        generator = torch.Generator().manual_seed(100 * self.seed + epoch)
        return [self._batch(generator) for _ in range(self.count)]

    def _batch(self, generator):
        images = torch.rand(self.size, 3, 8, 8, generator=generator)
        bright = (images.mean(dim=(1, 2, 3)) > 0.5).long()
        return images, torch.stack([bright, 1 - bright, bright], dim=1) if self.labels > 2 else bright


class Constant(nn.Module):
    """A loss that says what it is told; its gradient is that of cross entropy."""

    def __init__(self, values):
        super().__init__()
        self.values = list(values)

    def forward(self, logits, labels):
        loss = nn.functional.cross_entropy(logits, labels)
        return loss - loss.detach() + self.values.pop(0)


def steps(kind="joint", target_loss=None, weighting="fixed", **more):
    torch.manual_seed(3)
    network = TwoSetNetwork(with_two_heads(Backbone(), "fc", 3), weighting).train()
    source = Side(Shows(SOURCE_SIZE, 3), FRAME, nn.MultiLabelSoftMarginLoss())
    target = Side(Shows(TARGET_SIZE, 2, seed=1), FRAME, target_loss or nn.CrossEntropyLoss())
    return TwoSetSteps(network, "fc", source, target, kind, **more)


def begun(task, momentum=True):
    """Return an optimizer that remembers a step, as in mid-training."""
    optimizer = build_optimizer(task.network, SGD, task.rate_factors)
    set_rate(optimizer, SGD.learning_rate)
    if momentum:
        usual = replace(task, kind="joint", target=replace(task.target, loss=nn.CrossEntropyLoss()))
        usual.step(pair(9), optimizer, CPU)
    return optimizer


def pair(epoch=1):
    return Pair(Shows(SOURCE_SIZE, 3).batches(epoch)[0], Shows(TARGET_SIZE, 2, seed=1).batches(epoch)[0])


def bits(state):
    return {name: one.clone() for name, one in state.items()}


def assert_equal(one, other):
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


def momenta(optimizer):
    return [state["momentum_buffer"] for state in optimizer.state_dict()["state"].values()]


@given(st.integers(0, 12), st.integers(0, 12))
def test_pairs_are_as_many_as_the_shorter_or_the_longer_loader_has(first, second):
    one, other = list(range(first)), [-1 - number for number in range(second)]

    shortest, longest = interleave(one, other), interleave(one, other, "longest")

    assert list(shortest) == list(zip(one, other, strict=False))
    assert len(shortest) == len(list(shortest))
    count = max(first, second) if first and second else 0
    expected = [(one[step % first], other[step % second]) for step in range(count)]
    assert list(longest) == expected
    assert len(longest) == count


@pytest.mark.parametrize(
    ("source", "target", "expected"), [(14134, 7462, 16), (7462, 7462, 8), (5000, 7462, 5), (10, 7462, 2)]
)
def test_the_source_has_about_as_many_batches_as_the_target(source, target, expected):
    assert matched_batch_size(source, target, 8) == expected


@pytest.mark.parametrize("weighting", ["fixed", "uncertainty"])
def test_a_joint_step_is_one_on_half_of_each_loss_with_heads_at_full_strength(weighting):
    task = steps(weighting=weighting)
    optimizer = begun(task, momentum=False)
    batch, before = pair(), bits(task.network.state_dict())
    alone = deepcopy(task.network).train()

    said = task.step(batch, optimizer, CPU)

    source = nn.functional.multilabel_soft_margin_loss(
        alone(task.source.shown(batch.source, CPU.device))[0], batch[0][1]
    )
    with torch.no_grad():
        alone(task.target.shown(batch.target, CPU.device))
    target = nn.functional.cross_entropy(alone(task.target.shown(batch.target, CPU.device))[1], batch.target[1])
    (0.5 * source + 0.5 * target).backward()
    assert torch.equal(said, target.detach())
    for name, one in alone.named_parameters():
        if name == "weights.spread":
            continue
        size = {"source": SOURCE_SIZE, "target": TARGET_SIZE}.get(name.split(".")[2])
        factor = (SOURCE_SIZE + TARGET_SIZE) / size if size else 1.0
        rate = SGD.learning_rate * (5 if size else 1)
        decay = SGD.weight_decay if one.ndim > 1 else 0
        expected = before[name] - rate * (factor * one.grad + decay * before[name])
        torch.testing.assert_close(task.network.state_dict()[name], expected, rtol=1e-5, atol=1e-7)


def test_a_refresh_moves_running_statistics_alone():
    task = steps()
    before = bits(task.network.state_dict())

    task.settle(task.network, 1, CPU)

    after = task.network.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {f"network.norm.{name}" for name in ("running_mean", "running_var", "num_batches_tracked")}
    assert int(after["network.norm.num_batches_tracked"]) == 4


def test_statistics_are_settled_by_as_many_batches_as_asked():
    task = steps(settle_batches=3)
    task.settle(task.network, 1, CPU)
    assert int(task.network.network.norm.num_batches_tracked) == 3


def test_a_greedy_step_that_the_target_dislikes_is_a_full_step_on_the_target_alone():
    task = steps("greedy", Constant([0.7, 0.7]), accept="all_time")
    optimizer = begun(task)
    task.network.lowest.fill_(0.7)  # no better, so no gain
    other = deepcopy(task.network)
    plain = build_optimizer(other, SGD, task.rate_factors)
    plain.load_state_dict(deepcopy(optimizer.state_dict()))
    batch = pair()

    task.step(batch, optimizer, CPU)

    images = task.target.shown(batch.target, CPU.device)
    plain.zero_grad()
    with torch.no_grad():
        other(images)
    nn.functional.cross_entropy(other(images)[1], batch.target[1]).backward()
    plain.step()
    assert_equal(task.network.state_dict(), other.state_dict())
    assert len(momenta(plain)) == 8
    for one, expected in zip(momenta(optimizer), momenta(plain), strict=True):
        assert torch.equal(one, expected)
    assert task.kept == 0


def test_a_greedy_step_that_the_target_likes_keeps_both_steps_and_scales_the_targets_head_alone():
    task = steps("greedy", accept="all_time")
    optimizer = begun(task)
    other = deepcopy(task.network)
    plain = build_optimizer(other, SGD, task.rate_factors)
    plain.load_state_dict(deepcopy(optimizer.state_dict()))
    batch = pair()

    said = task.step(batch, optimizer, CPU)

    plain.zero_grad()
    logits = other(task.source.shown(batch.source, CPU.device))[0]
    (0.5 * nn.functional.multilabel_soft_margin_loss(logits, batch.source[1])).backward()
    plain.step()
    plain.zero_grad()
    images = task.target.shown(batch.target, CPU.device)
    with torch.no_grad():
        other(images)
    loss = nn.functional.cross_entropy(other(images)[1], batch.target[1])
    (0.5 * loss).backward()
    for one in other.network.fc.target.parameters():
        one.grad *= (SOURCE_SIZE + TARGET_SIZE) / TARGET_SIZE
    plain.step()
    expected = bits(other.state_dict())
    expected["lowest"] = loss.detach()
    assert_equal(task.network.state_dict(), expected)
    assert torch.equal(said, loss.detach())
    assert task.kept == 1


@pytest.mark.parametrize(
    ("accept", "kept"),
    # A rejected step asks for the loss a second time, which the list holds too.
    [("epoch", [True, False, True, False, True]), ("all_time", [True, False, True, False, False])],
)
def test_when_a_source_step_is_kept(accept, kept):
    losses = [1.0, 3.0, 0.5, 2.0, 0.9]
    told = [value for loss, one in zip(losses, kept, strict=True) for value in ([loss] if one else [loss, loss])]
    task = steps("greedy", Constant(told), accept=accept)
    optimizer, found = begun(task, momentum=False), []

    for _ in losses:
        before = task.kept
        task.step(pair(), optimizer, CPU)
        found.append(task.kept > before)

    assert found == kept
    assert float(task.network.lowest) == (0.5 if accept == "all_time" else 1e6)
    task.begin_epoch()
    assert task._is_accepted(2.5) == (accept == "epoch")


def test_the_warm_up_trains_the_heads_alone_each_on_its_own_set():
    task = steps()
    optimizer = begun(task, momentum=False)
    before = bits(task.network.state_dict())

    task.warm_up(optimizer, CPU)

    after = task.network.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    heads = {f"network.fc.{head}.{part}" for head in ("source", "target") for part in ("weight", "bias")}
    statistics = {f"network.norm.{name}" for name in ("running_mean", "running_var", "num_batches_tracked")}
    assert moved == heads | statistics
    assert all(one.requires_grad for one in task.network.parameters())
    assert int(after["network.norm.num_batches_tracked"]) == 8  # four of each set


def test_batches_in_bf16_give_nearly_the_same_step():
    exact, rounded = steps("greedy"), steps("greedy")
    for task, compute in ((exact, CPU), (rounded, Compute(torch.device("cpu"), bf16=True))):
        task.step(pair(), begun(task, momentum=False), compute)

    one, other = exact.network.state_dict(), rounded.network.state_dict()
    assert all(torch.allclose(one[name], other[name], atol=0.02) for name in one)
    assert not torch.equal(one["network.conv.weight"], other["network.conv.weight"])
