"""`effect --step cell-mask`: what lies beside the cells is taken away from one arm, and black pictures are counted."""

import json

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from tests.painted_discs import write_discs
from wsi_patches.cli.main import main
from wsi_patches.errors import UsageError
from wsi_patches.workflows.effect import measure_step
from wsi_patches.workflows.effect_settings import EffectSettings

SMALL = {"patch_px": 48, "input_px": 64, "repetitions": 2, "draws": 40, "device": "cpu", "by": "slide"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Cells whose class a red cell in the corner tells, and one picture of glass."""
    path = write_discs(tmp_path_factory.mktemp("discs") / "set", 40, "corner")
    cv2.imwrite(str(path / "other" / "glass.png"), np.full((48, 48, 3), 232, np.uint8))
    return path


def test_the_paired_difference_says_that_the_corner_told_the_class(folder, tmp_path):
    done = measure_step(EffectSettings(folder, tmp_path / "out", step="cell-mask", **SMALL))
    accuracy = {one.name: one for one in done.figures}["accuracy"]
    assert accuracy.means[0] > 0.9
    assert accuracy.difference.high < -0.1
    assert done.changed == 41
    assert (
        "With the step: in 1 of 41 patches no nucleus stands out (otsu): they are black all over, and classified so."
        in done.warnings
    )
    page = done.page.read_text(encoding="utf-8")
    assert "What showing the cell alone (otsu) does for lite0" in page
    assert "black outside of the cell, found by otsu" in page


def test_the_command_takes_the_method(folder, tmp_path):
    (tmp_path / "small.yaml").write_text(
        "command: effect\n" + "\n".join(f"{name}: {value}" for name, value in SMALL.items())
    )
    words = ["effect", str(folder), "-o", str(tmp_path / "out"), "--step", "nucleus-mask", "--mask-by", "hue"]
    done = CliRunner().invoke(main, [*words, "--recipe", str(tmp_path / "small.yaml"), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["changed"] == 41


def test_two_steps_at_once_are_refused(folder, tmp_path):
    with pytest.raises(UsageError, match="--sharpen and --step cell-mask are two steps"):
        EffectSettings(folder, tmp_path / "out", 7.1, step="cell-mask")
    with pytest.raises(
        UsageError, match="--mask-by hue goes with --step cell-mask or nucleus-mask, not with sharpened"
    ):
        EffectSettings(folder, tmp_path / "out", mask_by="hue")
