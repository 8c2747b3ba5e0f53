"""Every recipe that comes with the package runs, small; a new one must say here how."""

import csv
import hashlib
import subprocess
import sys

import cv2
import pytest
import torch
import yaml
from torchvision.models import resnet50

from tests.conftest import ROOT
from tests.painted_attributes import write_leukemia_attri
from tests.painted_bags import write_bags
from tests.painted_diagnoses import write_counts
from tests.painted_kinds import write_kinds
from tests.painted_sets import write_all_idb2, write_class_folders
from tests.painted_tissue import write_tissue
from tests.tiny_blip import write_tiny_blip
from tests.two_painted_sets import write_adp, write_c_nmc
from tests.unit.train.small_fields import painted_fields
from wsi_patches.geometry import Size
from wsi_patches.stores import open_store
from wsi_patches.synthetic import KINDS, SmearSettings, paint_patients, paint_smear, write_all_idb1
from wsi_patches.synthetic import write_patients as write_painted_patients

QUICK_PROBE = ("--by", "slide", "--folds", "3", "--draws", "20")
SMALL = {
    "demo": ["demo", "--slide-px", "1024", "-o", "out"],
    "all_idb1": ["run", "all_idb1", "ALL_IDB1", "-o", "out"],
    "all_idb1_patches": ["extract", "ALL_IDB1", "-o", "out", "--recipe", "all_idb1_patches"],
    "adaptive_unsharpening": ["preprocess", "out", "--recipe", "adaptive_unsharpening"],
    "cnn_all": ["effect", "ALL_IDB2", "-o", "out", "--recipe", "cnn_all", "--repetitions", "2", "--draws", "20"],
    "adnf": ["cluster", "cells.zarr", "-o", "out", "--recipe", "adnf", "--first", "16"],
    "hemblip": ["train", "hemblip", "--data", "captions", "--start", "blip", "-o", "out", "--epochs", "1"],
    "demo_cells": ["train", "demo_cells", "-o", "out", "--epochs", "1", "--cells", "300"],
    "all_idb1_blasts": ["train", "all_idb1_blasts", "--data", "ALL_IDB1", "-o", "out", "--epochs", "1"],
    "cell_types": [
        "train",
        "cell_types",
        "--data",
        "PATIENTS/slides",
        "--annotations",
        "PATIENTS/cells",
        "-o",
        "out",
        "--epochs",
        "1",
    ],
    "diagnosis": ["train", "diagnosis", "--data", "COUNTS", "--labels", "COUNTS/patients.csv", "-o", "out"],
    "all_idb1_counts": ["train", "all_idb1_counts", "--data", "ALL_IDB1", "-o", "out", "--epochs", "1"],
    "all_idb1_detector": ["train", "all_idb1_detector", "--data", "ALL_IDB1", "-o", "out", "--epochs", "1"],
    "cnn_gru": ["train", "cnn_gru", "--data", "ALL_IDB2", "-o", "out", "--epochs", "1"],
    "masked_cells": ["train", "masked_cells", "--data", "ALL_IDB2", "-o", "out", "--epochs", "1"],
    "hematogones": ["train", "hematogones", "--data", "FIELDS", "--data", "C_NMC", "-o", "out", "--epochs", "1"],
    "leukemia_attri": ["train", "leukemia_attri", "--data", "LEUKEMIA_ATTRI", "-o", "out", "--epochs", "1"],
    "dss_xai": ["train", "dss_xai", "--data", "CELLS", "-o", "out", "--epochs", "1"],
    "all_four_classes": ["train", "all_four_classes", "--data", "FIELDS", "-o", "out", "--epochs", "2"],
    "allnet_adp": ["train", "allnet_adp", "--data", "ADP", "-o", "out", "--epochs", "1"],
    "allnet": ["train", "allnet", "--data", "ALL_IDB2", "-o", "out", "--epochs", "1"],
    "histotnet_adp": ["train", "histotnet_adp", "--data", "ADP", "-o", "out", "--epochs", "1"],
    "histotnet": ["train", "histotnet", "--data", "ALL_IDB2", "-o", "out", "--epochs", "1"],
    "dl4all": ["train", "dl4all", "--data", "C_NMC", "--source", "ADP", "-o", "out", "--epochs", "1"],
    "aml_one_against_control": ["train", "aml_one_against_control", "--data", "AML", "-o", "out", "--epochs", "1"],
    "cotconet": ["train", "cotconet", "--data", "CELLS", "-o", "out", "--epochs", "2"],
    "feature_selection": ["probe", "cells.zarr", "-o", "out", "--recipe", "feature_selection", *QUICK_PROBE],
    "hosvd": ["probe", "cells.zarr", "-o", "out", "--recipe", "hosvd", *QUICK_PROBE],
    "taxonomy": ["train", "taxonomy", "--data", "TREE", "-o", "out", "--epochs", "2"],
    "mobilenet_smote": ["train", "mobilenet_smote", "--data", "CELLS", "-o", "out", "--epochs", "2"],
    "efficientnet_c_nmc": ["train", "efficientnet_c_nmc", "--data", "C_NMC", "-o", "out", "--epochs", "2"],
    "slide_bags": [
        "train",
        "slide_bags",
        "--data",
        "bags.zarr",
        "--labels",
        "labels.csv",
        "-o",
        "out",
        "--epochs",
        "2",
    ],
    "simclr": ["train", "simclr", "--data", "bags.zarr", "-o", "out"],
    "dino": ["train", "dino", "--data", "bags.zarr", "-o", "out"],
    "aml_resnet50": ["train", "aml_resnet50", "--data", "AML", "-o", "out", "--epochs", "1", "--start"],
}
MADE = {
    "demo": "counts",
    "all_idb1": "counts",
    "all_idb1_patches": "parts",
    "adaptive_unsharpening": "focus",
    "cnn_all": "effect.html",
    "adnf": "clusters.html",
    "hemblip": "adapter",
    "demo_cells": "weights.safetensors",
    "all_idb1_blasts": "weights.safetensors",
    "cell_types": "weights.safetensors",
    "diagnosis": "weights.safetensors",
    "all_idb1_counts": "weights.safetensors",
    "all_idb1_detector": "weights.safetensors",
    "all_four_classes": "training.html",
    "leukemia_attri": "weights.safetensors",
    "cnn_gru": "weights.safetensors",
    "masked_cells": "weights.safetensors",
    "hematogones": "weights.safetensors",
    "dss_xai": "weights.safetensors",
    "allnet_adp": "weights.safetensors",
    "allnet": "weights.safetensors",
    "histotnet_adp": "weights.safetensors",
    "histotnet": "weights.safetensors",
    "dl4all": "weights.safetensors",
    "aml_one_against_control": "weights.safetensors",
    "cotconet": "weights.safetensors",
    "feature_selection": "selected_features.csv",
    "hosvd": "evaluation.html",
    "aml_resnet50": "weights.safetensors",
    "slide_bags": "weights.safetensors",
    "simclr": "encoder.yaml",
    "dino": "encoder.yaml",
    "taxonomy": "weights.safetensors",
    "mobilenet_smote": "weights.safetensors",
    "efficientnet_c_nmc": "weights.safetensors",
}
"""What each leaves in its output."""


def write_four_classes(folder):
    """Paint the four-class set's folders: small fields, more blasts in the later classes."""
    for number, name in enumerate(("Benign", "Early", "Pre", "Pro")):
        (folder / name).mkdir(parents=True)
        for field in range(12):
            settings = SmearSettings.random(10 * number + field, cell_diameter_px=36.0, blasts=2 * number, others=3)
            kind = name if name == "Benign" else f"Malignant-{name}"
            pixels, _ = paint_smear(Size(224, 224), settings)
            cv2.imwrite(str(folder / name / f"WBC-{kind}-{field:03d}.png"), pixels[..., ::-1])


def write_resnet50(folder):
    """Write ResNet-50 with weights drawn by chance, as torchvision publishes its own; return its name."""
    torch.save(resnet50().state_dict(), folder / "whole")
    digits = hashlib.sha256((folder / "whole").read_bytes()).hexdigest()[:8]
    return (folder / "whole").rename(folder / f"resnet50-{digits}.pth").name


def smaller(name, folder):
    """Write a recipe with what differs in it; return what the command takes for it."""
    if name not in SMALLER:
        return name
    recipe = yaml.safe_load((ROOT / "configs" / f"{name}.yaml").read_text(encoding="utf-8"))
    (folder / f"{name}.yaml").write_text(yaml.safe_dump({**recipe, **SMALLER[name]}), encoding="utf-8")
    return f"{name}.yaml"


def run_cli(folder, *arguments):
    command = [sys.executable, "-m", "wsi_patches", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def write_one_slide(folder):
    write_all_idb1(folder / "ALL_IDB1", 1)


def write_marked(folder):
    write_all_idb1(folder / "ALL_IDB1", painted_fields(10))


def write_extracted(folder):
    write_one_slide(folder)
    run_cli(folder, "extract", "ALL_IDB1", "-o", "out")


def write_two_sets(folder):
    write_c_nmc(folder / "C_NMC", 24, side_px=96)
    write_adp(folder / "ADP", 8)


def write_patients(folder):
    write_class_folders(folder / "AML", ("PML_RARA", "control"), 32, 48, patients=8)


def write_patches_of_tissue(folder):
    write_tissue(folder / "ADP", slides=5, patches=2)


def write_leaves(folder):
    leaves = dict(zip(KINDS, ("all", "aml", "apl", "cll", "cml", "reactive", "normal"), strict=True))
    write_kinds(folder / "TREE", leaves, 12, slides=6)


def write_cells(folder):
    write_all_idb2(folder / "ALL_IDB2", count=24)


def write_stored_cells(folder):
    write_cells(folder)
    run_cli(folder, "extract", "ALL_IDB2", "-o", "cells.zarr", "--patch-size", "64")


def write_hematogones(folder):
    write_four_classes(folder / "FIELDS")
    write_c_nmc(folder / "C_NMC", 24, side_px=96)


def write_captions(folder):
    write_stored_cells(folder)
    run_cli(folder, "export", "cells.zarr", "-o", "captions", "--format", "captions")
    write_tiny_blip(folder / "blip")


def write_types_of_cells(folder):
    shares = {"painted": (0.4, 0.0, 0.3, 0.3, 0.0, 0.0, 0.0)}
    drawn = paint_patients(6, slides_each=1, cells=(12, 12), diagnoses=shares)
    write_painted_patients(folder / "PATIENTS", drawn, side_px=384)


DATA = {
    "cell_types": write_types_of_cells,
    "diagnosis": lambda folder: write_counts(folder / "COUNTS", 20),
    "hemblip": write_captions,
    "cnn_gru": write_cells,
    "masked_cells": write_cells,
    "hematogones": write_hematogones,
    "adnf": write_stored_cells,
    "all_idb1": write_one_slide,
    "all_idb1_patches": write_one_slide,
    "adaptive_unsharpening": write_extracted,
    "cnn_all": write_cells,
    "all_idb1_blasts": write_marked,
    "all_idb1_counts": write_marked,
    "all_idb1_detector": write_marked,
    "leukemia_attri": lambda folder: write_leukemia_attri(folder / "LEUKEMIA_ATTRI", 3),
    "all_four_classes": lambda folder: write_four_classes(folder / "FIELDS"),
    "dss_xai": lambda folder: write_class_folders(folder / "CELLS", ("lymphoblast", "normal"), 32),
    "allnet_adp": write_patches_of_tissue,
    "allnet": write_cells,
    "histotnet_adp": write_patches_of_tissue,
    "histotnet": write_cells,
    "dl4all": write_two_sets,
    "aml_one_against_control": write_patients,
    "cotconet": lambda folder: write_class_folders(folder / "CELLS", count=32),
    "feature_selection": write_stored_cells,
    "hosvd": write_stored_cells,
    "aml_resnet50": write_patients,
    "slide_bags": lambda folder: write_bags(folder, patients=12),
    "simclr": lambda folder: write_bags(folder, patients=8),
    "dino": lambda folder: write_bags(folder, patients=8),
    "taxonomy": write_leaves,
    "mobilenet_smote": lambda folder: write_class_folders(folder / "CELLS", count=40, side_px=32),
    "efficientnet_c_nmc": lambda folder: write_c_nmc(folder / "C_NMC", 36),
}
"""What paints what a recipe learns from; those that are not here need nothing."""
SHORT = {"epochs": 1, "learning_rate": 0.001, "keep": "last"}
SMALL_RESNET = {"architecture": "dss_xai", "network": {"depth": 18, "width": 8}, "input_px": 32, "training": SHORT}
PICTURES = {"patch_cell_diameters": 1.5, "input_px": 32}
SMALLER = {
    "cell_types": {"input_px": 32, "least_cells": 4, "architecture": "allnet", "network": {"widths": [4, 8]}},
    "diagnosis": {"draws": 40, "learnt_draws": 4, "resamples": 20},
    "leukemia_attri": {"width": 32, "convs": 1, "crop_px": 96, "training": {"epochs": 1, "steps_per_epoch": 2}},
    "cnn_gru": {**PICTURES, "network": {"hidden": 16}},
    "masked_cells": PICTURES,
    "hematogones": PICTURES,
    "dss_xai": {**PICTURES, "network": {"depth": 18, "width": 8}, "head_epochs": 1},
    "allnet_adp": {"input_px": 32, "network": {"depth": 18, "widths": [8, 16]}},
    "allnet": {**PICTURES, "network": {"depth": 18, "widths": [8, 16]}},
    "histotnet_adp": {"input_px": 32},
    "histotnet": PICTURES,
    "dl4all": {**PICTURES, "batch_size": 4},
    "aml_one_against_control": {**PICTURES, "network": {"image_px": 32}},
    "cotconet": {"input_px": 32, "network": {"width": 8, "dim": 24, "heads": 2, "depth": 1}},
    "feature_selection": {"population": 8, "generations": 3},
    "simclr": SMALL_RESNET,
    "dino": {**SMALL_RESNET, "projection": 64},
    "aml_resnet50": {**PICTURES, "network": {"image_px": 32, "hidden": 16}},
    "taxonomy": {**PICTURES, "architecture": "plain_cnn"},
    "mobilenet_smote": {**PICTURES, "head_epochs": 1},
    "efficientnet_c_nmc": {**PICTURES, "architecture": "efficientnet_b0", "oversample_to": 16},
}
"""What differs in a recipe whose network or pictures would take minutes."""


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "configs").glob("*.yaml")))
def test_recipe_runs_small(name, tmp_path):
    if name in DATA:
        DATA[name](tmp_path)
    more = [write_resnet50(tmp_path)] if name == "aml_resnet50" else []
    recipe = smaller(name, tmp_path)
    done = run_cli(tmp_path, *(recipe if word == name else word for word in SMALL[name]), *more)
    assert done.returncode == 0, done.stderr
    made = {file.name for file in (tmp_path / "out").iterdir()}
    assert MADE[name] in made
    if name == "dl4all":
        blasts_are_counted_by_what_it_made(tmp_path)


def blasts_are_counted_by_what_it_made(folder):
    """Count a painted slide by weights that learnt from C-NMC's two classes, under the names that its recipe gives."""
    smear = SmearSettings.random(5, cell_diameter_px=40.0, blasts=3, others=3)
    cv2.imwrite(str(folder / "slide.png"), paint_smear(Size(400, 320), smear)[0][..., ::-1])
    done = run_cli(folder, "infer", "slide.png", "-o", "counts", "--model", "out/weights.safetensors")
    assert done.returncode == 0, done.stderr
    with (folder / "counts" / "counts.csv").open(newline="") as stream:
        (row,) = csv.DictReader(stream)
    assert (row["status"], row["model"], row["white_cells"]) == ("done", "dl4all", "6")
    with (folder / "counts" / "slide" / "cells.csv").open(newline="") as stream:
        found = [cell["class"] for cell in csv.DictReader(stream)]
    assert len(found) == 6
    assert found.count("blast") == int(row["blasts"]) == 6 - found.count("other")


@pytest.mark.slow
def test_run_takes_a_recipe_of_a_command_too(tmp_path):
    write_all_idb1(tmp_path / "ALL_IDB1", 1)
    (tmp_path / "mine.yaml").write_text("command: extract\ninputs: [ALL_IDB1]\nout: a.zarr\npatch_size: 128\n")
    done = run_cli(tmp_path, "run", "mine.yaml")
    assert done.returncode == 0, done.stderr
    assert open_store(tmp_path / "a.zarr").settings.spec.size_px == 128
    again = run_cli(tmp_path, "run", "mine.yaml")
    assert again.returncode == 2
    assert "--resume" in again.stderr
    assert run_cli(tmp_path, "run", "mine.yaml", "--resume").returncode == 0


def test_pipelines_are_short_and_hold_no_algorithm():
    for path in (ROOT / "pipelines").glob("*.py"):
        lines = path.read_text().splitlines()
        assert len(lines) <= 40, f"{path.name}: {len(lines)} lines"
        assert not any(line.startswith(("import numpy", "import cv2", "import torch")) for line in lines)
