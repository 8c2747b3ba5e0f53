"""Painted patients from slides to labels: cells are found, told in types and counted, labels learnt from counts."""

from collections import Counter

import numpy as np
import pytest
from click.testing import CliRunner

from tests.painted_diagnoses import read_rows
from wsi_patches.cli.main import main
from wsi_patches.synthetic import KINDS, paint_patients, write_patients

pytestmark = pytest.mark.slow
TWO = {"painted_cml": (0, 0.1, 0, 0.9, 0, 0, 0), "painted_reactive": (0, 0.1, 0.9, 0, 0, 0, 0)}
KNOWN = {"painted_even": (0, 0.34, 0.33, 0.33, 0, 0, 0)}
TYPES = """
command: train
task: cell_types
classes: {large_blast: blast}
architecture: efficientnet_lite0
input_px: 64
patch_um: 16
augmentation: {shift: 0, scale: 0, blur_share: 0, jpeg_share: 0}
batch_size: 16
training: {epochs: 6, learning_rate: 0.001}
"""
LABELS = "command: train\ntask: diagnosis\nfolds: 3\ndraws: 60\nlearnt_draws: 6\nresamples: 20\n"


def run(*arguments):
    told = CliRunner().invoke(main, [str(one) for one in arguments])
    assert told.exit_code == 0, told.output
    return told


def test_patients_are_labelled_by_what_is_found_told_and_counted_on_their_slides(tmp_path, one_thread):
    known, cohort = tmp_path / "known", tmp_path / "cohort"
    write_patients(known, paint_patients(12, seed=1, slides_each=1, cells=(18, 18), diagnoses=KNOWN), side_px=448)
    slides = write_patients(
        cohort, paint_patients(8, seed=2, slides_each=1, cells=(12, 14), diagnoses=TWO), side_px=384
    )
    (tmp_path / "types.yaml").write_text(TYPES)
    (tmp_path / "labels.yaml").write_text(LABELS)
    groups = ("--group-table", known / "slides.csv")
    run("train", tmp_path / "types.yaml", "--data", known / "slides", "--annotations", known / "cells", *groups,
        "-o", tmp_path / "types", "--device", "cpu", "-q")  # fmt: skip
    counts, model = tmp_path / "counts", tmp_path / "types" / "weights.safetensors"
    groups = ("--group-table", cohort / "slides.csv")
    run("infer", cohort / "slides", "-o", counts, "--model", model, *groups, "--device", "cpu", "-q")

    rows = {row["slide_id"]: row for row in read_rows(counts / "types.csv")}
    found = Counter({name: sum(int(row.get(f"count_{name}") or 0) for row in rows.values()) for name in KINDS})
    painted = Counter()
    for one in slides:
        painted.update(dict(one.settings.kinds))
    assert abs(found.total() - painted.total()) <= 0.1 * painted.total()
    neutrophils, lymphocytes = (
        [int(rows[one.slide_id][f"count_{name}"]) for one in slides] for name in ("neutrophil", "lymphocyte")
    )
    is_cml = np.array([one.diagnosis == "painted_cml" for one in slides])
    more = (np.array(neutrophils) > np.array(lymphocytes)) == is_cml
    assert more.sum() >= 7  # of eight: the type that a label is painted with is the one that is counted

    run("train", tmp_path / "labels.yaml", "--data", counts, "--labels", cohort / "patients.csv", "-o",
        tmp_path / "labels", "-q")  # fmt: skip
    figures = {(row["classifier"], row["metric"]): float(row["value"]) for row in read_rows(
        tmp_path / "labels" / "baselines.csv")}  # fmt: skip
    assert figures["this classifier", "macro_f1"] >= 0.85
    assert figures["this classifier", "macro_f1"] > figures["blast fraction alone", "macro_f1"]

    said = run("patients", counts, "--model", tmp_path / "labels" / "weights.safetensors", "-o", tmp_path / "said")
    truth = {one.patient: one.diagnosis for one in slides}
    told = read_rows(tmp_path / "said" / "patients.csv")
    right = [row["label"] in (truth[row["patient"]], "") for row in told]
    assert np.mean(right) >= 0.85
    assert "for research use" in said.output
