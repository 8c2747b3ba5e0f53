"""The trained finder as a weight file with its card, for the package.

    python benchmarks/finder_ship.py OUT [--weights FILE]

OUT is the folder of ``finder_folds.py``: its run ``all`` gives the weights, its ``scores.json`` the figures, its
``reliability.json`` what the intervals of counts need to know. Prints the hash that ``wsi_patches/models/table.py``
must state.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

from safetensors.torch import load_file

import wsi_patches
from wsi_patches.models import FinderCard, save_weights
from wsi_patches.models.cell_finder import LearnedCellFinder
from wsi_patches.models.finder_network import FINDER_CLASSES, RED_CELL_PX, CellFinderNet
from wsi_patches.models.table import DEFAULT_FINDER

TRAINED_ON = (
    "Fields of stained blood smears with boxes round every white cell: 120 of BCCD (github.com/Shenggan/BCCD_Dataset, "
    "MIT), 15 of WBC_Dataset (github.com/singgihbekti/WBC_Dataset, Chulalongkorn University, MIT), 40 of TXL-PBC "
    "(github.com/lugan113/TXL-PBC_Dataset, MIT) that come from the PBC set of Hospital Clinic de Barcelona (Acevedo et "
    "al., Data in Brief 2020, DOI 10.1016/j.dib.2020.105474, CC BY 4.0), and painted smears. The backbone began from "
    "ImageNet weights (lukemelas/EfficientNet-PyTorch's lite0 port, Apache-2.0)."
)
SPLIT = (
    "These weights are trained on all the fields but eleven, by which the epoch was chosen; so their scores are those "
    "of the same training without a fifth of the slides of each set at a time (f1, count_mae), and without the whole "
    "set (left_out). Raabin's fields (TXL-PBC) were never trained on."
)
LIMITS = (
    "finds white cells on Romanowsky-stained smears, blasts or not; smudge cells are not counted; it was not measured "
    "on bone marrow, on thick films or on other stains; for research use, never a diagnosis"
)


def main() -> None:
    """Write the file and print its hash."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="folder of finder_folds.py")
    parser.add_argument("--weights", type=Path, help="weights to take instead of OUT/all/weights.safetensors")
    options = parser.parse_args()
    scores = options.out / "scores.json"
    reliability = json.loads((options.out / "reliability.json").read_text(encoding="utf-8"))
    network = CellFinderNet()
    network.load_state_dict(load_file(options.weights or options.out / "all" / "weights.safetensors"))
    card = FinderCard(
        name=DEFAULT_FINDER,
        title="White cells, red cells and platelets on stained smears, at any scale",
        architecture="cell_finder",
        settings={},
        classes=FINDER_CLASSES,
        red_cell_px=RED_CELL_PX,
        threshold=LearnedCellFinder.threshold,
        trained_on=TRAINED_ON,
        split=SPLIT,
        recall=tuple(reliability["recall"]),
        precision=tuple(map(tuple, reliability["precision"])),
        limits=LIMITS,
        licence="Apache-2.0, with the attributions of trained_on",
        paper="Zhou, Wang, Kraehenbuehl, Objects as points, 2019; Tan and Le, EfficientNet-Lite, ICML 2019",
        changes="Stride 4 by a light top-down path; one radius a place; scale by the red cells",
        scores=json.loads(scores.read_text(encoding="utf-8")) if scores.is_file() else {},
    )
    path = Path(wsi_patches.__file__).parent / "models" / "weights" / "white_cells.safetensors"
    save_weights(path, network, card)
    print(path.name, path.stat().st_size, "bytes, sha256", hashlib.sha256(path.read_bytes()).hexdigest())


if __name__ == "__main__":
    main()
