"""`evaluate --ensemble` on a store: unlike members, one of which is shown masked cells, and how sure they are."""

import csv
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from tests.painted_discs import paint_disc, write_discs
from wsi_patches.cli.main import main
from wsi_patches.datasets import find_inputs
from wsi_patches.errors import UsageError
from wsi_patches.models import CellClassifier
from wsi_patches.train.dss_xai import TURNS_AND_FLIPS
from wsi_patches.train.engine_settings import EngineSettings
from wsi_patches.train.fields import FieldSettings, train_fields
from wsi_patches.workflows.ask_committee import load_members
from wsi_patches.workflows.evaluate_settings import EvaluateSettings
from wsi_patches.workflows.extract import ExtractSettings, extract

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]
SMALL = FieldSettings(
    architecture="dss_xai", network={"width": 8}, input_px=48, batch_size=16, by="slide", patch_cell_diameters=1.5,
    shares={"train": 0.6, "validation": 0.2, "test": 0.2}, augmentation=TURNS_AND_FLIPS,
    training=EngineSettings(epochs=4, optimizer="adamw", learning_rate=5e-3, device="cpu", keep="last"),
)  # fmt: skip


@pytest.fixture(scope="module")
def members(tmp_path_factory):
    """Weights of a network of 48 px, and of one of 32 px that is shown nuclei alone."""
    folder = tmp_path_factory.mktemp("members")
    found = find_inputs([write_discs(folder / "set", 80)]).items
    other = replace(SMALL, name="nuclei", input_px=32, mask="nucleus", training=replace(SMALL.training, seed=1))
    return [str(train_fields(one, found, folder / one.name).weights) for one in (SMALL, other)]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Other cells, and one picture of glass."""
    folder = tmp_path_factory.mktemp("store")
    write_discs(folder / "set", 40, seed=9)
    cv2.imwrite(str(folder / "set" / "other" / "glass.png"), np.full((48, 48, 3), 232, np.uint8))
    return extract(ExtractSettings((folder / "set",), folder / "cells.zarr", patch_size=48)).out


def table(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_members_stand_beside_their_mean_and_doubt_is_told(members, store, tmp_path):
    words = ["evaluate", str(store), "--model", members[0], "--ensemble", members[1], "-o", str(tmp_path / "out")]
    done = CliRunner().invoke(main, [*words, "--draws", "50", "--by", "slide"])
    assert done.exit_code == 0, done.output
    assert "in 1 of 41 patches no nucleus stands out (otsu): model nuclei" in done.output
    rows = table(tmp_path / "out" / "predictions.csv")
    assert list(rows[0]) == [
        "id", "group", "truth", "predicted", "p_blast", "p_other", "entropy", "disagreement", "variance",
    ]  # fmt: skip
    assert all(0 <= float(row["disagreement"]) <= float(row["entropy"]) + 1e-6 for row in rows)
    named = {row["classifier"] for row in table(tmp_path / "out" / "baselines.csv")}
    assert {"this classifier", "fields alone", "nuclei alone"} <= named
    risks = table(tmp_path / "out" / "risk_coverage.csv")
    assert {row["by"] for row in risks} == {"entropy", "disagreement", "variance"}
    assert [row["put_aside"] for row in risks[:6]] == ["0.0", "0.05", "0.1", "0.2", "0.3", "0.5"]
    right = [row["truth"] == row["predicted"] for row in sorted(rows, key=lambda row: float(row["entropy"]))]
    assert float(risks[5]["accuracy"]) == pytest.approx(np.mean(right[:21]), abs=1e-5)
    page = (tmp_path / "out" / "evaluation.html").read_text(encoding="utf-8")
    assert "that the classifier is most unsure of are put aside" in page
    assert (tmp_path / "out" / "risk_coverage.png").exists()


def test_a_masked_member_is_shown_masked_patches_of_a_store(members, store, tmp_path):
    words = ["evaluate", str(store), "--model", members[1], "-o", str(tmp_path / "out"), "--draws", "0"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    told = {row["id"]: float(row["p_blast"]) for row in table(tmp_path / "out" / "predictions.csv")}
    glass = np.zeros((1, 32, 32, 3), np.uint8)  # black all over
    alone = CellClassifier.load(members[1], "cpu", paint=lambda images, *_: (images, np.zeros(len(images), bool)))
    assert told["glass"] == pytest.approx(float(alone.probabilities(glass)[0, 0]), abs=1e-5)
    assert len(set(told.values())) > 2


def test_entropy_is_higher_on_unlike_pictures(members, rng):
    committee = load_members(members, 1, "cpu")
    like = np.stack([paint_disc(rng, large=bool(number % 2)) for number in range(40)])
    unlike = np.ascontiguousarray((255 - like.astype(int))[:, :, :, ::-1].astype(np.uint8))
    known, strange = (mean_doubt(committee, images) for images in (like, unlike))
    assert strange > known


def mean_doubt(committee, images):
    return float(committee.doubt(committee.runner(torch.from_numpy(images)).numpy()).entropy.mean())


def test_an_ensemble_needs_a_model():
    with pytest.raises(UsageError, match="--ensemble and --tta add to the --model"):
        EvaluateSettings("cells.zarr", "out", ensemble=("a",))
