"""Cells are classified as their patches are."""

from dataclasses import replace

import numpy as np
import pytest

from wsi_patches.cells import WHITE_CELL, Cells
from wsi_patches.counting.centred import centred_patch, patch_side
from wsi_patches.errors import ModelError, SlideError
from wsi_patches.infer.classify import CellPatches, classify_cells, load_classifier
from wsi_patches.models import CellClassifier
from wsi_patches.models.weights import save_weights
from wsi_patches.slides import ArraySlide

MODEL = "painted-cells-lbp"
DIAMETER_PX = 30.0


@pytest.fixture
def slide(rng):
    return ArraySlide(rng.integers(0, 256, (300, 400, 3), dtype=np.uint8))


@pytest.fixture
def cells(rng):
    xy = rng.uniform((0, 0), (400, 300), (45, 2))
    return Cells.at(xy, (WHITE_CELL,), score=np.full(45, 0.7, np.float32))


def test_cells_are_classified_as_their_patches_are(slide, cells):
    classifier, told = load_classifier(MODEL, "cpu"), []
    side, px = patch_side(slide, classifier.card, DIAMETER_PX), classifier.card.input_px

    found, blast = classify_cells(slide, cells, classifier, DIAMETER_PX, lambda *done: told.append(done))

    patches = np.stack([centred_patch(slide, x, y, side, px) for x, y in cells.xy])
    expected = CellClassifier.load(MODEL, "cpu").probabilities(patches)[:, 0]
    np.testing.assert_allclose(blast, expected, atol=1e-6)
    assert found.count("blast") == np.count_nonzero(blast >= 0.5)
    np.testing.assert_allclose(found.score, np.maximum(blast, 1 - blast), atol=1e-6)
    np.testing.assert_allclose(found.attributes["finder_score"], 0.7)
    assert told[-1] == (45, 45)


def test_no_cell_is_no_patch(slide, cells):
    none = cells.take(np.zeros(45, bool))

    found, blast = classify_cells(slide, none, load_classifier(MODEL, "cpu"), DIAMETER_PX)

    assert len(found) == len(blast) == 0


def test_a_slide_that_cannot_be_read_says_so(cells):
    class Vanished(ArraySlide):
        def _read_level(self, box_px, level):
            msg = "slide.tif is gone"
            raise SlideError(msg)

    slide = Vanished(np.zeros((300, 400, 3), np.uint8))
    with pytest.raises(SlideError, match=r"slide\.tif is gone"):
        classify_cells(slide, cells, load_classifier(MODEL, "cpu"), DIAMETER_PX)


def test_patches_of_cells_are_read_at_any_positions(slide, cells):
    source = CellPatches(slide, cells, 40.0, 32)

    patches = source.read([7, 3])

    assert len(source) == 45
    for patch, row in zip(patches, (7, 3), strict=True):
        assert np.array_equal(patch, centred_patch(slide, cells.x[row], cells.y[row], 40.0, 32))


def test_a_model_of_other_classes_is_refused(tmp_path):
    shipped = CellClassifier.load(MODEL, "cpu")
    save_weights(tmp_path / "m.safetensors", shipped.network, replace(shipped.card, classes=("cat", "dog")))

    with pytest.raises(ModelError, match="tells cat, dog; counting blasts needs one that tells blast, other"):
        load_classifier(str(tmp_path / "m.safetensors"), "cpu")
