"""What a classifier and a detector might say, small enough to be checked by hand."""

import numpy as np

from wsi_patches.evaluate.detection import FieldDetections
from wsi_patches.evaluate.predictions import Predictions


def made(rng, n=120, classes=3, groups=12, strength=0.6):
    truth = rng.integers(0, classes, n).astype(np.int32)
    p = rng.dirichlet(np.ones(classes), n)
    p[np.arange(n), truth] += strength
    p /= p.sum(axis=1, keepdims=True)
    names = tuple("abcdefgh"[:classes])
    ids = np.array([f"i{k}" for k in range(n)])
    return Predictions(names, ids, np.array([f"g{k % groups}" for k in range(n)]), truth, p.astype(np.float32))


def field(name, scores, assigned, truth, group=None):
    return FieldDetections(
        name, group or name, np.zeros((len(scores), 2)), np.array(scores, float), np.array(assigned, np.int64),
        np.zeros((truth, 4)),
    )  # fmt: skip


# Two fields, five annotated cells: found by falling score are right, wrong, right, right, wrong.
FIELDS = [field("a", [0.9, 0.8, 0.5], [0, -1, 1], 3), field("b", [0.7, 0.3], [1, -1], 2)]
