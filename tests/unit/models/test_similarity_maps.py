"""Where patches resemble each other: maps by hand, maps that move with the cell, and networks that have none."""

import numpy as np
import pytest
import torch
from torch import nn

from wsi_patches.errors import ModelError
from wsi_patches.models import CellClassifier, ModelCard
from wsi_patches.models.described import DescribedNetwork
from wsi_patches.models.encoders import FrozenEncoder
from wsi_patches.models.similarity_maps import LastMap, overall_maps, pair_products, similarity_cams
from wsi_patches.models.systems import SYSTEMS
from wsi_patches.synthetic import paint_cell_patches

CPU = torch.device("cpu")
AVERAGING = {
    "allnet": ({"widths": (8, 16)}, 64),
    "dss_xai": ({"width": 8}, 96),
    "efficientnet_lite0": ({"views": 4}, 96),
    "resnet18": ({}, 96),
    "densenet201": ({}, 96),
}
OTHERS = {"six_conv": 224, "alexnet": 96}


def described(name, settings, side, classes=3):
    torch.manual_seed(0)
    network = SYSTEMS[name].build(classes, **settings).eval()
    card = ModelCard(
        name="n", title="t", architecture=name, settings={}, classes=tuple("abcdef"[:classes]), input_px=side,
        mean=(0.7, 0.6, 0.7), std=(0.2, 0.2, 0.2), trained_on="nothing", limits="all", licence="none",
        patch_cell_diameters=2.0,
    )  # fmt: skip
    return DescribedNetwork.of_classifier(CellClassifier(network, card, "", CPU))


def on_glass(side, x, y, cell):
    """Lay a cell, which fills the middle of its patch, on bare glass."""
    picture = np.full((side, side, 3), 235, np.uint8)
    half = cell.shape[0] // 2
    picture[y - half : y + half, x - half : x + half] = cell
    return picture


@pytest.fixture(scope="module")
def cells():
    return paint_cell_patches(8, 3, 48, 1.2)[0]


@pytest.mark.parametrize("name", AVERAGING)
def test_the_map_of_a_network_that_averages_is_found(name):
    settings, side = AVERAGING[name]
    network = described(name, settings, side)
    assert LastMap.of(network).averaged is not None


@pytest.mark.parametrize("name", OTHERS)
def test_a_network_that_does_not_average_has_cams_and_no_maps_of_pairs(name, rng):
    network = described(name, {}, OTHERS[name])
    last = LastMap.of(network)
    images = rng.integers(0, 255, (3, 64, 64, 3)).astype(np.uint8)
    assert similarity_cams(network, last, images[0], images[1:]).query.shape[0] == 2
    with pytest.raises(ModelError, match="average of their last map"):
        overall_maps(network, last, images[0], images[1:])


def test_tokens_have_no_map():
    network = described("vit_b_16", {}, 224)
    with pytest.raises(ModelError, match="--cam none"):
        LastMap.of(network)


def test_an_encoder_has_maps_and_no_logits(cells):
    network = DescribedNetwork.of_encoder(FrozenEncoder.load("lite0", "cpu"))
    last = LastMap.of(network)
    maps = overall_maps(network, last, cells[0], cells[1:3], "embedding")
    assert maps.query.shape == maps.neighbours.shape == (2, 7, 7)
    assert network.describe(cells[:2])[0].shape == (2, 0)
    with pytest.raises(ModelError, match="no logits"):
        network.embed(network.inputs(cells[:1]), "logits")


def test_patches_are_described_as_they_are(cells):
    network = described("dss_xai", {"width": 8}, 48)
    logits, features = network.describe(cells)
    again = network.describe(cells)
    np.testing.assert_array_equal(logits, again[0])
    np.testing.assert_array_equal(features, again[1])
    with torch.no_grad():
        said = network.network.describe(network.inputs(cells))
    np.testing.assert_allclose(features, said.features, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(logits, said.logits, rtol=1e-4, atol=1e-5)


class Average(nn.Module):
    """One 1x1 convolution, an average and a last layer: all can be said by hand."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1, bias=False)
        self.fc = nn.Linear(3, 2)
        with torch.no_grad():
            self.conv.weight[:] = torch.eye(3)[..., None, None]
            self.fc.weight[:] = torch.tensor([[1.0, 2.0, 0.0], [0.0, 0.0, -1.0]])
            self.fc.bias[:] = torch.tensor([0.5, 0.25])

    def forward(self, x):
        return self.fc(self.conv(x).mean((2, 3)))


class Raw:
    input_px, mean, std = 2, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)


@pytest.fixture
def average():
    network = Average().eval()
    return DescribedNetwork(network, Raw(), network.fc, CPU)


QUERY = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [0, 0, 0]]], np.uint8)
NEIGHBOUR = np.array([[[0, 255, 0], [0, 0, 0]], [[0, 0, 0], [0, 0, 0]]], np.uint8)


@pytest.mark.parametrize("kind", ["rgrad", "grad"])
def test_cams_by_hand(average, kind):
    # The average of the neighbour is (0, 1/4, 0): its logits are (1/2 + 1/2, 1/4). The likeness changes with the
    # query's map by W' (1, 1/4) / 4 = (1, 2, -1/4) / 4 at every place, so both maps are relu((1, 2, -1/4) map).
    maps = similarity_cams(average, LastMap.of(average), QUERY, NEIGHBOUR[np.newaxis], "logits", kind)
    np.testing.assert_allclose(maps.query[0], [[0.5, 1], [0, 0]], atol=1e-6)


def test_overall_maps_by_hand(average):
    # Places of the query give (1, 0), (2, 0), (0, -1) and nothing, the neighbour's first (2, 0): products 2, 4, 0, 0.
    maps = overall_maps(average, LastMap.of(average), QUERY, NEIGHBOUR[np.newaxis])
    np.testing.assert_allclose(maps.query[0], [[0.5, 1], [0, 0]], atol=1e-6)
    np.testing.assert_allclose(maps.neighbours[0], [[1, 0], [0, 0]], atol=1e-6)


def test_nothing_alike_is_no_division_by_zero(average):
    black = np.zeros((1, 2, 2, 3), np.uint8)
    last = LastMap.of(average)
    for maps in (
        overall_maps(average, last, QUERY, black),
        similarity_cams(average, last, black[0], black),
    ):
        assert np.isfinite(maps.query).all()
        assert np.isfinite(maps.neighbours).all()
    assert (overall_maps(average, last, QUERY, black).query == 0).all()


@pytest.mark.parametrize("space", ["logits", "embedding"])
def test_with_averages_the_products_of_places_sum_to_that_of_the_images(space, cells):
    network = described("dss_xai", {"width": 8}, 48)
    last, fc = LastMap.of(network), network.head
    one, other = last.of_inputs(network, network.inputs(cells[:2])).detach()
    weight = fc.weight.detach() if space == "logits" else None
    _, (first, second) = network.describe(cells[:2])
    if space == "logits":
        first, second = first @ weight.numpy().T, second @ weight.numpy().T
    total = float(pair_products(one, other, weight, "gap").sum())
    assert total == pytest.approx(float(first @ second), rel=1e-3)


def test_the_largest_of_each_channel_stand_for_it():
    one = torch.tensor([[[1.0, 3.0]], [[2.0, 2.0]]])  # of two channels and two places
    products = pair_products(one, one, None, "gmp")
    np.testing.assert_allclose(products, [[4, 4], [4, 4 + 9]])


@pytest.mark.parametrize(
    ("name", "settings", "shift_px", "stride_px"),
    [("lite0", None, 64, 32), ("allnet", {"widths": (8, 16)}, 32, 8), ("dss_xai", {"width": 8}, 64, 32)],
)
@pytest.mark.parametrize("kind", ["rgrad", "grad", "overall"])
def test_maps_move_with_the_cell(name, settings, shift_px, stride_px, kind, cells):
    """A cell moved by two pixels of the map (four of ALLNet's) moves what speaks for it as far, give or take half."""
    side, space = 224, "embedding"
    if settings is None:
        network = DescribedNetwork.of_encoder(FrozenEncoder.load("lite0", "cpu"))
    else:
        network = described(name, settings, side)
    last = LastMap.of(network)
    neighbour = on_glass(side, 112, 112, cells[1])[np.newaxis]

    def centre(x):
        picture = on_glass(side, x, 112, cells[0])
        if kind == "overall":
            found = overall_maps(network, last, picture, neighbour, space).query[0]
        else:
            found = similarity_cams(network, last, picture, neighbour, space, kind).query[0]
        found = found - np.median(found)  # what bare glass has in common
        found[found < 0.25 * found.max()] = 0
        columns = np.arange(found.shape[1])
        return float((found.sum(axis=0) * columns).sum() / found.sum())

    moved = centre(112 + shift_px // 2) - centre(112 - shift_px // 2)
    assert moved == pytest.approx(shift_px / stride_px, abs=0.5 * shift_px / stride_px)
