"""The models that come with the package are whole, and do what their cards say."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from wsi_patches.counting import assign_points_to_points, find_cells
from wsi_patches.geometry import Size
from wsi_patches.models import MODELS, CellClassifier, LearnedCellFinder
from wsi_patches.models.weights import build_finder, build_model
from wsi_patches.slides import ArraySlide
from wsi_patches.synthetic import SmearSettings, paint_cell_patches, paint_smear


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_shipped_file_is_the_one_in_the_table(name):
    build = build_finder if MODELS[name].kind == "finder" else build_model
    _, card, sha256 = build(MODELS[name].path)

    assert card.name == name
    assert sha256 == MODELS[name].sha256


def test_all_weights_together_are_small():
    assert sum(model.path.stat().st_size for model in MODELS.values()) <= 6_000_000


def test_the_finder_finds_painted_white_cells():
    image, truth = paint_smear(Size(640, 640), SmearSettings.random(31, cell_diameter_px=44.0, blasts=5, others=5))

    cells = find_cells(ArraySlide(image), LearnedCellFinder.load(device="cpu", precision="fp32"))

    radius = truth.attributes["radius_px"]
    right = assign_points_to_points(cells.xy, cells.score, truth.xy, radius) >= 0
    assert right.sum() >= len(truth) - 1
    assert (~right).sum() <= 1


def test_the_demo_model_knows_painted_cells_and_says_so():
    classifier = CellClassifier.load("painted-cells-lbp", "cpu")
    card = classifier.card

    images, class_index = paint_cell_patches(300, 90210, card.input_px, card.patch_cell_diameters)
    probabilities = classifier.probabilities(images)

    assert roc_auc_score(class_index == 0, probabilities[:, 0]) >= 0.9
    assert balanced_accuracy_score(class_index, probabilities.argmax(1)) >= 0.85
    assert np.isfinite(probabilities).all()
    assert "only painted cells" in card.limits
    assert "only painted cells" in MODELS[card.name].description
