"""The card of a small counter."""

from wsi_patches.cells import ALL_IDB_CLASSES, WHITE_CELL
from wsi_patches.models.card import CounterCard
from wsi_patches.models.count_calibration import CountCalibration
from wsi_patches.models.finder_network import RED_CELL_PX

CARD = CounterCard(
    name="tiny",
    title="A test's counter",
    architecture="cell_counter",
    settings={"width": 8},
    classes=ALL_IDB_CLASSES,
    trained_on="nothing",
    limits="knows nothing",
    licence="Apache-2.0",
    red_cell_px=RED_CELL_PX,
    split="none",
    calibration={name: CountCalibration(factor=1.1, linear=0.4, quadratic=0.1, groups=7)
                 for name in (*ALL_IDB_CLASSES, WHITE_CELL)},
)  # fmt: skip
