"""`train` by task: one_against_control, from folders class / patient / image to pages of each class and of all."""

import csv
import json

import pytest
import torch
import yaml
from click.testing import CliRunner

from tests.unit.train.test_one_against_control import write_patients
from wsi_patches.cli.main import main
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


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("aml")
    write_patients(folder / "DATA")
    (folder / "small.yaml").write_text(yaml.safe_dump(RECIPE))
    return folder, run("train", folder / "small.yaml", "--data", folder / "DATA", "-o", folder / "out")


def test_each_class_and_all_together_are_trained_measured_and_told(done):
    folder, said = done
    assert said.exit_code == 0, said.output
    for name in ("NPM1", "PML RARA", "ALL CLASSES", "PATIENTS", "macro average", "weighted average"):
        assert name in said.output
    told = json.loads((folder / "out" / "one_against_control.json").read_text())
    weights = {name: f"{name}/weights.safetensors" for name in ("NPM1", "PML_RARA")}
    assert told == {"control": "control", "weights": weights}
    for name in weights.values():
        assert (folder / "out" / name).is_file()


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
    asked = ("train", folder / "small.yaml", "--data", folder / "DATA", "-o", folder / "out")
    refused = run(*asked)
    assert refused.exit_code == 2
    assert "--resume" in refused.output
    before = (folder / "out" / "NPM1" / "weights.safetensors").read_bytes()
    again = run(*asked, "--resume", "-q")
    assert again.exit_code == 0, again.output
    assert (folder / "out" / "NPM1" / "weights.safetensors").read_bytes() == before


def test_what_cannot_be_is_said_before_anything_is_trained(done, tmp_path):
    folder, _ = done
    (tmp_path / "a.yaml").write_text(yaml.safe_dump({**RECIPE, "control": "healthy"}))
    said = run("train", tmp_path / "a.yaml", "--data", folder / "DATA", "-o", tmp_path / "out")
    assert said.exit_code == 2
    assert "no picture is of healthy" in said.output
    said = run("train", "aml_resnet50", "--data", folder / "DATA", "-o", tmp_path / "out2")
    assert said.exit_code == 2
    assert "give their file, by --start" in said.output
