"""CNN-GRU: the order of places is read, torchvision's weights fit, and more is learnt than from dealt labels."""

import csv
import hashlib

import pytest
import torch
import yaml
from click.testing import CliRunner
from torchvision import models

from tests.conftest import ROOT
from tests.painted_discs import write_discs
from wsi_patches.cli.main import main
from wsi_patches.datasets import find_inputs
from wsi_patches.errors import UsageError
from wsi_patches.models.cnn_gru import SYSTEMS, CnnGru, MapReader
from wsi_patches.models.start import load_start
from wsi_patches.models.system import HALF, IMAGENET
from wsi_patches.models.systems import find_system
from wsi_patches.train.dss_xai import TURNS_AND_FLIPS
from wsi_patches.train.engine_settings import EngineSettings
from wsi_patches.train.fields import FieldSettings, train_fields

pytestmark = pytest.mark.usefixtures("one_thread")
SMALLEST = {"inception_v3_gru": 107, "efficientnet_b3_gru": 48, "mobilenet_v2_gru": 48}
"""Sides that leave a map of 2 x 2 places."""


def test_the_order_of_places_matters_and_every_place_does():
    torch.manual_seed(0)
    reader = MapReader(8, 3, hidden=16, dropout=0.0).eval()
    places = torch.rand(1, 8, 2, 3, requires_grad=True)
    said = reader(places)
    for order in ([5, 4, 3, 2, 1, 0], [1, 0, 2, 3, 4, 5]):
        dealt = places.flatten(2)[:, :, order].view(1, 8, 2, 3)
        assert (reader(dealt) - said).abs().max() > 1e-3
        torch.testing.assert_close(dealt.mean((2, 3)), places.mean((2, 3)))  # a bag of places would tell no difference
    (gradient,) = torch.autograd.grad(said.sum(), places)
    assert (gradient.abs().sum(1) > 0).all()


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda one: one.name)
def test_a_map_of_four_places_is_read_from_the_backbone(system):
    network = system.build(3, hidden=8).eval()
    read = []
    network.get_submodule(system.head).register_forward_pre_hook(lambda _module, given: read.append(given[0].shape))
    side = SMALLEST[system.name]
    with torch.inference_mode():
        assert network(torch.rand(1, 3, side, side)).shape == (1, 3)
    assert read[0][2:] == (2, 2)
    assert {"inception_v3_gru": HALF}.get(system.name, IMAGENET) == system.colours


def test_torchvisions_weights_fit_and_the_gru_is_new(tmp_path):
    published = models.mobilenet_v2(weights=None)
    torch.save(published.state_dict(), tmp_path / "whole")
    digits = hashlib.sha256((tmp_path / "whole").read_bytes()).hexdigest()[:8]
    path = (tmp_path / "whole").rename(tmp_path / f"mobilenet_v2-{digits}.pth")
    network = CnnGru(2, hidden=8)
    first = {name: value.clone() for name, value in network.state_dict().items()}
    load_start(network, find_system("mobilenet_v2_gru").head, path)
    for name, value in network.state_dict().items():
        old = first[name] if name.startswith("classifier.") else published.state_dict()[name]
        assert torch.equal(value, old), name


def test_inceptions_own_file_holds_nothing_else_but_its_auxiliary_classifier():
    own = set(CnnGru(2, "inception_v3", hidden=8).state_dict())
    theirs = set(models.inception_v3(weights=None, init_weights=False).state_dict())
    assert {name.split(".")[0] for name in theirs - own} <= {"AuxLogits", "fc"}
    assert {name.split(".")[0] for name in own - theirs} == {"fc"}


def test_what_cannot_be_is_said():
    with pytest.raises(UsageError, match="inception_v3 takes images of 75 px and more, got 64: raise input_px"):
        CnnGru(2, "inception_v3", hidden=8)(torch.rand(1, 3, 64, 64))
    with pytest.raises(UsageError, match=r"1 to 4096 hidden units .* got 0 and 0\.3"):
        CnnGru(2, hidden=0)


SMALL = FieldSettings(
    architecture="mobilenet_v2_gru", network={"hidden": 32, "dropout": 0.0}, input_px=40, batch_size=8, by="slide",
    shares={"train": 0.6, "validation": 0.2, "test": 0.2}, patch_cell_diameters=1.5, calibration="none",
    watched="accuracy_then_loss", augmentation=TURNS_AND_FLIPS,
    training=EngineSettings(epochs=8, optimizer="sgd", learning_rate=0.03, warmup_epochs=1, device="cpu"),
)  # fmt: skip


def reached(folder, *, shuffled=False):
    found = find_inputs([write_discs(folder / "set", 80, side_px=40, shuffled=shuffled)]).items
    return train_fields(SMALL, found, folder / "out").card.scores["test_balanced_accuracy"]


@pytest.mark.slow
def test_a_small_training_beats_dealt_labels(tmp_path):
    learnt, chance = reached(tmp_path / "learnt"), reached(tmp_path / "dealt", shuffled=True)
    assert learnt > 0.85 > 0.75 > chance


@pytest.mark.slow
def test_the_recipes_space_is_searched(tmp_path):
    """Two trials of the recipe's own space, small: the table names its settings, and the best becomes a recipe."""
    values = yaml.safe_load((ROOT / "configs" / "cnn_gru.yaml").read_text(encoding="utf-8"))
    values |= {"input_px": 32, "patch_cell_diameters": 1.5, "by": "slide", "network": {"hidden": 64, "dropout": 0.3}}
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    folder, out = write_discs(tmp_path / "set", 40, side_px=32), tmp_path / "out"
    words = ["train", tmp_path / "small.yaml", "--data", folder, "-o", out, "--tune", 2, "--epochs", 1]
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    with (out / "tuning" / "trials.csv").open(newline="") as stream:
        trials = list(csv.DictReader(stream))
    assert [trial["status"] for trial in trials] == ["done", "done"]
    assert set(values["tune"]) <= trials[0].keys()
    assert trials[0]["network.hidden"] == "64"  # the recipe as it stands comes first
    assert trials[1]["training.learning_rate"] != trials[0]["training.learning_rate"]
    best = yaml.safe_load((out / "tuned.yaml").read_text(encoding="utf-8"))
    assert best["network"]["hidden"] in values["tune"]["network.hidden"]
