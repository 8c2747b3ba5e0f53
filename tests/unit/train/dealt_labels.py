"""What a network of fields learns, beside what it learns of the same labels dealt by chance."""

from sklearn.metrics import roc_auc_score

from wsi_patches.datasets import find_inputs
from wsi_patches.train.fields import train_fields


def learnt_and_dealt(settings, write, folder):
    """Train on a data set and on its control; return the area under the ROC curve of both tests.

    ``write(data, shuffled=...)`` writes the data. What was trained lies in ``folder/False/out`` and
    ``folder/True/out``.
    """
    figures = []
    for shuffled in (False, True):
        below = folder / str(shuffled)
        items = find_inputs([write(below / "data", shuffled=shuffled)]).items
        test = train_fields(settings, items, below / "out").test
        figures.append(roc_auc_score(test.truth, test.probabilities[:, 1]))
    return figures
