"""Labels in a tree: the losses by hand, what leaves share, and a training that is measured at each level."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from tests.painted_kinds import write_kinds
from wsi_patches.datasets import SlideItem, find_inputs
from wsi_patches.errors import UsageError
from wsi_patches.models import CellClassifier
from wsi_patches.models.label_tree import LabelTree
from wsi_patches.recipe import find_recipe, read_recipe, settings_from
from wsi_patches.train.augment import Augmentation
from wsi_patches.train.engine import EngineSettings
from wsi_patches.train.fields import cut_fields, train_fields
from wsi_patches.train.patch_set import PatchSet
from wsi_patches.train.patch_task import PatchTask, PatchView, balanced_accuracy
from wsi_patches.train.taxonomy import SharedPaths, TaxonomySettings, TaxonomyTask, level_losses

TREE = {"A": ["a1", "a2"], "B": ["b1", "b2"]}
CLASSES = ("a1", "a2", "b1", "b2")
LEVELS = LabelTree.of(TREE).levels(CLASSES)
PLAIN = Augmentation(
    turn="none", flip=False, scale=0, shift=0, stain=0, brightness=0, lamp=0, contrast=0, gamma=0, saturation=0,
    blur_share=0, noise=0, jpeg_share=0,
)  # fmt: skip
SIDE, CPU = 16, torch.device("cpu")
KINDS = {"large_blast": "aml", "small_blast": "all", "neutrophil": "neutrophil", "eosinophil": "eosinophil"}
KIND_TREE = {"leukemia": ["aml", "all"], "normal": ["neutrophil", "eosinophil"]}


class Frame:
    mean, std, input_px = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), SIDE


def test_losses_by_hand():
    logits = torch.tensor([[0.5, 0.2, 0.2, 0.1]]).log()
    losses = level_losses(logits, torch.tensor([1]), LEVELS)
    torch.testing.assert_close(losses, -torch.tensor([0.7, 0.2]).log())


def test_the_upper_loss_does_not_care_which_leaf_of_a_node_it_is():
    logits, labels = torch.randn(6, 4), torch.tensor([0, 1, 2, 3, 0, 2])
    siblings = torch.tensor([1, 0, 3, 2, 1, 3])
    upper = [level_losses(logits, one, LEVELS) for one in (labels, siblings, (labels + 2) % 4)]
    torch.testing.assert_close(upper[0][0], upper[1][0])
    assert not torch.isclose(upper[0][1], upper[1][1])
    assert not torch.isclose(upper[0][0], upper[2][0])


def faint_and_strong(counts, rng):
    """Patches whose red faintly tells A from B, and whose blue plainly tells the first leaf from the second."""
    truth = np.repeat(np.arange(4), counts).astype(np.int32)
    colours = np.stack([18.0 * np.where(truth < 2, -1, 1), 0 * truth, 60.0 * np.where(truth % 2, 1, -1)], axis=1)
    noise = rng.normal(0, 1, (len(truth), 3)) * [7, 0, 24]
    pixels = np.broadcast_to((128 + colours + noise).clip(0, 255)[:, None, None], (len(truth), SIDE, SIDE, 3))
    items = tuple(SlideItem(f"{number}.png") for number in range(len(truth)))
    rows = np.arange(len(truth), dtype=np.int32)
    return PatchSet(CLASSES, items, pixels.astype(np.uint8), truth, rows, np.zeros((len(truth), 2)))


def task_of(patches, **values):
    settings = TaxonomySettings(tree=TREE, input_px=SIDE, batch_size=len(patches), augmentation=PLAIN, **values)
    torch.manual_seed(0)
    network = nn.Sequential(nn.AvgPool2d(SIDE), nn.Flatten(), nn.Linear(3, 4))
    view = PatchView(patches, np.arange(len(patches)), SIDE)
    return settings.patch_task(network, Frame(), view, view)


def learnt(task, steps):
    optimizer = torch.optim.AdamW(task.network.parameters(), lr=0.02)
    (batch,) = task.batches(1)
    for _ in range(steps):
        optimizer.zero_grad()
        task.loss(batch, CPU).backward()
        optimizer.step()
    return task.finished().eval()


def test_flat_is_plain_cross_entropy(rng):
    patches = faint_and_strong([5, 3, 4, 6], rng)
    for balance in ("none", "weights"):
        task = task_of(patches, levels="flat", balance=balance)
        (batch,) = task.batches(1)
        torch.testing.assert_close(task.loss(batch, CPU), PatchTask.loss(task, batch, CPU))
        assert task.validate(task.network, CPU)["loss"] == pytest.approx(
            PatchTask.figures(task, *logits_and_truth(task))["loss"]
        )


def logits_and_truth(task):
    (batch,) = task.batches(1)
    with torch.no_grad():
        logits = task.network((batch[0] - 0.5) / 0.25)
    return logits.numpy(), batch[1].numpy()


def test_what_is_learnt_by_is_the_levels_by_their_weights(rng):
    task = task_of(faint_and_strong([5, 3, 4, 6], rng), level_weights=(3, 1))
    ((images, labels),) = task.batches(1)
    logits = task.network((images - 0.5) / 0.25)
    upper, leaves = level_losses(logits, labels, LEVELS)
    torch.testing.assert_close(task.loss((images, labels), CPU), 0.75 * upper + 0.25 * leaves)
    assert not torch.isclose(upper, leaves, atol=0.1)


def test_of_a_leaf_with_few_pictures_the_node_above_is_right_more_often_than_flat():
    test = faint_and_strong([1, 200, 1, 1], np.random.default_rng(99))
    rare = PatchView(test, np.flatnonzero(test.truth == 1), SIDE)
    right = {"flat": [], "all": []}
    for seed in range(3):
        patches = faint_and_strong([60, 4, 60, 60], np.random.default_rng(seed))
        for levels, told in right.items():
            network = learnt(task_of(patches, levels=levels), 120)
            pixels = torch.from_numpy(rare.read(range(len(rare)))).permute(0, 3, 1, 2).float() / 255
            told.append(((network((pixels - 0.5) / 0.25).argmax(1) // 2) == 0).float().mean().item())
    assert min(np.subtract(right["all"], right["flat"])) > 0.1, right


def test_what_is_kept_is_a_plain_last_layer_that_says_the_same(rng):
    task = task_of(faint_and_strong([5, 3, 4, 6], rng))
    assert isinstance(task, TaxonomyTask)
    began = task.network[2].weight.clone()
    assert task.network.state_dict()["2.parametrizations.weight.original"].shape == (6, 3)
    logits, _ = logits_and_truth(task)
    kept = task.finished()
    assert set(kept.state_dict()) == {"2.weight", "2.bias"}
    torch.testing.assert_close(kept[2].weight, began)
    np.testing.assert_allclose(logits_and_truth(task)[0], logits, rtol=1e-6)


def test_a_leaf_that_ends_early_shares_nothing_twice():
    levels = LabelTree.of({"a": {"b": ["x", "y"], "z": None}, "w": None}).levels(("x", "y", "z", "w"))
    assert SharedPaths(levels).on_path.tolist() == [
        [1, 1, 1, 0, 0, 0], [1, 1, 0, 1, 0, 0], [1, 0, 0, 0, 1, 0], [0, 0, 0, 0, 0, 1],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"level_weights": (1,)}, "level_weights are 2 numbers of 0 or more"),
        ({"level_weights": (0, 0)}, "not all of them 0"),
        ({"level_weights": (1, float("nan"))}, "level_weights are 2 numbers"),
        ({"levels": "flat", "level_weights": (1, 1)}, "level_weights are for levels: all"),
        ({"levels": "some"}, "levels: input should be 'all' or 'flat'"),
        ({"balance": "smote"}, "take another balance, or levels: flat"),
        ({"tree": {"a": ["x"], "b": None}}, "'a' has one kind alone"),
        ({"tree": "absent.yaml"}, "the tree in absent.yaml cannot be read"),
    ],
)
def test_what_cannot_be_is_refused(values, message):
    with pytest.raises(UsageError, match=message):
        settings_from(TaxonomySettings, {}, {"tree": TREE, **values})


def test_a_tree_may_lie_in_a_file(tmp_path):
    (tmp_path / "tree.yaml").write_text("A: [a1, a2]\nB: [b1, b2]\n")
    asked = settings_from(TaxonomySettings, {}, {"tree": str(tmp_path / "tree.yaml"), "level_weights": [3, 1]})
    assert asked.label_tree == LabelTree.of(TREE)
    assert asked.shares_of_levels == (0.75, 0.25)
    assert replace(asked, levels="flat", level_weights=None).shares_of_levels == (0, 1)


SMALL = TaxonomySettings(
    tree=KIND_TREE, architecture="plain_cnn", network={"widths": [16, 32, 32]}, input_px=32, batch_size=16,
    by="slide", shares={"train": 0.55, "validation": 0.15, "test": 0.3}, patch_cell_diameters=1.5,
    augmentation=replace(PLAIN, turn="quarter", flip=True),
    training=EngineSettings(epochs=10, learning_rate=0.01, device="cpu", keep="last"),
)  # fmt: skip


def levels_right(trained):
    """Return the balanced accuracy of each level on the test split."""
    test = trained.test
    said, levels = test.probabilities.argmax(axis=1), LabelTree.of(KIND_TREE).levels(test.class_names)
    return [balanced_accuracy(one.of_class[said], one.of_class[test.truth]) for one in levels]


@pytest.mark.usefixtures("one_thread")
def test_painted_kinds_are_learnt_and_shuffled_ones_are_not_at_both_levels(tmp_path):
    done = {}
    for shuffled in (False, True):
        items = find_inputs([write_kinds(tmp_path / f"data{shuffled}", KINDS, 42, shuffled=shuffled)]).items
        done[shuffled] = train_fields(SMALL, items, tmp_path / f"out{shuffled}")
    learnt, chance = (levels_right(done[shuffled]) for shuffled in (False, True))
    assert learnt[0] > max(0.7, chance[0] + 0.2)  # 1/2 is chance
    assert learnt[1] > max(0.5, chance[1] + 0.2)  # 1/4 is chance
    kept = CellClassifier.load(done[False].weights, "cpu")
    assert LabelTree.of(kept.card.tree) == LabelTree.of(KIND_TREE)
    assert set(kept.card.classes) == set(KINDS.values())
    assert {"balanced_accuracy_level_1"} <= set(done[False].history[0].figures)


def test_labels_that_are_not_the_leaves_are_refused_before_pictures_are_read(tmp_path):
    items = [SlideItem(f"absent_{name}.png", label=name) for name in (*KINDS.values(), "reactive")]
    with pytest.raises(UsageError, match="class 'reactive' is not in the tree; leaves are aml, all"):
        cut_fields(SMALL, items, tmp_path)


def test_the_recipe_names_seven_leaves():
    values = read_recipe(find_recipe("taxonomy"))
    assert values.pop("command") == "train"
    asked = settings_from(TaxonomySettings, {}, values)
    assert len(asked.label_tree.leaves) == 7
    assert {"reactive", "normal"} <= set(asked.label_tree.leaves)
    assert asked.architecture == "convnext_tiny"
