"""Boxes of cells: by a finder's circles, or by a detector that tells their class."""

from dataclasses import dataclass

import cv2
import numpy as np
import pytest

import wsi_patches.counting.windows as windows
from wsi_patches.annotations import BOX_COLUMNS, boxes_of
from wsi_patches.cells import ALL_IDB_CLASSES, WHITE_CELL
from wsi_patches.errors import ModelError
from wsi_patches.imaging import WhiteCellFinder
from wsi_patches.infer.classify import FINDER_SCORE
from wsi_patches.infer.detect import detect_cells, load_detector
from wsi_patches.models import MODELS
from wsi_patches.models.found_boxes import FoundBoxes
from wsi_patches.slides import ArraySlide

BLAST, OTHER = (120, 40, 160), (40, 140, 60)
CELLS = [(60, 50, 14, 10), (149, 150, 12, 12), (151, 177, 9, 15), (250, 148, 11, 11)]
"""Middle, and half of width and height; one lies where windows of 150 px meet, another beside it."""


@dataclass(frozen=True)
class Scale:
    cell_diameter_px: float

    def scaled(self, downsample):
        return Scale(self.cell_diameter_px / downsample)


@dataclass(frozen=True)
class ColourDetector:
    """Boxes coloured rectangles, and tells their class by the colour; surer of blasts in windows that begin at 0."""

    class_names: tuple[str, ...] = ALL_IDB_CLASSES
    working_mpp: float = 0.5

    def calibrate(self, samples, mpp=None):
        return Scale(28.0)

    def find(self, image, calibration):
        edges, chances = [], []
        for kind, colour in enumerate((BLAST, OTHER)):
            dark = (np.abs(image.astype(int) - colour).max(axis=2) < 30).astype(np.uint8)
            _, _, stats, _ = cv2.connectedComponentsWithStats(dark, connectivity=4)
            for left, top, width, height, _ in stats[1:]:
                edges.append((left, top, left + width - 1, top + height - 1))
                chances.append((0.9, 0.1) if kind == 0 else (0.2, 0.8))
        chances = np.array(chances).reshape(-1, 2)[:, : len(self.class_names)]
        score = np.full(len(edges), 0.7, np.float32)
        return FoundBoxes(np.array(edges, np.float64).reshape(-1, 4), score, chances)


@pytest.fixture
def field():
    image = np.full((220, 300, 3), 235, np.uint8)
    for number, (x, y, half_x, half_y) in enumerate(CELLS):
        image[y - half_y : y + half_y + 1, x - half_x : x + half_x + 1] = BLAST if number % 2 == 0 else OTHER
    return ArraySlide(image)


def test_boxes_classes_and_probabilities_come_from_the_detector(field, monkeypatch):
    monkeypatch.setattr(windows, "READ_PX", 150)
    seen = []
    cells, blast = detect_cells(field, ColourDetector(), lambda done, total: seen.append((done, total)))
    assert seen[-1] == (4, 4)
    order = np.lexsort((cells.x, cells.y))
    cells, blast = cells.take(order), blast[order]
    assert cells.class_names == ALL_IDB_CLASSES
    expected = sorted(CELLS, key=lambda cell: (cell[1], cell[0]))
    assert boxes_of(cells).tolist() == [[x - a, y - b, x + a, y + b] for x, y, a, b in expected]
    assert cells.xy.tolist() == [[x, y] for x, y, _, _ in expected]
    blasts = np.array([CELLS.index(cell) % 2 == 0 for cell in expected])
    assert (cells.class_index == ~blasts).all()
    assert blast == pytest.approx(np.where(blasts, 0.9, 0.2))
    assert cells.score == pytest.approx(np.where(blasts, 0.9, 0.8))
    assert cells.attributes[FINDER_SCORE] == pytest.approx(np.full(4, 0.7))
    assert cells.attributes["radius_px"] == pytest.approx(
        [np.sqrt((2 * a + 1) * (2 * b + 1)) / 2 for *_, a, b in expected]
    )
    assert blast.sum() == pytest.approx(2.2)


def test_without_classes_nothing_is_said_of_blasts(field):
    cells, blast = detect_cells(field, ColourDetector(class_names=(WHITE_CELL,)))
    assert blast is None
    assert cells.class_names == (WHITE_CELL,)
    assert len(cells) == len(CELLS)
    assert cells.score == pytest.approx(np.full(4, 0.7))


def test_glass_gives_no_cells_but_their_columns():
    cells, blast = detect_cells(ArraySlide(np.full((100, 120, 3), 240, np.uint8)), ColourDetector())
    assert (len(cells), blast.shape) == (0, (0,))
    assert set(BOX_COLUMNS) <= set(cells.attributes)


def test_a_finders_circles_get_square_boxes(field):
    cells, blast = detect_cells(field, WhiteCellFinder(cell_diameter_px=28.0))
    assert blast is None
    assert cells.class_names == (WHITE_CELL,)
    left, top, right, bottom = boxes_of(cells).T
    assert len(cells) >= 2
    assert (left + right) / 2 == pytest.approx(cells.x)
    assert right - left + 1 == pytest.approx(2 * cells.attributes["radius_px"])
    assert bottom - top == pytest.approx(right - left)


def test_what_detects_is_chosen_by_name_or_file(tmp_path):
    chosen = load_detector("classical")
    assert (chosen.name, chosen.sha256, chosen.card) == ("classical", "", None)
    shipped = load_detector("white-cells", "cpu", "fp32")
    assert shipped.sha256 == shipped.detector.sha256
    by_file = load_detector(str(MODELS["white-cells"].path), "cpu", "fp32")
    assert (by_file.sha256, by_file.card) == (shipped.sha256, None)
    with pytest.raises(ModelError, match="no detector"):
        load_detector(str(tmp_path / "absent.safetensors"))
