"""A model that says of a patch only whether it holds a blast: a rate, and a count for the grid that was calibrated."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from tests.unit.infer.dotted import PAPER, dotted
from wsi_patches.errors import ModelError, ResolutionUnknown, UsageError
from wsi_patches.infer.finder import ChosenFinder
from wsi_patches.infer.presence import (
    PresenceCalibration,
    count_presence,
    read_presence_calibration,
    write_presence_calibration,
)
from wsi_patches.models import CellClassifier, ModelCard
from wsi_patches.models.cell_finder import RED_CELL_UM, FieldScale
from wsi_patches.models.count_calibration import CountCalibration
from wsi_patches.models.reference import InputReference, look_of
from wsi_patches.slides import ArraySlide

MPP, SIDE = 0.3, 128
CARD = ModelCard(
    name="seer", title="Sees red dots", architecture="allnet", settings={}, classes=("blast", "none"), input_px=SIDE,
    mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), trained_on="nothing", limits="sees dots alone", licence="Apache-2.0",
    patch_um=MPP * SIDE, patch_cell_diameters=2.0,
)  # fmt: skip
CALIBRATION = PresenceCalibration(
    weights_sha256="abc",
    patch_red_cells=MPP * SIDE / RED_CELL_UM,
    overlap=0.25,
    blasts=CountCalibration(factor=0.8, linear=0.2, groups=12),
)


class DotSeer(nn.Module):
    """Logits: sure of a blast where a patch holds more than a few pixels of a red dot."""

    def forward(self, x):
        red = (x[:, 0] - x[:, 1] > 0.5 * PAPER / 255).flatten(1).sum(dim=1)
        sure = torch.where(red > 5, 5.0, -5.0)
        return torch.stack([sure, -sure], dim=1)


def seer(**changes):
    return CellClassifier(DotSeer(), replace(CARD, **changes), "abc", torch.device("cpu"))


@pytest.fixture(scope="module")
def slide():
    return ArraySlide(dotted((1024, 768), 7, 5, seed=2)[0], mpp=MPP)


def test_the_rate_of_positive_patches_and_no_count(slide):
    report, counted = count_presence(slide, "dots", seer())
    positive = counted.counts[:, 0]
    assert (len(positive), set(positive.tolist())) == (48, {0.0, 1.0})
    for (x, y), said in zip(counted.xy.tolist(), positive, strict=True):
        patch = slide.pixels[y : y + SIDE, x : x + SIDE].astype(int)
        assert said == ((patch[..., 0] - patch[..., 1] > 100).sum() > 5)
    extra = report.extra
    assert extra["positive_patches"] == positive.sum()
    assert extra["positive_patch_rate_low"] < extra["positive_patch_rate"] < extra["positive_patch_rate_high"]
    assert (report.blasts, report.white_cells, report.blast_fraction) == (None, None, None)
    assert any("no calibration for this grid was given: blasts are not counted" in one for one in report.warnings)


class ShortOfMemory(DotSeer):
    """Has not the memory for more than five patches; keeps how many it was shown."""

    def __init__(self):
        super().__init__()
        self.shown = []

    def forward(self, x):
        if len(x) > 5:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        self.shown.append(len(x))
        return super().forward(x)


def test_where_memory_is_short_fewer_patches_at_a_time_come_to_the_same(slide):
    plenty = count_presence(slide, "dots", seer(), 0.5, batch_size=16)
    short = ShortOfMemory()
    scarce = count_presence(slide, "dots", replace(seer(), network=short), 0.5, batch_size=16)
    assert (scarce[1].counts == plenty[1].counts).all()
    assert 0 < scarce[1].counts.sum() < len(scarce[1].counts)
    assert max(short.shown) == 4
    assert sum(short.shown) == scarce[0].patches


def field(seed, blur_px=0.6):
    """Dots on noise, a little brighter or darker from one seed to the next."""
    rng = np.random.default_rng(seed)
    image = dotted((384, 384), 4, 4, seed=seed)[0] * rng.normal(1, 0.02, 3) + rng.normal(0, 6, (384, 384, 3))
    return ArraySlide(cv2.GaussianBlur(image.clip(0, 255), (0, 0), blur_px).astype(np.uint8), mpp=MPP)


def test_patches_that_are_unlike_those_of_the_training_make_it_abstain():
    known = [
        field(seed).pixels.reshape(3, SIDE, 3, SIDE, 3).swapaxes(1, 2).reshape(9, SIDE, SIDE, 3) for seed in range(30)
    ]
    reference = InputReference.fit([look_of(range(9), patches.__getitem__) for patches in known])
    usual = [count_presence(field(seed), "dots", seer(reference=reference))[0] for seed in range(100, 110)]
    assert all(one.unlike_training > 0 for one in usual)
    assert sum(one.abstains for one in usual) <= 1
    blurred, _ = count_presence(field(100, 4.0), "dots", seer(reference=reference))
    assert blurred.abstains
    assert any("unlike those that model seer learnt from" in one for one in blurred.warnings)


def test_overlap_makes_more_patches_and_no_surer_rate(slide):
    width = [
        report.extra["positive_patch_rate_high"] - report.extra["positive_patch_rate_low"]
        for report, _ in (count_presence(slide, "dots", seer(), overlap) for overlap in (0.0, 0.75))
    ]
    assert width[1] > 0.7 * width[0]


def test_a_calibration_counts_on_its_own_grid_and_on_no_other(slide, tmp_path):
    write_presence_calibration(tmp_path / "grid.json", CALIBRATION)
    calibration = read_presence_calibration(tmp_path / "grid.json")
    assert calibration == CALIBRATION

    report, counted = count_presence(slide, "dots", seer(), 0.25, calibration=calibration)
    assert report.blasts.value == pytest.approx(0.8 * counted.counts.sum())
    assert report.blasts.low < report.blasts.value < report.blasts.high
    assert "calibrated for this very grid on 12" in report.interval_method
    assert not any("not counted" in one for one in report.warnings)

    for changes, overlap, told in (
        ({}, 0.5, "with an overlap of 0.25, and these are"),
        ({"patch_um": 60.0}, 0.25, "red cells wide with an overlap"),
    ):
        other, _ = count_presence(slide, "dots", seer(**changes), overlap, calibration=calibration)
        assert other.blasts is None
        assert any(told in one for one in other.warnings)
    stranger, _ = count_presence(slide, "dots", seer(), 0.25, calibration=replace(calibration, weights_sha256="x"))
    assert any("the calibration is of another model" in one for one in stranger.warnings)


class Yardstick:
    working_mpp = 0.3

    def __init__(self, red_px):
        self.red_px = red_px

    def calibrate(self, samples, mpp=None):
        return FieldScale(self.red_px)


def test_without_a_resolution_patches_are_as_wide_as_the_card_says_in_cells(slide):
    plain = ArraySlide(slide.pixels)
    report, counted = count_presence(plain, "dots", seer(), finder=ChosenFinder(Yardstick(25.0), "yardstick"))
    assert counted.side == 80
    assert report.extra["patch_red_cells"] == pytest.approx(3.2)
    with pytest.raises(ResolutionUnknown, match="no cell is seen"):
        count_presence(plain, "dots", seer(), finder=ChosenFinder(Yardstick(None), "yardstick"))


def test_nonsense_is_refused(slide, tmp_path):
    with pytest.raises(ModelError, match="none of them is blast"):
        count_presence(slide, "dots", seer(classes=("early", "pro")))
    with pytest.raises(UsageError, match="overlap must be at least 0"):
        count_presence(slide, "dots", seer(), 1.0)
    (tmp_path / "odd.json").write_text('{"weights_sha256": "abc", "colour": 1}')
    for name in ("odd.json", "absent.json"):
        with pytest.raises(ModelError, match="cannot be used as the calibration"):
            read_presence_calibration(tmp_path / name)
