"""A calibration of patches that a classifier tells: learnt by `evaluate` from marked fields, taken by `infer`."""

import csv
import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from tests.unit.train.small_fields import painted_fields
from wsi_patches.cells import Cells
from wsi_patches.cli.main import main
from wsi_patches.datasets import SlideItem
from wsi_patches.errors import UsageError
from wsi_patches.infer.presence import read_presence_calibration
from wsi_patches.models.count_calibration import CountCalibration
from wsi_patches.outcome import DONE, PARTIAL, SlideReport
from wsi_patches.synthetic import paint_smear
from wsi_patches.workflows.calibrate_presence import calibrated
from wsi_patches.workflows.counted import Counted, CountedSlide

BLASTS = (0, 1, 2, 3, 5, 7, 9, 4, 6, 8)
CALIBRATED_ON = 7
MPP = 12 / 36
"""At which the painted cells, 36 px wide, are 12 um wide."""


def run(*arguments):
    return CliRunner().invoke(main, [str(one) for one in arguments])


def done(*arguments):
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result.output


def rows(path):
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Fields with different numbers of blasts, and marks on each."""
    folder = tmp_path_factory.mktemp("presence")
    for name in ("marked", "new", "marks"):
        (folder / name).mkdir()
    for number, (field, blasts) in enumerate(zip(painted_fields(len(BLASTS)), BLASTS, strict=True)):
        image, truth = paint_smear(field.size, replace(field.settings, blasts=blasts, others=10 - blasts))
        name = f"field{number}"
        cv2.imwrite(str(folder / ("marked" if number < CALIBRATED_ON else "new") / f"{name}.png"), image[..., ::-1])
        (folder / "marks" / f"{name}.geojson").write_text(json.dumps(truth.to_geojson()))
    return folder


def count(folder, what, out, *more):
    return done(
        "infer", folder / what, "-o", folder / out, "--method", "patches", "--model", "painted-cells-lbp",
        "--slide-mpp", MPP, "--overlap", 0.25, "--workers", 1, *more,
    )  # fmt: skip


def learn(folder, page, *more):
    marks = ("--annotations", folder / "marks", "--draws", 20)
    return run(
        "evaluate", folder / "counts", *marks, "-o", folder / page, "--write-calibration", folder / "grid.json", *more
    )


@pytest.fixture(scope="module")
def learnt(folder):
    """What `evaluate` printed; the calibration is beside the slides."""
    count(folder, "marked", "counts")
    result = learn(folder, "page")
    assert result.exit_code == 0, result.output
    return result.output


def test_what_is_learnt_counts_new_fields(folder, learnt):
    calibration = read_presence_calibration(folder / "grid.json")
    positive = [int(json.loads((folder / "counts" / f"field{number}" / "report.json").read_text())["extra"][
        "positive_patches"]) for number in range(CALIBRATED_ON)]  # fmt: skip
    assert calibration.blasts.groups == CALIBRATED_ON
    assert calibration.blasts.factor == pytest.approx((sum(BLASTS[:CALIBRATED_ON]) + 1) / (sum(positive) + 1))
    assert f"a positive patch means {calibration.blasts.factor:.3g} blasts" in " ".join(learnt.split())

    count(folder, "new", "with", "--patch-calibration", folder / "grid.json")
    found = rows(folder / "with" / "counts.csv")
    assert len(found) == len(BLASTS) - CALIBRATED_ON
    for row, true in zip(found, BLASTS[CALIBRATED_ON:], strict=True):
        assert float(row["blasts_low"]) <= true <= float(row["blasts_high"])
        assert float(row["blasts_low"]) <= float(row["blasts"]) < float(row["blasts_high"])


def test_the_fields_are_measured_on_a_page_that_says_how(folder, learnt):
    assert "SLIDES" in learnt
    assert "by what the others say" in (folder / "page" / "slides" / "evaluation.html").read_text()


def test_nothing_is_written_over_or_learnt_from_anything_else(folder, learnt):
    before = (folder / "grid.json").read_bytes()
    for page, what in (("page", "page"), ("other", "grid.json")):
        refused = learn(folder, page)
        assert refused.exit_code == 2
        assert f"{what} " in refused.output
        assert "--overwrite" in refused.output
    again = learn(folder, "page", "--overwrite")
    assert again.exit_code == 0, again.output
    assert (folder / "grid.json").read_bytes() == before
    (folder / "table.csv").write_text("id,group,truth,p_a,p_b\n")
    table = run("evaluate", folder / "table.csv", "-o", folder / "t", "--write-calibration", folder / "t.json")
    assert "learns from what infer counted" in table.output
    assert not (folder / "t.json").exists()


def slide(number, positive, blasts, group=None, **changes):
    """Return a slide with so many positive patches and marked blasts."""
    extra = {"positive_patches": positive, "patch_red_cells": 2.8, "patch_overlap": 0.25, **changes.pop("extra", {})}
    report = SlideReport(
        f"s{number}", "", changes.pop("status", DONE), method="patches", weights_sha256="a", extra=extra
    )
    marks = changes.pop("marks", "blast")
    cells = Cells.at(np.zeros((blasts + 2, 2)), (marks, "other"), [0] * blasts + [1, 1])
    return CountedSlide(
        replace(report, **changes), Cells.at(np.empty((0, 2)), ("blast",)), cells, SlideItem("", group=group)
    )


ALIKE = tuple(slide(number, 2 * number, number) for number in range(1, 7))


def test_no_slide_is_measured_by_what_was_learnt_from_its_own_patient(tmp_path):
    odd = (slide(7, 4, 40, "p"), slide(8, 6, 60, "p"))
    found = calibrated(Counted((*ALIKE, *odd), ("as before",)), tmp_path / "new" / "grid.json")
    assert [one.report.slide_id for one in found.slides] == [f"s{number}" for number in range(1, 9)]
    assert [one.report.blasts.value for one in found.slides[6:]] == pytest.approx([4 * 22 / 43, 6 * 22 / 43])
    assert found.slides[6].report.blasts.high < 40
    others = 21 - 3 + 100 + 1, 42 - 6 + 10 + 1
    assert found.slides[2].report.blasts.value == pytest.approx(6 * others[0] / others[1])
    learnt = read_presence_calibration(tmp_path / "new" / "grid.json")
    assert (learnt.weights_sha256, learnt.patch_red_cells, learnt.overlap) == ("a", 2.8, 0.25)
    assert learnt.blasts == CountCalibration.fit([2, 4, 6, 8, 10, 12, 4, 6], [1, 2, 3, 4, 5, 6, 40, 60], 7)
    assert found.notes == ("as before",)
    assert "of 7 patients or slides" in found.learnt


def test_what_tells_nothing_is_left_out_and_said(tmp_path):
    odd = (slide(7, 4, 40, status=PARTIAL), slide(8, 6, 60, marks="white_cell"))
    found = calibrated(Counted((*ALIKE, *odd), ()), tmp_path / "grid.json")
    assert len(found.slides) == 6
    assert ["s7" in found.notes[0], "s8" in found.notes[1]] == [True, True]
    assert read_presence_calibration(tmp_path / "grid.json").blasts.factor == pytest.approx(22 / 43)


@pytest.mark.parametrize(
    ("slides", "told"),
    [
        (ALIKE[:2], "or more: found 2"),
        (tuple(replace(one, item=SlideItem("", group="p")) for one in ALIKE), "or more: found 1"),
        (tuple(slide(number, number, 0) for number in range(4)), "blasts are marked: none is"),
        ((*ALIKE, slide(7, 1, 1, extra={"patch_overlap": 0.5})), "s7 was counted otherwise than s1"),
        ((*ALIKE, slide(7, 1, 1, weights_sha256="b")), "of another model"),
        (
            (*ALIKE, replace(ALIKE[0], report=SlideReport("c", "", DONE, method="cells"))),
            "c was counted by the method cells",
        ),
    ],
)
def test_what_cannot_be_taken_together_is_refused(slides, told, tmp_path):
    with pytest.raises(UsageError, match=told):
        calibrated(Counted(slides, ()), tmp_path / "grid.json")
    assert not (tmp_path / "grid.json").exists()
