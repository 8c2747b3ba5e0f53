"""Training a detector on a folder: what it leaves behind counts slides, and its figures are those of the test split."""

import json
from dataclasses import replace

import pytest
import torch
from click.testing import CliRunner

from tests.unit.train.small_detector import MPP, SMALL
from tests.unit.train.small_fields import painted_fields
from wsi_patches.annotations import BOX_COLUMNS
from wsi_patches.cli import main
from wsi_patches.counting.slide_counts import FinderReliability
from wsi_patches.datasets.split_file import read_split
from wsi_patches.infer import ModelChoice, count_by
from wsi_patches.infer.detect import detect_cells, load_detector
from wsi_patches.models.weights import build_detector
from wsi_patches.slides import ArraySlide, open_slide
from wsi_patches.synthetic import paint_smear, write_all_idb1
from wsi_patches.workflows.output import Existing
from wsi_patches.workflows.train_detector import train_detector_on_folder
from wsi_patches.workflows.train_folder import TrainingData


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("painted") / "ALL_IDB1"
    write_all_idb1(folder, painted_fields(16))
    return folder


@pytest.fixture(scope="module")
def done(data, tmp_path_factory):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    settings = replace(SMALL, pretrained=True, training=replace(SMALL.training, steps_per_epoch=16, learning_rate=5e-3))
    out = tmp_path_factory.mktemp("detector") / "out"
    yield train_detector_on_folder(settings, TrainingData((data,)), out, Existing())
    torch.set_num_threads(threads)


def test_white_cells_of_the_test_split_are_found(done):
    result = done.results["white_cells"]
    assert result.sampling.n == 4
    assert result.metrics["f1"].value > 0.6, result.metrics["f1"]
    assert done.card.scores["test_white_cells_f1"] == result.metrics["f1"].value
    assert done.card.scores["test_slides"] == 4
    assert set(done.results) == set(done.evaluations) == {"white_cells", "blasts"}


def test_pages_card_and_split_are_left_behind(done):
    out = done.weights.parent
    assert all(page.is_file() for page in (*done.evaluations.values(), done.page))
    card = json.loads((out / "card.json").read_text())
    assert build_detector(done.weights)[1].to_dict() == card
    test = {row.id for row, name in zip(*_columns(read_split(out / "split.csv")), strict=True) if name == "test"}
    assert {one.id for one in done.trained.of("test")} == test


def _columns(split):
    return split.rows, split.names


def test_the_weight_file_detects_as_the_training_did(done):
    chosen = load_detector(str(done.weights), "cpu", "fp32")
    assert chosen.card == done.card
    assert chosen.reliability == FinderReliability(done.card.recall, done.card.precision)
    (one, *_) = done.trained.of("test")
    with open_slide(one.item.path, mpp=MPP) as slide:
        cells, blast = detect_cells(slide, chosen.detector)
    assert len(cells) == len(blast) == done.results["white_cells"].found[0]
    assert set(BOX_COLUMNS) <= set(cells.attributes)


def test_a_field_that_is_unlike_the_training_makes_it_abstain(done):
    assert done.card.reference.slides == 12  # of training and validation
    choice = ModelChoice(method="detector", model=str(done.weights), device="cpu", precision="fp32")
    (field,) = painted_fields(1, seed=500)
    shifted = replace(field.settings, blur_px=field.settings.blur_px + 3.0)
    usual, blurred = (
        count_by(choice, ArraySlide(paint_smear(field.size, one)[0], mpp=MPP), "field").report
        for one in (field.settings, shifted)
    )
    assert 0 < usual.unlike_training <= 1
    assert blurred.abstains
    assert any("unlike those that model" in warning for warning in blurred.warnings)


def test_settings_of_a_detector_are_not_searched(data, tmp_path):
    asked = ["train", "all_idb1_detector", "--data", str(data), "-o", str(tmp_path / "out"), "--tune", "2"]
    refused = CliRunner().invoke(main, asked)
    assert refused.exit_code == 2
    assert "task: detector, whose settings are not searched" in refused.output
