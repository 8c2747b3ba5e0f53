"""`train` with `task: counts`, by the command: a counter with intervals, measured, that counts alike on any grid."""

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import yaml
from click.testing import CliRunner

from tests.unit.train.small_fields import painted_fields
from wsi_patches.cells import ALL_IDB_CLASSES, WHITE_CELL
from wsi_patches.cli.main import main
from wsi_patches.geometry import Size
from wsi_patches.infer.patches import count_patches
from wsi_patches.models.cell_finder import RED_CELL_UM
from wsi_patches.models.counter import CellCounter
from wsi_patches.slides import ArraySlide
from wsi_patches.synthetic import SmearSettings, paint_smear, write_all_idb1
from wsi_patches.synthetic.red_cells import RED_DIAMETER
from wsi_patches.workflows import train_counter

DIAMETER_PX = 36.0
MPP = RED_CELL_UM / (DIAMETER_PX * RED_DIAMETER)
RECIPE = {
    "command": "train",
    "task": "counts",
    "name": "small",
    "slide_mpp": MPP,
    "shares": {"train": 0.5, "validation": 0.25, "test": 0.25},
    "crop_px": 128,
    "batch_size": 6,
    "look": {"hue": 2.0, "coarse": 0.0, "blur_px": 0.6},
    "training": {"epochs": 3, "steps_per_epoch": 8, "learning_rate": 0.003, "ema_decay": 0.8, "device": "cpu"},
}

pytestmark = pytest.mark.usefixtures("one_thread")


def run(*arguments):
    return CliRunner().invoke(main, [str(one) for one in arguments])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Sixteen painted fields and a recipe."""
    folder = tmp_path_factory.mktemp("counts")
    write_all_idb1(folder / "ALL_IDB1", painted_fields(16))
    (folder / "mine.yaml").write_text(yaml.safe_dump(RECIPE))
    return folder


@pytest.fixture(scope="module")
def trained(folder):
    """What the command printed, and the folder that it wrote."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(train_counter, "DRAWS", 20)
        done = run("train", folder / "mine.yaml", "--data", folder / "ALL_IDB1", "-o", folder / "out")
    assert done.exit_code == 0, done.output
    return done.output, folder / "out"


def test_all_is_written_and_told(trained):
    output, out = trained
    for name in ("weights.safetensors", "card.json", "split.csv", "history.csv", "training.html"):
        assert (out / name).is_file()
    for name in ("blasts", "white_cells"):
        assert "small on its test split" in (out / "test" / name / "evaluation.html").read_text()
    for line in ("BLASTS", "WHITE CELLS", "true count within the interval", "weights.safetensors", "16 of 16 rows"):
        assert line in output


def test_the_card_has_intervals_from_validation_and_scores_from_the_test_split(trained):
    counter = CellCounter.load(trained[1] / "weights.safetensors", "cpu")
    card = counter.card
    assert json.loads((trained[1] / "card.json").read_text()) == card.to_dict()
    assert set(card.calibration) == {*ALL_IDB_CLASSES, WHITE_CELL}
    assert {one.groups for one in card.calibration.values()} == {4}
    assert card.calibration[WHITE_CELL].factor == 1
    assert {
        "test_blasts_count_mae",
        "test_blasts_interval_coverage",
        "test_white_cells_count_mae",
    } <= card.scores.keys()
    assert card.scores["test_slides"] == 4
    assert card.scores["test_white_cells_count_mae"] < 5  # of ten on each


def test_a_field_that_is_unlike_the_training_makes_a_trained_counter_abstain(trained):
    counter = CellCounter.load(trained[1] / "weights.safetensors", "cpu")
    assert counter.card.reference.slides == 12  # of training and validation
    assert counter.card.reference.mpp == pytest.approx((MPP, MPP))
    (field,) = painted_fields(1, seed=500)
    shifted = replace(field.settings, blur_px=field.settings.blur_px + 3.0)
    usual, blurred = (
        count_patches(ArraySlide(paint_smear(field.size, one)[0], mpp=MPP), "field", counter)[0]
        for one in (field.settings, shifted)
    )
    assert 0 < usual.unlike_training <= 1
    assert blurred.abstains
    assert any("What it says of cells here" in warning for warning in blurred.warnings)
    assert not any("unlike those" in warning for warning in usual.warnings)


def test_a_trained_counter_counts_alike_at_any_overlap(trained):
    counter = CellCounter.load(trained[1] / "weights.safetensors", "cpu")
    smear = SmearSettings.random(91, cell_diameter_px=DIAMETER_PX, blasts=9, others=11, touching=0.0)
    slide = ArraySlide(paint_smear(Size(760, 640), smear)[0], mpp=MPP)
    reports = [count_patches(slide, "smear", counter, overlap)[0] for overlap in (0.0, 0.25, 0.5)]
    for name in ("blasts", "white_cells", "blast_fraction"):
        intervals = [getattr(report, name) for report in reports]
        assert len({interval.value for interval in intervals}) == 3  # other patches, and so not to the last digit
        for one, other in pairwise((*intervals, intervals[0])):
            assert one.low <= other.value <= one.high
    assert np.diff([report.patches for report in reports]).min() > 0
    assert np.ptp([report.white_cells.value for report in reports]) < 1
    assert np.ptp([report.blasts.value for report in reports]) < 1
    assert reports[0].white_cells.value == pytest.approx(20, abs=7)


def test_it_goes_on_and_is_not_begun_twice(trained, folder):
    asked = ("train", folder / "mine.yaml", "--data", folder / "ALL_IDB1", "-o", trained[1])
    before = (trained[1] / "weights.safetensors").read_bytes()
    again = run(*asked)
    assert again.exit_code == 2
    assert "holds a training" in again.output or "--resume" in again.output
    resumed = run(*asked, "--resume", "-q")
    assert resumed.exit_code == 0, resumed.output
    assert (trained[1] / "weights.safetensors").read_bytes() == before
    other = run(*asked, "--resume", "--seed", 3)
    assert other.exit_code == 2
    assert "other settings" in other.output


def test_a_counters_settings_are_not_searched(folder):
    done = run("train", folder / "mine.yaml", "--data", folder / "ALL_IDB1", "-o", folder / "no", "--tune", 2)
    assert done.exit_code == 2
    assert "leave --tune out" in done.output
    assert not (folder / "no").exists()
