"""Classes in a tree, by command: figures of levels, votes of patients, and one sentence where the tree is wrong."""

import csv
import subprocess
import sys
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
import yaml

from wsi_patches.models import ModelCard, save_weights
from wsi_patches.models.plain_cnn import PlainCNN
from wsi_patches.stores import open_store
from wsi_patches.workflows.ask_committee import ask, load_members
from wsi_patches.workflows.evaluate import EvaluateSettings, evaluate
from wsi_patches.workflows.extract import ExtractSettings, extract
from wsi_patches.workflows.labelled import labelled_patches

CLASSES = ("NPM1", "PML_RARA", "control")
TREE = {"aml": {"NPM1": {}, "PML_RARA": {}}, "control": {}}
CARD = ModelCard(
    name="tree", title="t", architecture="plain_cnn", settings={"widths": [4, 8]}, classes=CLASSES, input_px=32,
    mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), trained_on="nothing", limits="none", licence="MIT",
    patch_cell_diameters=1.5, tree=TREE,
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pictures of eighteen painted patients, a store of them, and a network drawn by chance."""
    folder = tmp_path_factory.mktemp("levels")
    rng = np.random.default_rng(0)
    for row in range(54):
        patient = row // 3
        path = folder / "cells" / CLASSES[patient % 3] / f"P{patient:02d}_{row % 3}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), rng.integers(0, 255, (32, 32, 3), dtype=np.uint8))
    torch.manual_seed(0)
    save_weights(folder / "w.safetensors", PlainCNN(3, (4, 8)), CARD)
    extract(ExtractSettings((folder / "cells",), folder / "cells.zarr", group_pattern="^(?P<patient>P[0-9]+)"))
    return folder


def test_a_model_with_a_tree_is_evaluated_at_each_level_and_patients_vote(folder):
    done = evaluate(EvaluateSettings(folder / "cells.zarr", folder / "out", model=folder / "w.safetensors", draws=20))
    assert list(done.results) == ["classes", "levels"]
    metrics = done.results["levels"].metrics
    leaves = done.results["classes"].metrics["balanced_accuracy"].value
    assert metrics["balanced_accuracy_level_2"].value == pytest.approx(leaves)
    assert metrics["balanced_accuracy_level_1"].groups == 18
    assert metrics["vote_accuracy"].n == 18
    assert done.pages["levels"] == folder / "out" / "levels" / "evaluation.html"
    with (folder / "out" / "levels" / "votes.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 18
    assert all(row["path"].endswith(row["voted"]) and row["patches"] == "3" for row in rows)
    assert {row["tie"] for row in rows} <= {"0", "1"}


def test_a_tree_that_is_none_is_one_sentence_and_exit_code_2(folder, tmp_path):
    recipe = {"command": "train", "task": "taxonomy", "patch_cell_diameters": 1.5, "architecture": "plain_cnn"}
    (tmp_path / "r.yaml").write_text(yaml.safe_dump({**recipe, "tree": {"aml": ["NPM1", "CBFB"], "control": None}}))
    command = [sys.executable, "-m", "wsi_patches", "train", "r.yaml", "--data", str(folder / "cells"), "-o", "out"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "class 'PML_RARA' is not in the tree; leaves are NPM1, CBFB, control" in done.stderr
    assert "Traceback" not in done.stderr


def test_several_members_say_their_mean_and_one_that_stands_twice_is_told(folder, tmp_path):
    torch.manual_seed(1)
    save_weights(tmp_path / "other.safetensors", PlainCNN(3, (4, 8)), replace(CARD, name="other"))
    patches, one = labelled_patches(open_store(folder / "cells.zarr"), None), str(folder / "w.safetensors")
    both = ask(load_members((one, str(tmp_path / "other.safetensors")), 1, "cpu"), patches)
    np.testing.assert_allclose(both.probabilities, (both.members["tree"] + both.members["other"]) / 2, atol=1e-6)
    assert not np.allclose(both.members["tree"], both.members["other"], atol=1e-6)
    assert both.notes == ()
    (note,) = ask(load_members((one, one), 1, "cpu"), patches).notes
    assert note.startswith("tree (2) has the weights of another member")
