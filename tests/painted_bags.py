"""Painted patients as stores: slides of cells, of which a few blasts make a patient a leukemic one."""

from functools import cache

import cv2
import numpy as np

from tests.painted_sets import painted_cells
from wsi_patches.workflows.extract import ExtractSettings, extract

SIDE_PX = 48
ROWS, COLUMNS = 3, 4
"""Of cells on a slide; each is a patch."""


@cache
def cells_of(seed, count=80):
    """Return painted blasts and other cells, each as it is, turned and mirrored: uint8 RGB ``(n, s, s, 3)`` twice."""
    images, truth = painted_cells(count, SIDE_PX, seed)
    turned = [np.rot90(images[..., ::flip, :], turns, (1, 2)) for flip in (1, -1) for turns in range(4)]
    return tuple(np.concatenate([one[truth == index] for one in turned]) for index in (0, 1))


def write_bags(folder, patients=24, *, slides=1, keys=2, seed=5, shuffled=False):
    """Write slides of patients, their store and their labels; return paths of store and labels.

    The store is ``bags.zarr``, the labels ``labels.csv``. Of a leukemic patient's slide ``keys`` cells are blasts, of a
    control's none; ``shuffled`` deals the same labels out by chance.
    """
    (blasts, others), rng = cells_of(seed), np.random.default_rng(seed)
    labels = np.arange(patients) % 2
    (folder / "slides").mkdir(parents=True)
    for patient in range(patients):
        for slide in range(slides):
            cells = others[rng.choice(len(others), ROWS * COLUMNS, replace=False)].copy()
            if labels[patient]:
                cells[rng.choice(len(cells), keys, replace=False)] = blasts[rng.choice(len(blasts), keys)]
            grid = cells.reshape(ROWS, COLUMNS, SIDE_PX, SIDE_PX, 3).swapaxes(1, 2)
            picture = grid.reshape(ROWS * SIDE_PX, COLUMNS * SIDE_PX, 3)
            assert cv2.imwrite(str(folder / "slides" / f"P{patient:02d}_{slide}.png"), picture[..., ::-1])
    said = rng.permutation(labels) if shuffled else labels
    rows = "".join(f"P{one:02d},{('control', 'leukemic')[label]}\n" for one, label in enumerate(said))
    (folder / "labels.csv").write_text(f"patient,label\n{rows}", encoding="utf-8")
    whose = "^(?P<patient>P[0-9]+)"
    asked = ExtractSettings((folder / "slides",), folder / "bags.zarr", patch_size=SIDE_PX, group_pattern=whose)
    extract(asked)
    return folder / "bags.zarr", folder / "labels.csv"
