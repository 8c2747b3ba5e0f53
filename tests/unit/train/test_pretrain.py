"""Encoders without labels: views find their own patch again after SimCLR, and DINO's teacher does not collapse."""

from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
import torch

from tests.painted_bags import SIDE_PX, write_bags
from tests.painted_sets import painted_cells
from wsi_patches.errors import ModelError, UsageError
from wsi_patches.models.encoders import FrozenEncoder
from wsi_patches.models.start import load_start
from wsi_patches.models.systems import find_system
from wsi_patches.models.weights import build_model, kind_of
from wsi_patches.recipe import find_recipe, read_recipe, settings_from
from wsi_patches.train.augment import Augmentation
from wsi_patches.train.engine import EngineSettings, fit
from wsi_patches.train.pretrain import split_store_patches, train_encoder
from wsi_patches.train.pretrain_settings import PretrainSettings
from wsi_patches.train.pretrain_task import DinoNet, DinoTask, SimClrNet, SimClrTask
from wsi_patches.train.views import cut_views, found_again, spread
from wsi_patches.workflows.output import Existing
from wsi_patches.workflows.store_bags import open_stores
from wsi_patches.workflows.train_encoder import train_encoder_on_stores
from wsi_patches.workflows.train_folder import TrainingData

LOOK = Augmentation(turn="none", flip=False, stain=0.2, brightness=0.15, lamp=0.1, contrast=0.15, blur_share=0.2)
"""Milder than the recipes', for so few steps; and not turned, as the painted cells repeat, turned."""
SMALL = PretrainSettings(
    network={"depth": 18, "width": 8},
    architecture="dss_xai",
    input_px=24,
    global_share=(0.8, 1.0),
    hidden=32,
    projection=16,
    local_views=1,
    batch_size=24,
    augmentation=LOOK,
    shares={"train": 0.5, "validation": 0.1, "test": 0.4},
    training=EngineSettings(epochs=20, learning_rate=0.005, weight_decay=1e-4, keep="last", device="cpu"),
)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return write_bags(tmp_path_factory.mktemp("pretrain"), patients=12)[0]


def trained(settings, store, folder):
    patches = open_stores([store])
    return train_encoder(settings, patches, np.ones(len(patches), bool), folder)


class Patches:
    """Painted cells in memory, each once."""

    cut: ClassVar = {"size_px": SIDE_PX}

    def read(self, rows):
        return painted_cells(80, SIDE_PX, 5)[0][np.asarray(rows)]


class Frame:
    input_px, mean, std = 16, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)


TAUGHT, UNSEEN = np.arange(48), np.arange(48, 80)
TINY = replace(
    SMALL, input_px=16, batch_size=24, training=replace(SMALL.training, epochs=60, learning_rate=0.01),
)  # fmt: skip


def tiny():
    """A few convolutions, whose features are 32."""
    torch.manual_seed(0)
    first = torch.nn.Sequential(torch.nn.Conv2d(3, 16, 3, 2, 1), torch.nn.BatchNorm2d(16), torch.nn.ReLU())
    second = torch.nn.Sequential(torch.nn.Conv2d(16, 32, 3, 2, 1), torch.nn.BatchNorm2d(32), torch.nn.ReLU())
    return torch.nn.Sequential(first, second, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())


def margin(task):
    """Return how much more alike two views of an unseen patch are than views of two patches, by the mean cosine."""
    network, device = task.network.eval(), torch.device("cpu")
    views = [task.described(network, UNSEEN, seed, device) for seed in (1, 2)]
    one, other = (torch.nn.functional.normalize(features, dim=1) for features in views)
    alike, count = one @ other.T, len(UNSEEN)
    return float(alike.diagonal().mean() - (alike.sum() - alike.trace()) / (count * (count - 1)))


class MixedUp(SimClrTask):
    """What it brings together are views of two different patches."""

    def views(self, images, generator):
        first, second = super().views(images, generator)
        return [first, second.roll(1, 0)]


@pytest.mark.usefixtures("one_thread")
def test_simclr_brings_views_of_a_patch_together_and_others_apart(tmp_path):
    margins = {}
    for kind in (SimClrTask, MixedUp):
        task = kind(SimClrNet(tiny(), 32, TINY), Frame(), Patches(), TAUGHT, UNSEEN, TINY)
        before = margin(task)
        fit(task, TINY.training, tmp_path / kind.__name__)
        margins[kind] = margin(task)
    assert margins[SimClrTask] > 2.6 * before > margins[MixedUp]
    assert margins[SimClrTask] > 1.3 * margins[MixedUp]


@pytest.mark.usefixtures("one_thread")
def test_an_encoder_goes_wherever_one_is_taken(store, tmp_path):
    short = replace(SMALL, training=replace(SMALL.training, epochs=2))
    done = train_encoder_on_stores(short, TrainingData((store,)), tmp_path / "out", Existing())
    assert {"test_found_again_before", "test_found_again", "test_spread"} <= set(done.card.scores)
    encoder = FrozenEncoder.load(str(tmp_path / "out" / "encoder.yaml"), "cpu")
    features = encoder.features(open_stores([store]).read([0, 5]))
    assert features.shape == (2, done.card.dim)
    assert not np.allclose(features[0], features[1])
    assert "probe" in done.notes[1]
    # The same file starts another training, with a last layer of its own, and is no classifier.
    assert kind_of(done.weights) == "encoder"
    network = find_system("dss_xai").build(3, depth=18, width=8)
    load_start(network, "fc", done.weights)
    state = done.trained.network.state_dict()
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in state.items())
    with pytest.raises(ModelError, match="learnt from patches without labels"):
        build_model(done.weights)


def test_test_slides_are_never_read_while_training(store, tmp_path, monkeypatch):
    settings = replace(SMALL, training=replace(SMALL.training, epochs=1))
    patches, seen = open_stores([store]), set()
    _, sides = split_store_patches(settings, patches, np.ones(len(patches), bool))
    drawn = type(patches).read
    monkeypatch.setattr("wsi_patches.train.pretrain_task.ViewTask.validate", lambda *_: {"found_again": 0, "spread": 0})
    monkeypatch.setattr(type(patches), "read", lambda own, rows: (seen.update(map(int, rows)), drawn(own, rows))[1])
    train_encoder(settings, patches, np.ones(len(patches), bool), tmp_path)
    assert seen
    assert seen <= set(sides["train"].tolist())
    owners = [{patches.stores[0].slides[row].group for row in patches.stores[0].slide_rows[rows]} for rows in
              sides.values()]  # fmt: skip
    assert not owners[0] & owners[1] | owners[0] & owners[2] | owners[1] & owners[2]


@pytest.mark.usefixtures("one_thread")
def test_dino_does_not_collapse_since_its_teacher_is_centred(tmp_path):
    # Sharpening alone pulls all patches to one prototype; the centre takes off what all of them say.
    answers = {momentum: collapse(tmp_path / str(momentum), momentum) for momentum in (0.9, 1.0)}
    assert answers[0.9] > 2 * answers[1.0]


def collapse(folder, momentum):
    """Return to how many prototypes the trained teacher gives unseen patches, in effect."""
    asked = replace(
        TINY, method="dino", center_momentum=momentum, teacher_momentum=0.9, teacher_temperature=0.02,
        global_share=(0.5, 1.0),
    )  # fmt: skip
    network = DinoNet(tiny(), tiny(), 32, asked)
    task = DinoTask(network, Frame(), Patches(), TAUGHT, UNSEEN, asked)
    fit(task, asked.training, folder)
    with torch.no_grad():
        features = task.described(network.eval(), UNSEEN, 1, torch.device("cpu"))
        said = network.teacher_head(features) - network.loss.center[0]
    share = (said / asked.teacher_temperature).softmax(dim=1).mean(dim=0)
    return float(torch.exp(-(share * share.clamp_min(1e-12).log()).sum()))


def test_views_lie_within_the_patch_and_differ():
    ramp = torch.linspace(0, 1, 40).repeat(8, 3, 40, 1)
    plain = Augmentation(
        turn="none", flip=False, stain=0, brightness=0, lamp=0, contrast=0, gamma=0, saturation=0, blur_share=0,
        noise=0, jpeg_share=0,
    )  # fmt: skip
    views = cut_views(ramp, 20, (0.25, 0.25), plain, torch.Generator().manual_seed(1))
    width = views[:, 0, 0, -1] - views[:, 0, 0, 0]
    torch.testing.assert_close(width, torch.full((8,), 0.25 * 40 / 39 * 19 / 20), atol=1e-3, rtol=0)
    assert views.mean(dim=(1, 2, 3)).std() > 0.05


def test_figures_by_hand():
    first = torch.eye(4)
    assert found_again(first, 3 * first) == 1
    assert found_again(first, first.roll(1, 0)) == 0
    assert spread(torch.ones(5, 3)) == pytest.approx(0, abs=1e-6)
    assert spread(torch.eye(4)) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"method": "swav"}, "no method 'swav'"),
        ({"global_share": (0.9, 0.5)}, "global_share is two numbers that rise"),
        ({"method": "dino", "training": EngineSettings(ema_decay=0.9)}, "running average already"),
        ({"temperature": 0.0}, "temperature of a training"),
    ],
)
def test_settings_that_cannot_be_are_refused(values, told):
    with pytest.raises(UsageError, match=told):
        PretrainSettings(**values)


def test_what_is_no_store_is_refused(tmp_path):
    with pytest.raises(UsageError, match="is no store of patches"):
        train_encoder_on_stores(SMALL, TrainingData((tmp_path,)), tmp_path / "out", Existing())


@pytest.mark.parametrize("name", ["simclr", "dino"])
def test_the_recipe_is_the_method_of_its_name(name):
    values = read_recipe(find_recipe(name))
    values.pop("command")
    assert settings_from(PretrainSettings, {}, values, name).method == name
