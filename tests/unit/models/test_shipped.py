"""The models that come with the package are whole, and do what their cards say."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from wsi_patches.models import MODELS, CellClassifier
from wsi_patches.synthetic import paint_cell_patches


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_shipped_file_is_the_one_in_the_table(name):
    classifier = CellClassifier.load(name, "cpu")

    assert classifier.card.name == name
    assert classifier.sha256 == MODELS[name].sha256
    assert MODELS[name].path.stat().st_size < 1_000_000


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
