"""Figures of many labels at once, against scikit-learn's."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, hamming_loss, jaccard_score

from wsi_patches.errors import UsageError
from wsi_patches.evaluate.labels import LabelPredictions, measure_labels
from wsi_patches.evaluate.page import render_evaluation
from wsi_patches.evaluate.tables import format_metrics, write_label_predictions, write_per_class

NAMES = ("E", "C", "A", "N.G.R")


@pytest.fixture
def said(rng):
    """Sixty images of twelve slides; nothing bears the last label."""
    true = (rng.random((60, 4)) < (0.6, 0.4, 0.2, 0)).astype(np.uint8)
    probabilities = (0.6 * rng.random((60, 4)) + 0.4 * true).astype(np.float32)
    ids, groups = np.array([f"image{i}" for i in range(60)]), np.array([f"{i % 12:03d}" for i in range(60)])
    return LabelPredictions(NAMES, ids, groups, true, probabilities)


def test_figures_are_those_of_scikit_learn(said):
    result = measure_labels(said, draws=20)
    predicted = said.probabilities > 0.5

    assert result.metrics["one_minus_hamming"].value == pytest.approx(1 - hamming_loss(said.true, predicted))
    assert result.metrics["jaccard"].value == pytest.approx(
        jaccard_score(said.true, predicted, average="samples", zero_division=1.0)
    )
    three = said.true[:, :3], predicted[:, :3]
    assert result.metrics["macro_f1"].value == pytest.approx(f1_score(*three, average="macro"))
    assert result.metrics["macro_average_precision"].value == pytest.approx(
        average_precision_score(said.true[:, :3], said.probabilities[:, :3])
    )
    assert [one.support for one in result.classes] == said.true.sum(axis=0).tolist()


def test_slides_are_drawn_and_labels_that_nothing_bears_are_told(said):
    result = measure_labels(said, draws=200)

    assert str(result.sampling) == "n = 60 images of 12 slides"
    for metric in result.metrics.values():
        assert metric.interval.low < metric.value < metric.interval.high
    assert np.isnan(result.classes[3].metrics["recall"].value)
    assert "No image bears N.G.R: left out of means over labels." in result.warnings


def test_tables_and_page_have_each_label(said, tmp_path):
    result = measure_labels(said, draws=10)
    write_per_class(tmp_path / "per_label.csv", result)
    write_label_predictions(tmp_path / "predictions.csv", result)
    page = render_evaluation("Tissue", result)

    assert (tmp_path / "per_label.csv").read_text().splitlines()[4].startswith("N.G.R,0,")
    lines = (tmp_path / "predictions.csv").read_text().splitlines()
    assert lines[0] == "id,group,E,E_probability,C,C_probability,A,A_probability,N.G.R,N.G.R_probability"
    assert lines[1].split(",")[:3] == ["image0", "000", str(said.true[0, 0])]
    assert "Each label" in page
    assert "1 - Hamming loss" in page
    assert any(line.startswith("N.G.R") for line in format_metrics(result))


def test_columns_of_different_lengths_are_refused(said):
    with pytest.raises(UsageError, match="60 images with 3 labels are measured"):
        LabelPredictions(NAMES[:3], said.ids, said.groups, said.true, said.probabilities)
