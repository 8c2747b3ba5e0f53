"""Each kind of balance is asked for in a recipe, and looks at the training split alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from wsi_patches.datasets import SlideItem
from wsi_patches.errors import UsageError
from wsi_patches.recipe import settings_from
from wsi_patches.train.augment import Augmentation
from wsi_patches.train.blasts import BlastSettings
from wsi_patches.train.classifier_settings import ClassifierSettings
from wsi_patches.train.patch_set import PatchSet
from wsi_patches.train.patch_task import PatchTask, PatchView
from wsi_patches.train.refit import refit_head

SIDE = 16
PLAIN = Augmentation(turn="none", flip=False, scale=0, shift=0, blur_px=0, noise=0, jpeg_share=0)
SETTINGS = ClassifierSettings(input_px=SIDE, batch_size=4, augmentation=PLAIN)


class Frame:
    mean, std, input_px = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), SIDE


class Watched(np.ndarray):
    """Pixels that keep which rows were read."""

    def __getitem__(self, rows):
        if isinstance(rows, np.ndarray):
            self.read.update(rows.tolist())
        return np.asarray(super().__getitem__(rows))


@pytest.fixture
def patches():
    """Forty patches: 24 dark and 6 light ones to learn from, and ten others of another share."""
    rng = np.random.default_rng(3)
    truth = np.array([0] * 24 + [1] * 6 + [1] * 8 + [0] * 2, np.int32)
    images = rng.normal(100 + 40 * truth[:, None, None, None], 30, (40, SIDE, SIDE, 3)).clip(0, 255).astype(np.uint8)
    images = images.view(Watched)
    images.read = set()
    slide = np.repeat(np.arange(10), 4).astype(np.int32)
    items = tuple(SlideItem(f"{number}.png") for number in range(10))
    return PatchSet(("blast", "other"), items, images, truth, slide, np.zeros((40, 2)))


@pytest.fixture
def views(patches):
    return PatchView(patches, np.arange(30), SIDE), PatchView(patches, np.arange(30, 40), SIDE)


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.AvgPool2d(4), nn.Flatten(), nn.Linear(3 * (SIDE // 4) ** 2, 8), nn.ReLU(), nn.Linear(8, 2)
    ).eval()


def shown(task, epoch=1):
    return torch.cat([labels for _, labels in task.batches(epoch)]).bincount(minlength=2).tolist()


@pytest.mark.parametrize(
    ("recipe", "counts"),
    [
        ({"balance": "none"}, (24, 6)),
        ({"balance": "weights"}, (24, 6)),
        ({"balance": "effective"}, (24, 6)),
        ({"balance": "oversample"}, (24, 24)),
        ({"balance": "oversample", "oversample_to": 14}, (24, 14)),
        ({"balance": "oversample", "oversample_to": 40}, (40, 40)),
        ({"balance": "groups"}, (15, 15)),
        ({"balance": "smote"}, (24, 6)),
    ],
)
def test_an_epoch_shows_each_class_as_often_as_asked_from_the_training_split_alone(views, patches, recipe, counts):
    asked = settings_from(BlastSettings, {}, {"input_px": SIDE, "batch_size": 2, **recipe})
    task = PatchTask(network(), Frame(), *views, replace(asked, augmentation=PLAIN))

    assert sum(shown(task)) == sum(counts)
    assert abs(shown(task)[0] - counts[0]) <= 1
    assert patches.images.read <= set(range(30))


def test_weights_are_those_of_the_training_split(views):
    weighed = PatchTask(network(), Frame(), *views, replace(SETTINGS, balance="weights"))
    plain = PatchTask(network(), Frame(), *views, SETTINGS)

    assert (weighed.weights[1] / weighed.weights[0]).item() == pytest.approx(24 / 6)
    assert plain.weights.tolist() == [1, 1]


def test_smote_learns_the_last_layer_anew_and_the_rare_class_counts_as_much(views, patches):
    first, second = network(), network()
    before = {name: value.clone() for name, value in first.state_dict().items()}

    for one in (first, second):
        refit_head(one, Frame(), views[0], 5)

    changed = {name for name, value in first.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"4.weight", "4.bias"}
    assert all(torch.equal(value, second.state_dict()[name]) for name, value in first.state_dict().items())
    rows = torch.from_numpy(np.asarray(patches.images)[30:]).permute(0, 3, 1, 2).float() / 255
    predicted = first((rows - 0.5) / 0.5).argmax(dim=1).numpy()
    assert (predicted == patches.truth[30:]).mean() >= 0.9
    assert patches.images.read <= set(range(30))


def test_three_classes_are_learnt_anew_too(patches):
    truth = np.array([0] * 20 + [1] * 12 + [2] * 8, np.int32)
    pixels = np.full((40, SIDE, SIDE, 3), 20, np.uint8)
    for row, one in enumerate(truth.tolist()):
        pixels[row, :, :, one] = 150 + row
    three = replace(patches, class_names=("a", "b", "c"), images=pixels, truth=truth)
    torch.manual_seed(0)
    net = nn.Sequential(nn.AvgPool2d(SIDE), nn.Flatten(), nn.Linear(3, 3)).eval()

    refit_head(net, Frame(), PatchView(three, np.arange(40), SIDE), 0)

    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    assert net((images - 0.5) / 0.5).argmax(dim=1).tolist() == truth.tolist()


@pytest.mark.parametrize("recipe", [{"oversample_to": 9}, {"balance": "oversample", "oversample_to": 0}])
def test_a_count_that_nothing_is_repeated_to_is_refused(recipe):
    with pytest.raises(UsageError, match="oversample_to is a count"):
        settings_from(BlastSettings, {}, recipe)
