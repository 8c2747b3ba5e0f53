"""The table as papers print it, held against scikit-learn's, and against one that was published."""

import numpy as np
import pytest
from sklearn import metrics as sk

from tests.unit.evaluate.small_results import made
from wsi_patches.evaluate.classification import measure_classes
from wsi_patches.evaluate.predictions import Predictions
from wsi_patches.evaluate.report_table import report_rows
from wsi_patches.evaluate.tables import align


def of_counts(confusion, names):
    """Return what a classifier said, from how many patches have each truth (row) and prediction (column)."""
    truth, said = (np.repeat(column.ravel(), np.ravel(confusion)) for column in np.indices(np.shape(confusion)))
    rows = np.arange(len(truth)).astype(str)
    probabilities = np.where(np.eye(len(names))[said] > 0, 0.9, 0.1 / (len(names) - 1)).astype(np.float32)
    return measure_classes(Predictions(names, rows, rows, truth.astype(np.int32), probabilities), draws=2)


def test_it_is_scikit_learns_report(rng):
    p = made(rng, strength=0.2)
    ours = {row[0]: row[1:] for row in report_rows(measure_classes(p, draws=2))[1:]}
    theirs = sk.classification_report(p.truth, p.predicted, target_names=p.class_names, output_dict=True)
    assert ours.pop("accuracy") == ["", "", f"{theirs.pop('accuracy'):.2f}", str(len(p))]
    for name, figures in theirs.items():
        expected = [f"{figures[one]:.2f}" for one in ("precision", "recall", "f1-score")]
        assert ours[name.replace("avg", "average")] == [*expected, str(int(figures["support"]))]


def test_a_published_table_comes_out_as_it_was_printed():
    # CBFB_MYH11 of "Classification of Human Leukemias": counts of 800 + 800 images that round to all its figures.
    rows = report_rows(of_counts([[747, 53], [200, 600]], ("control", "CBFB_MYH11")))
    assert rows == [
        ["", "precision", "recall", "F1", "support"],
        ["control", "0.79", "0.93", "0.86", "800"],
        ["CBFB_MYH11", "0.92", "0.75", "0.83", "800"],
        ["accuracy", "", "", "0.84", "1600"],
        ["macro average", "0.85", "0.84", "0.84", "1600"],
        ["weighted average", "0.85", "0.84", "0.84", "1600"],
    ]
    assert align(rows)[1] == "control           0.79       0.93    0.86  800"


@pytest.mark.filterwarnings("ignore:.*predicted|.*ill-defined")
def test_a_class_that_is_never_predicted_counts_as_0_here():
    rows = {row[0]: row[1:] for row in report_rows(of_counts([[4, 0], [4, 0]], ("a", "b")))}
    assert rows["b"] == ["0.00", "0.00", "0.00", "4"]
    assert rows["macro average"] == ["0.25", "0.50", "0.33", "8"]
