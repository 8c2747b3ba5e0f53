"""A network of densities, its card and its file."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.unit.models.counter_card import CARD
from wsi_patches.cells import WHITE_CELL
from wsi_patches.errors import ModelError, UsageError
from wsi_patches.models.card import CounterCard
from wsi_patches.models.cell_finder import RED_CELL_UM
from wsi_patches.models.count_calibration import CountCalibration
from wsi_patches.models.count_network import CellCountNet, counter_from_finder, counter_from_imagenet
from wsi_patches.models.counter import CellCounter
from wsi_patches.models.efficientnet_lite0 import EfficientNetLite0
from wsi_patches.models.finder_network import RED_CELL_PX, STRIDE, CellFinderNet, as_input
from wsi_patches.models.weights import build_counter, build_finder, build_model, save_weights


@pytest.fixture
def weight_file(tmp_path):
    torch.manual_seed(3)
    save_weights(tmp_path / "tiny.safetensors", CellCountNet(width=8), CARD)
    return tmp_path / "tiny.safetensors"


def test_a_density_for_each_class_never_below_nothing():
    torch.manual_seed(0)
    network = CellCountNet(classes=3, width=8).eval()
    density = network(torch.randn(2, 3, 64, 96)).detach()
    assert density.shape == (2, 3, 16, 24)
    assert (density >= 0).all()
    assert 0.01 < float(density.sum()) / (2 * 3 * 64 * 96 / 200**2) < 100  # about one cell on 200 px


def test_it_begins_with_what_a_finder_or_a_backbone_sees():
    torch.manual_seed(0)
    finder, published = CellFinderNet(width=8), EfficientNetLite0()
    counter = counter_from_finder(finder, 2)
    ours, theirs = counter.finder.state_dict(), finder.state_dict()
    same = {name for name in theirs if torch.equal(ours[name], theirs[name])} if ours.keys() == theirs.keys() else set()
    assert set(theirs) - same == {"head.1.weight", "head.1.bias"}
    other = counter_from_imagenet(published, 1)
    assert torch.equal(other.finder.stem[0].weight, published.stem[0].weight)
    assert other.finder.head[1].out_channels == 2


def test_the_file_keeps_network_and_card(weight_file):
    network, card, sha256 = build_counter(weight_file)
    assert card == CARD
    counter = CellCounter.load(weight_file, "cpu", "fp32")
    assert counter.sha256 == sha256
    assert counter.working_mpp == pytest.approx(RED_CELL_UM / RED_CELL_PX)
    image = np.random.default_rng(1).integers(0, 256, (1, 64, 64, 3), np.uint8)
    with torch.inference_mode():
        expected = network(as_input(torch.from_numpy(image).permute(0, 3, 1, 2)))
    density, step = counter.densities(image, RED_CELL_PX)
    assert step == STRIDE
    assert density.shape == (1, 2, 16, 16)
    np.testing.assert_allclose(density, expected, rtol=1e-4)


@pytest.mark.parametrize(("side", "red", "places"), [(64, 26.0, 16), (128, 52.0, 16), (100, 26.0, 24), (40, 13.0, 20)])
def test_patches_are_seen_at_the_networks_own_scale(weight_file, side, red, places):
    counter = CellCounter.load(weight_file, "cpu", "fp32")
    density, step = counter.densities(np.full((3, side, side, 3), 200, np.uint8), red)
    assert density.shape[2:] == (places, places)
    assert step * places == pytest.approx(side)


def test_many_patches_are_looked_at_in_turn(weight_file, monkeypatch):
    counter = CellCounter.load(weight_file, "cpu", "fp32")
    images = np.random.default_rng(1).integers(0, 256, (5, 64, 64, 3), np.uint8)
    whole = counter.densities(images, RED_CELL_PX)[0]
    monkeypatch.setattr("wsi_patches.models.counter.MOST_PX", 2 * 64 * 64)
    np.testing.assert_allclose(counter.densities(images, RED_CELL_PX)[0], whole, rtol=1e-4, atol=1e-7)
    with pytest.raises(UsageError, match="patches must be uint8"):
        counter.densities(images[:, :32], RED_CELL_PX)


def test_files_of_other_kinds_are_refused_with_what_they_are(weight_file, tmp_path):
    for build, wanted in ((build_model, "classifier"), (build_finder, "finder")):
        with pytest.raises(ModelError, match=f"holds a cell counter, and a cell {wanted} is needed"):
            build(weight_file)
    with pytest.raises(ModelError, match="no counter 'absent'"):
        CellCounter.load("absent")
    save_weights(tmp_path / "odd.safetensors", CellCountNet(width=8), replace(CARD, architecture="abacus"))
    with pytest.raises(ModelError, match="asks for architecture 'abacus'"):
        CellCounter.load(tmp_path / "odd.safetensors")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"red_cell_px": 0.0}, "red_cell_px is above 0"),
        ({"classes": ("cat", "dog")}, "blast and other are counted"),
        ({"classes": (WHITE_CELL,)}, "each with a calibration or none"),
        ({"calibration": {"blast": CountCalibration()}}, "each with a calibration or none"),
    ],
)
def test_cards_that_cannot_be_are_refused(changes, told):
    with pytest.raises(ModelError, match=told):
        replace(CARD, **changes)


def test_a_card_without_calibration_is_one_that_was_not_calibrated_yet():
    assert CounterCard.from_dict(replace(CARD, calibration={}).to_dict()).calibration == {}
