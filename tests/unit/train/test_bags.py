"""Training on bags: a few key patches make a label, attention finds them, and nothing leaks or is guessed."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from wsi_patches.errors import UsageError
from wsi_patches.models.aggregators import Said
from wsi_patches.train.bag_settings import BagSettings
from wsi_patches.train.bag_task import BagTask, said_of
from wsi_patches.train.bag_training import simpler, split_bags, train_bags
from wsi_patches.train.bags import Bag, BagSet, mean_vectors
from wsi_patches.train.engine import EngineSettings

DIM, SIZE, KEYS = 8, 20, 2
NAMES = ("control", "leukemic")
ORIGIN = {"encoder": {"encoder": "by hand"}, "patches": {"size_px": 48}}
SMALL = BagSettings(
    aggregator="gated",
    network={"width": 16, "hidden": 8, "dropout": 0.0},
    shares={"train": 0.5, "validation": 0.2, "test": 0.3},
    batch_size=4,
    training=EngineSettings(epochs=16, learning_rate=0.01, device="cpu"),
)


def made(count=100, seed=0, *, shuffled=False):
    """Bags in which a leukemic patient's few key patches lie off along two axes, by turns; also which are keys.

    The two kinds of keys point opposite ways, and controls have neither: the mean of a bag hardly moves.
    """
    rng = np.random.default_rng(seed)
    truth = np.arange(count, dtype=np.int32) % 2
    features = rng.normal(size=(count * SIZE, DIM)).astype(np.float32)
    keys = np.zeros(len(features), bool)
    for number in np.flatnonzero(truth).tolist():
        own = number * SIZE + rng.choice(SIZE, 2 * KEYS, replace=False)
        keys[own] = True
        features[own[:KEYS], 0] += 4
        features[own[KEYS:], 0] -= 4
    said = rng.permutation(truth) if shuffled else truth
    bags = [
        Bag(
            f"P{n}",
            f"P{n}",
            "patient",
            NAMES[said[n]],
            ((0, f"P{n}"),),
            f"{n}.png",
            np.arange(n * SIZE, (n + 1) * SIZE),
        )
        for n in range(count)
    ]
    return BagSet(tuple(bags), features, NAMES, said), keys


def accuracy(trained):
    truth = trained.bags.truth[trained.sides["test"]]
    return float((trained.probabilities.argmax(axis=1) == truth).mean())


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("aggregator", ["attention", "gated", "set_transformer"])
def test_attention_finds_what_the_mean_does_not_show(aggregator, tmp_path):
    network = {"width": 16, "heads": 2, "inducing": 4} if aggregator == "set_transformer" else SMALL.network
    bags, keys = made()
    trained = train_bags(replace(SMALL, aggregator=aggregator, network=network), bags, ORIGIN, tmp_path)
    said = simpler(bags, trained.sides, mean_vectors(bags.features, bags.bags))
    of_mean = float((said.argmax(axis=1) == bags.truth[trained.sides["test"]]).mean())
    assert accuracy(trained) >= 0.85 > 0.75 >= of_mean
    if aggregator == "set_transformer":  # whose patches have looked at the whole bag before they are weighed
        return
    leukemic = [number for number in trained.sides["test"].tolist() if bags.truth[number]]
    own = [said_of(trained.network, bags.instances(number), torch.device("cpu"))[1] for number in leukemic]
    held = np.mean([one[keys[bags.bags[number].rows]].sum() for number, one in zip(leukemic, own, strict=True)])
    assert held > 2 * (2 * KEYS / SIZE)  # an even share of the key patches, twice


@pytest.mark.usefixtures("one_thread")
def test_nothing_is_learnt_from_labels_dealt_by_chance(tmp_path):
    learnt, chance = (train_bags(SMALL, made(shuffled=one)[0], ORIGIN, tmp_path / str(one)) for one in (False, True))
    assert accuracy(learnt) > accuracy(chance) + 0.2


def test_an_epoch_draws_some_patches_and_an_answer_uses_all(tmp_path):
    bags, _ = made(20)
    task = BagTask(None, bags, np.arange(10), np.arange(10, 20), replace(SMALL, instances=6, batch_size=4))
    (features, mask), labels = next(iter(task.batches(1)))
    assert features.shape == (4, 6, DIM)
    assert mask.all()
    again, later = (next(iter(task.batches(epoch)))[0][0] for epoch in (1, 2))
    assert torch.equal(features, again)
    assert not torch.equal(features, later)
    assert len(task.batches(1)) == 3
    assert labels.dtype == torch.int64
    trained = train_bags(
        replace(SMALL, instances=6, training=replace(SMALL.training, epochs=1)), bags, ORIGIN, tmp_path
    )
    assert len(said_of(trained.network, bags.instances(0), torch.device("cpu"))[1]) == SIZE


def test_a_rare_label_weighs_more_though_a_batch_is_one_bag():
    bags, _ = made(12)
    few = replace(bags, truth=np.array([1] * 3 + [0] * 9, np.int32))
    task = BagTask(
        lambda features, mask: Said(torch.zeros(len(features), 2), mask), few, np.arange(12), np.arange(12), SMALL
    )
    bag = torch.zeros(1, 2, DIM), torch.ones(1, 2, dtype=torch.bool)
    losses = [float(task.loss((bag, torch.tensor([label])), torch.device("cpu"))) for label in (0, 1)]
    assert losses[1] == pytest.approx(3 * losses[0])


def says_nothing(features, mask):
    return Said(torch.zeros(len(features), 2), mask)


def test_patients_are_whole_though_their_slides_are_bags():
    bags, _ = made(24)
    two = [
        replace(bag, group=f"P{number // 2 * 2}", label=NAMES[number // 2 % 2]) for number, bag in enumerate(bags.bags)
    ]
    told = replace(bags, bags=tuple(two), truth=np.arange(24, dtype=np.int32) // 2 % 2)
    _, sides = split_bags(replace(SMALL, bag="slide"), told)
    owners = [{two[number].group for number in numbers.tolist()} for numbers in sides.values()]
    assert sum(map(len, owners)) == 12


def test_a_split_that_is_there_is_taken_and_held_to_the_bags(tmp_path):
    bags, _ = made(12)
    sides = ["train", "validation", "test"] * 4
    table = tmp_path / "split.csv"
    table.write_text("id,split\n" + "".join(f"P{n},{side}\n" for n, side in enumerate(sides)))
    _, found = split_bags(replace(SMALL, split=table), bags)
    assert found["test"].tolist() == [2, 5, 8, 11]
    table.write_text("id,split\n" + "".join(f"P{n},train\n" for n in range(11)))
    with pytest.raises(UsageError, match="says nothing of P11"):
        split_bags(replace(SMALL, split=table), bags)


def test_a_split_without_a_label_is_refused(tmp_path):
    bags, _ = made(12)
    table = tmp_path / "split.csv"
    sides = ["train"] * 6 + ["test"] * 5 + ["validation"]
    table.write_text("id,split\n" + "".join(f"P{n},{side}\n" for n, side in enumerate(sides)))
    with pytest.raises(UsageError, match="validation holds no bag of control"):
        train_bags(replace(SMALL, split=table), bags, ORIGIN, tmp_path / "out")


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"aggregator": "max"}, "no aggregator 'max'"),
        ({"by": "none"}, "must not be learnt and measured"),
        ({"instances": 0}, "instances of a training"),
        ({"network": {"dim": 3}}, "dim follows from the data"),
    ],
)
def test_settings_that_cannot_be_are_refused(values, told):
    with pytest.raises(UsageError, match=told):
        BagSettings(**values)


def test_an_unknown_setting_of_the_network_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"does not know these settings.*inducing"):
        train_bags(replace(SMALL, network={"inducing": 3}), made(24)[0], ORIGIN, tmp_path)
