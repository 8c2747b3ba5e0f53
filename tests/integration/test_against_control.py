"""`train` by task: one_against_control, from folders class / patient / image to pages of each class and of all."""

import csv
import json
import shutil

import numpy as np
import pytest
import torch
import yaml
from click.testing import CliRunner

from tests.painted_patients import write_patients
from wsi_patches.cli.main import main
from wsi_patches.errors import ModelError
from wsi_patches.train import one_against_control
from wsi_patches.workflows import train_against_control, train_folder

pytestmark = pytest.mark.slow

RECIPE = {
    "command": "train",
    "task": "one_against_control",
    "name": "small",
    "input_px": 32,
    "network": {"image_px": 32, "filters": [6, 8], "hidden": 8},
    "subtypes": {"NPM1": {"network": {"hidden": 6}, "learning_rate": 0.02}},
    "shares": {"train": 0.5, "validation": 0.25, "test": 0.25},
    "patch_cell_diameters": 1.5,
    "batch_size": 8,
    "training": {"epochs": 3, "learning_rate": 0.01, "weight_decay": 0, "device": "cpu"},
}


@pytest.fixture(scope="module", autouse=True)
def quick():
    """One thread, and few draws for intervals."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patched:
        for module in (train_folder, train_against_control):
            patched.setattr(module, "DRAWS", 20)
        yield
    torch.set_num_threads(threads)


def run(*arguments):
    return CliRunner().invoke(main, [str(one) for one in arguments])


def train(folder, *more):
    return run("train", folder / "small.yaml", "--data", folder / "DATA", "-o", folder / "out", *more)


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A training that was killed before its first class, its page, and what is said of beginning it anew."""
    folder = tmp_path_factory.mktemp("aml")
    write_patients(folder / "DATA")
    (folder / "small.yaml").write_text(yaml.safe_dump(RECIPE))

    def kill(*_arguments, **_more):
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(one_against_control, "train_classifier", kill)
        train(folder)
    return folder, (folder / "out" / "training.html").read_text(), train(folder)


@pytest.fixture(scope="module")
def done(killed):
    """The same training, gone on with."""
    folder, _, _ = killed
    return folder, train(folder, "--resume")


def test_each_class_and_all_together_are_trained_measured_and_told(done):
    folder, said = done
    assert said.exit_code == 0, said.output
    for name in ("NPM1", "PML RARA", "ALL CLASSES", "PATIENTS", "macro average", "weighted average"):
        assert name in said.output
    assert f"weights: {folder / 'out' / 'weights.safetensors'}" in said.output
    card = json.loads((folder / "out" / "card.json").read_text())
    assert card["classes"] == ["control", "NPM1", "PML_RARA"]
    assert [one["classes"] for one in card["settings"]["members"]] == [["control", "NPM1"], ["control", "PML_RARA"]]
    for name in ("NPM1/weights.safetensors", "PML_RARA/weights.safetensors", "weights.safetensors"):
        assert (folder / "out" / name).is_file()


@pytest.fixture(scope="module")
def moved(done, tmp_path_factory):
    """The one file of all classes, where none of its members' is."""
    return shutil.copy(done[0] / "out" / "weights.safetensors", tmp_path_factory.mktemp("moved"))


@pytest.fixture(scope="module")
def store(done, tmp_path_factory):
    """The pictures as a labelled store."""
    out = tmp_path_factory.mktemp("stored") / "cells.zarr"
    said = run("extract", done[0] / "DATA", "-o", out, "--patch-size", "32", "-q")
    assert said.exit_code == 0, said.output
    return out


def predictions(folder):
    """Return ids, true classes and the probabilities of all classes of an evaluation."""
    with (folder / "predictions.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    columns = [name for name in rows[0] if name.startswith("p_")]
    return {row["id"]: (row["truth"], [float(row[name]) for name in columns]) for row in rows}, columns


def test_one_file_is_evaluated_on_a_store_of_all_classes(done, moved, store, tmp_path):
    said = run("evaluate", store, "--model", moved, "-o", tmp_path / "out", "--draws", "20")
    assert said.exit_code == 0, said.output
    found, columns = predictions(tmp_path / "out")
    assert columns == ["p_control", "p_NPM1", "p_PML_RARA"]
    assert len(found) == 180
    measured, _ = predictions(done[0] / "out" / "test")
    stored = {tuple(np.round(values, 4)) for _, values in found.values()}
    assert {tuple(np.round(values, 4)) for _, values in measured.values()} <= stored


def test_one_file_explains_by_what_its_members_say(moved, store, tmp_path):
    asked = ("explain", store, "--reference", store, "--model", moved, "--map", "none", "--draws", "20", "--show", "2")
    refused = run(*asked, "-o", tmp_path / "refused")
    assert refused.exit_code == 2
    assert "ask one of the networks that it is made of, or leave the maps out with --cam none" in refused.output
    said = run(*asked, "-o", tmp_path / "out", "--cam", "none")
    assert said.exit_code == 0, said.output
    told = json.loads((tmp_path / "out" / "explanations.json").read_text())
    assert len(told["queries"]) == 180


def test_a_model_of_subtypes_counts_no_blasts_and_says_what_would(done, moved, tmp_path):
    picture = next((done[0] / "DATA").rglob("*.png"))
    said = run("infer", picture, "-o", tmp_path / "out", "--model", moved)
    assert said.exit_code != 0
    assert isinstance(said.exception, ModelError | SystemExit)
    assert "tells control, NPM1, PML_RARA" in said.output
    assert "whose `classes:` call each of its labels blast or other" in said.output


def test_pages_hold_the_table_and_the_curves_and_are_led_to(done):
    folder, _ = done
    page = (folder / "out" / "training.html").read_text()
    for name in ("NPM1/test", "PML_RARA/test", "test", "test_patients"):
        assert f'href="{name}/evaluation.html"' in page
        assert {"report.txt", "roc.png", "f1_threshold.png", "predictions.csv"} <= {
            file.name for file in (folder / "out" / name).iterdir()
        }
    with (folder / "out" / "test_patients" / "predictions.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    with (folder / "out" / "test" / "predictions.csv").open(newline="") as stream:
        patients = {row["group"] for row in csv.DictReader(stream)}
    assert {row["id"] for row in rows} == patients
    assert list(rows[0])[-3:] == ["p_control", "p_NPM1", "p_PML_RARA"]


def test_a_training_that_is_there_is_gone_on_with_only_where_it_is_asked_for(done):
    folder, _ = done
    refused = train(folder)
    assert refused.exit_code == 2
    assert "--resume" in refused.output
    files = [folder / "out" / name for name in ("NPM1/weights.safetensors", "weights.safetensors")]
    before = [file.read_bytes() for file in files]
    again = train(folder, "--resume", "-q")
    assert again.exit_code == 0, again.output
    assert [file.read_bytes() for file in files] == before


def test_a_training_that_was_killed_at_its_first_class_is_known_for_one_and_gone_on_with(killed, done):
    folder, page, refused = killed
    assert "This training is not done" in page
    assert refused.exit_code == 2
    assert "--resume" in refused.output
    assert done[1].exit_code == 0, done[1].output
    assert "This training is not done" not in (folder / "out" / "training.html").read_text()


def test_what_cannot_be_is_said_before_anything_is_trained(done, tmp_path):
    folder, _ = done
    (tmp_path / "a.yaml").write_text(yaml.safe_dump({**RECIPE, "control": "healthy"}))
    said = run("train", tmp_path / "a.yaml", "--data", folder / "DATA", "-o", tmp_path / "out")
    assert said.exit_code == 2
    assert "no picture is of healthy" in said.output
    said = run("train", "aml_resnet50", "--data", folder / "DATA", "-o", tmp_path / "out2")
    assert said.exit_code == 2
    assert "give their file, by --start" in said.output
