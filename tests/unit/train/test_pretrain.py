"""Encoders without labels: views find their own patch again after SimCLR, and DINO's teacher does not collapse."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.painted_bags import write_bags
from wsi_patches.errors import ModelError, UsageError
from wsi_patches.models.classifier import normalised
from wsi_patches.models.encoders import FrozenEncoder
from wsi_patches.models.start import load_start
from wsi_patches.models.systems import find_system
from wsi_patches.models.weights import build_model, kind_of
from wsi_patches.recipe import find_recipe, read_recipe, settings_from
from wsi_patches.train.augment import Augmentation
from wsi_patches.train.engine import EngineSettings
from wsi_patches.train.pretrain import split_store_patches, train_encoder
from wsi_patches.train.pretrain_settings import OTHER_LOOK, PretrainSettings
from wsi_patches.train.pretrain_task import DinoTask, SimClrTask, pixels_of
from wsi_patches.train.views import cut_views, found_again, spread
from wsi_patches.workflows.output import Existing
from wsi_patches.workflows.store_bags import open_stores
from wsi_patches.workflows.train_encoder import train_encoder_on_stores
from wsi_patches.workflows.train_folder import TrainingData

SMALL = PretrainSettings(
    network={"depth": 18, "width": 8},
    architecture="dss_xai",
    input_px=32,
    global_share=(0.8, 1.0),
    hidden=32,
    projection=16,
    local_views=1,
    batch_size=36,
    augmentation=replace(OTHER_LOOK, turn="none", flip=False),  # the painted cells repeat, turned
    shares={"train": 0.5, "validation": 0.1, "test": 0.4},
    training=EngineSettings(epochs=12, learning_rate=0.005, weight_decay=1e-4, keep="last", device="cpu"),
)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return write_bags(tmp_path_factory.mktemp("pretrain"), patients=12)[0]


def trained(settings, store, folder):
    patches = open_stores([store])
    return train_encoder(settings, patches, np.ones(len(patches), bool), folder)


def margin(network, card, images):
    """Return how much more alike two views of a patch are than views of two patches, by the mean cosine."""
    features = []
    for seed in (1, 2):
        view = cut_views(images, card.input_px, (0.8, 1.0), OTHER_LOOK, torch.Generator().manual_seed(seed))
        with torch.inference_mode():
            features.append(torch.nn.functional.normalize(network.eval()(normalised(view, card)), dim=1))
    alike = features[0] @ features[1].T
    count = len(alike)
    return float(alike.diagonal().mean() - (alike.sum() - alike.trace()) / (count * (count - 1)))


@pytest.mark.usefixtures("one_thread")
def test_simclr_brings_views_of_a_patch_together_and_makes_an_encoder(store, tmp_path, monkeypatch):
    done = train_encoder_on_stores(SMALL, TrainingData((store,)), tmp_path / "out", Existing())
    patches = open_stores([store])
    unseen = split_store_patches(SMALL, patches, np.ones(len(patches), bool))[1]["test"]
    images, scores = pixels_of(patches, unseen), done.card.scores
    still = replace(SMALL, training=replace(SMALL.training, epochs=1, learning_rate=1e-8))
    before = trained(still, store, tmp_path / "before")
    with monkeypatch.context() as patched:  # what is brought together are then views of two different patches
        views = SimClrTask.views
        patched.setattr(SimClrTask, "views", lambda *given: [one.roll(i, 0) for i, one in enumerate(views(*given))])
        broken = trained(SMALL, store, tmp_path / "broken")
    learnt, untaught, wrong = (margin(one.network, one.card, images) for one in (done.trained, before, broken))
    assert learnt > 2 * max(untaught, wrong)
    assert learnt > 0.1
    assert scores["test_spread"] > 0.2
    encoder = FrozenEncoder.load(str(tmp_path / "out" / "encoder.yaml"), "cpu")
    images = open_stores([store]).read([0, 5])
    features = encoder.features(images)
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
def test_dino_does_not_collapse_since_its_teacher_is_centred(store, tmp_path):
    # Sharpening alone pulls all patches to one prototype; the centre takes off what all of them say.
    answers = {momentum: collapse(store, tmp_path / str(momentum), momentum) for momentum in (0.9, 1.0)}
    assert answers[0.9] > 2 * answers[1.0]


def collapse(store, folder, momentum):
    """Return how many prototypes the trained teacher gives to validation patches, in effect."""
    patches = open_stores([store])
    asked = replace(
        SMALL, method="dino", name="dino", center_momentum=momentum, teacher_momentum=0.9, teacher_temperature=0.02,
        architecture="allnet", network={"depth": 18, "widths": [8, 16]}, input_px=24, batch_size=24,
        training=replace(SMALL.training, learning_rate=0.01),
    )  # fmt: skip
    kept = []
    original = DinoTask.validate

    def validate(task, network, device):
        with torch.no_grad():
            said = network.teacher_head(task.described(network, task.validation, 1, device)) - network.loss.center[0]
        share = (said / asked.teacher_temperature).softmax(dim=1).mean(dim=0)
        kept.append(float(torch.exp(-(share * share.clamp_min(1e-12).log()).sum())))
        return original(task, network, device)

    DinoTask.validate = validate
    try:
        train_encoder(asked, patches, np.ones(len(patches), bool), folder)
    finally:
        DinoTask.validate = original
    return kept[-1]


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
