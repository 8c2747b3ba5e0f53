"""The detector's network, its card and file, and how its boxes lie in the images that it is given."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import nn

from wsi_patches.cells import ALL_IDB_CLASSES, WHITE_CELL
from wsi_patches.counting import find_cells
from wsi_patches.counting.boxes import BoxFinder
from wsi_patches.errors import ModelError
from wsi_patches.models.cell_finder import RED_CELL_UM, FieldScale
from wsi_patches.models.detector import CellDetector
from wsi_patches.models.detector_card import DetectorCard
from wsi_patches.models.detector_network import BoxTargets, CellDetectorNet, SeenBoxes, begin_from_imagenet
from wsi_patches.models.efficientnet_lite0 import EfficientNetLite0
from wsi_patches.models.weights import build_detector, build_finder, build_model, save_weights
from wsi_patches.slides import ArraySlide

CPU = torch.device("cpu")
CARD = DetectorCard(
    name="tiny",
    title="A test's detector",
    architecture="cell_detector",
    settings={"width": 32, "convs": 1},
    classes=ALL_IDB_CLASSES,
    trained_on="nothing",
    limits="knows nothing",
    licence="Apache-2.0",
    red_cell_px=26.0,
    threshold=0.3,
    nms=0.5,
    split="none",
)
NO_CELLS = BoxTargets(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))


@pytest.fixture
def network():
    torch.manual_seed(3)
    return CellDetectorNet(2, width=32, convs=1).eval()


@dataclass(frozen=True)
class Told:
    """Tells a scale that it was told."""

    scale: FieldScale

    def calibrate(self, samples, mpp=None):
        return self.scale if mpp is None else FieldScale(RED_CELL_UM / mpp)


class DarkSquares(nn.Module):
    """Sees each dark square of an image as a cell, surest at the left; its class by whether it is red."""

    def seen(self, x, threshold, overlap):
        dark = x[0].amin(dim=0) < -0.5
        columns, rows = (torch.nonzero(dark.any(dim=axis))[:, 0] for axis in (0, 1))
        if not len(columns):
            return [SeenBoxes(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, 2))]
        line = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        red = x[0, 0][dark].mean() > 0
        logits = torch.tensor([[2.0, 0.0]] if red else [[0.0, 2.0]])
        return [SeenBoxes(torch.tensor([line], dtype=torch.float32), torch.tensor([0.8]), logits)]


def detector(network, **changes):
    return CellDetector.of(network, replace(CARD, **changes), "", Told(FieldScale(26.0)), CPU)


def test_every_place_of_both_levels_is_answered(network):
    said = network(torch.zeros(2, 3, 64, 96))
    places = 8 * 12 + 4 * 6
    assert {name: tuple(one.shape) for name, one in said.items()} == {
        "cls_logits": (2, places, 2),
        "bbox_regression": (2, places, 4),
        "bbox_ctrness": (2, places, 1),
    }


def test_an_untrained_network_sees_nothing_and_its_boxes_are_as_large_as_cells(network):
    assert len(network.seen(torch.zeros(1, 3, 64, 64), 0.3, 0.5)[0].score) == 0
    (seen,) = network.seen(torch.zeros(1, 3, 64, 64), 1e-6, 0.99)
    sides = (seen.lines[:, 2:] - seen.lines[:, :2]).flatten()
    assert ((sides > 30) & (sides < 90)).all()


def test_steps_lead_to_the_box_and_the_class_of_a_cell():
    torch.manual_seed(0)
    network = CellDetectorNet(2, width=32, convs=1).train()
    image = torch.full((1, 3, 64, 64), 0.8)
    image[:, :, 12:44, 20:52] = torch.tensor([0.6, -0.6, 0.2])[:, None, None]
    truth = BoxTargets(torch.tensor([[20.0, 12.0, 52.0, 44.0]]), torch.tensor([1]))
    batch, targets = torch.cat([image, torch.full_like(image, 0.8)]), [truth, NO_CELLS]
    steps = torch.optim.AdamW(network.parameters(), 3e-3)
    losses = []
    for _ in range(40):
        loss = network.loss(batch, targets)
        steps.zero_grad()
        loss.backward()
        steps.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2
    # Batches of two made the running statistics; they are what the network was trained with.
    with torch.inference_mode():
        found, empty = network.seen(batch, 0.5, 0.5)
    assert len(empty.score) == 0
    assert len(found.score) == 1
    assert (found.lines[0] - truth.lines[0]).abs().max() < 4
    assert found.logits[0].argmax() == 1


def test_the_backbone_may_have_published_weights(network):
    torch.manual_seed(1)
    published = EfficientNetLite0()
    backbone = network.fcos.backbone
    begin_from_imagenet(network, published)
    assert torch.equal(backbone.stem[0].weight, published.stem[0].weight)
    assert torch.equal(backbone.body[4][2].layers[0].weight, published.body[4][2].layers[0].weight)


def test_network_and_card_come_back_from_a_file(tmp_path, network):
    path = tmp_path / "detector.safetensors"
    save_weights(path, network, CARD)
    built, card, sha256 = build_detector(path)
    image = torch.rand(1, 3, 32, 32)
    assert card == CARD
    assert len(sha256) == 64
    assert all(
        torch.equal(one, other) for one, other in zip(built(image).values(), network(image).values(), strict=True)
    )
    loaded = CellDetector.load(path, "cpu", "fp32")
    assert loaded.class_names == ALL_IDB_CLASSES
    assert loaded.working_mpp == pytest.approx(7.5 / 26)
    assert isinstance(loaded, BoxFinder)
    for build, wanted in ((build_finder, "finder"), (build_model, "classifier")):
        with pytest.raises(ModelError, match=f"holds a cell detector, and a cell {wanted} is needed here"):
            build(path)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"classes": ("blast", "red_cell")}, "blast and other are detected, or white_cell"),
        ({"classes": ("other", "blast")}, "blast and other are detected"),
        ({"threshold": 1.5}, "threshold out of range"),
        ({"nms": 0.0}, "nms out of range"),
        ({"red_cell_px": -1.0}, "red_cell_px out of range"),
    ],
)
def test_cards_that_cannot_be_are_refused(changes, told):
    with pytest.raises(ModelError, match=told):
        replace(CARD, **changes)


def test_weights_of_other_classes_than_the_cards_are_refused(tmp_path, network):
    save_weights(tmp_path / "one.safetensors", network, replace(CARD, classes=(WHITE_CELL,)))
    with pytest.raises(ModelError, match="do not fit the network that its card describes"):
        build_detector(tmp_path / "one.safetensors")
    save_weights(tmp_path / "wide.safetensors", network, replace(CARD, settings={"width": 40}))
    with pytest.raises(ModelError, match=r"not those of cell_detector.*multiple of 32"):
        build_detector(tmp_path / "wide.safetensors")


def test_a_file_that_is_no_detector_is_refused(tmp_path, weight_file):
    with pytest.raises(ModelError, match="no detector"):
        CellDetector.load(tmp_path / "absent.safetensors")
    with pytest.raises(ModelError, match="holds a cell classifier, and a cell detector is needed here"):
        CellDetector.load(weight_file)


def painted(left, top, side, size, colour=(200, 10, 10)):
    image = np.full((*size, 3), 230, np.uint8)
    image[top : top + side, left : left + side] = colour
    return image


@pytest.mark.parametrize("times", [1, 2])
def test_boxes_are_in_the_images_own_pixels_whatever_its_scale(times):
    image = painted(40 * times, 24 * times, 32 * times, (100 * times, 132 * times))
    found = detector(DarkSquares()).find(image, FieldScale(26.0 * times))
    last = (np.array([72, 56]) * times - 1).tolist()
    assert found.edges.tolist() == [[40 * times, 24 * times, *last]]
    assert found.radius_px == pytest.approx([16 * times])
    assert found.x[0] == (40 * times + last[0]) / 2
    assert found.probabilities[0] == pytest.approx(torch.tensor([2.0, 0.0]).softmax(0).numpy())


def test_the_cards_temperature_makes_the_classes_less_sure():
    image = painted(20, 20, 32, (80, 80), (10, 10, 200))
    found = detector(DarkSquares(), temperature=4.0).find(image, FieldScale(26.0))
    assert found.probabilities[0] == pytest.approx(torch.tensor([0.0, 0.5]).softmax(0).numpy())


def test_a_slide_of_unknown_scale_without_cells_holds_none():
    blind = CellDetector.of(DarkSquares(), CARD, "", Told(FieldScale(None)), CPU)
    assert len(blind.find(painted(20, 20, 32, (80, 80)), FieldScale(None))) == 0
    assert len(find_cells(ArraySlide(painted(20, 20, 32, (80, 80))), blind)) == 0


def test_the_windows_that_find_cells_take_detectors_too():
    slide = ArraySlide(painted(140, 90, 80, (300, 400)), mpp=7.5 / 26 / 2)
    (cell,) = find_cells(slide, detector(DarkSquares())).xy.tolist()
    assert cell == pytest.approx([179.5, 129.5], abs=1)
