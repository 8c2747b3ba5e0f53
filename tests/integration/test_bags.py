"""``bags``: a row a patient with probabilities, attention per patch as a table and on overviews, and clear refusals."""

import csv
import hashlib
import json
import shutil

import cv2
import numpy as np
import pytest
import torch
import yaml
from click.testing import CliRunner

from tests.painted_bags import COLUMNS, ROWS, SIDE_PX, write_bags
from wsi_patches.cli import main
from wsi_patches.errors import UsageError
from wsi_patches.evaluate.predictions_file import read_predictions
from wsi_patches.geometry import Box
from wsi_patches.models import ALLNet, ModelCard, save_weights
from wsi_patches.models.aggregators import AttentionMil
from wsi_patches.models.bag_card import BagCard
from wsi_patches.models.encoders import find_encoder
from wsi_patches.models.table import find_model
from wsi_patches.models.weights import load_weights
from wsi_patches.report.attention import draw_attention
from wsi_patches.workflows.store_bags import find_store_bags

PATIENTS, SLIDES = 3, 2
DIM = 8


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A store of patients with two slides each, their labels, a small encoder, and a model that learnt nothing."""
    folder = tmp_path_factory.mktemp("bags")
    write_bags(folder, PATIENTS, slides=SLIDES)
    torch.manual_seed(3)
    card = ModelCard(
        name="any", title="Any", architecture="allnet", settings={"widths": [4, DIM]}, classes=("a", "b"), input_px=32,
        mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), trained_on="nothing", limits="none", licence="Apache-2.0",
        patch_cell_diameters=1.5,
    )  # fmt: skip
    save_weights(folder / "any.safetensors", ALLNet(2, widths=(4, DIM)), card)
    values = {
        "name": "small", "library": "wsi-patches", "network": "allnet", "options": {"widths": [4, DIM]}, "dim": DIM,
        "weights": "any.safetensors", "sha256": hashlib.sha256((folder / "any.safetensors").read_bytes()).hexdigest(),
        "input_px": 32, "mean": [0.5] * 3, "std": [0.5] * 3,
    }  # fmt: skip
    (folder / "small.yaml").write_text(yaml.safe_dump(values))
    (folder / "other.yaml").write_text(yaml.safe_dump({**values, "mean": [0.4] * 3}))
    model = BagCard(
        name="bags", title="Bags", architecture="attention_mil", settings={"dim": DIM, "gated": True},
        classes=("control", "leukemic"), trained_on="nothing", limits="none", licence="Apache-2.0", bag="patient",
        encoder=find_encoder(str(folder / "small.yaml")).identity, patches={"size_px": SIDE_PX}, split="none",
    )  # fmt: skip
    network = AttentionMil(2, DIM, gated=True)
    network.scale_by(torch.zeros(DIM), torch.full((DIM,), 0.02))  # so that attention differs from patch to patch
    save_weights(folder / "model.safetensors", network, model)
    return folder


def run(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


def said(made, out, *more):
    words = ("bags", made / "bags.zarr", "--model", made / "model.safetensors", "-o", out)
    return run(*words, "--encoder", made / "small.yaml", *more)


def read(path):
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_labels_attention_and_pictures(made, tmp_path):
    done = said(made, tmp_path / "out", "--labels", made / "labels.csv", "--top", 3)
    assert done.exit_code == 0, done.output
    rows = read(tmp_path / "out" / "labels.csv")
    assert [(row["id"], row["truth"]) for row in rows] == [("P00", "control"), ("P01", "leukemic"), ("P02", "control")]
    for row in rows:
        assert float(row["p_control"]) + float(row["p_leukemic"]) == pytest.approx(1)
        assert row["predicted"] == max(("control", "leukemic"), key=lambda name: float(row[f"p_{name}"]))
        assert int(row["patches"]) == SLIDES * ROWS * COLUMNS
    assert read_predictions(tmp_path / "out" / "labels.csv").truth.tolist() == [0, 1, 0]
    folder = tmp_path / "out" / rows[1]["folder"]
    attention = read(folder / "attention.csv")
    assert {row["slide_id"] for row in attention} == {"P01_0", "P01_1"}
    shares = np.array([float(row["attention"]) for row in attention])
    assert shares.mean() == pytest.approx(1, abs=1e-4)
    assert shares.std() > 0.01
    assert {file.name for file in folder.iterdir()} >= {"P01_0.png", "P01_1.png", "album.png", "bag.html"}
    page = (folder / "bag.html").read_text()
    assert page.count("<img") == SLIDES + 1
    assert "no diagnosis" in page
    brightest_is_highest(folder, attention)


def brightest_is_highest(folder, attention):
    """Hold the tint of a slide's patches against their attention: yellow is high, blue is low."""
    slide = [row for row in attention if row["slide_id"] == "P01_0"]
    picture = cv2.imread(str(folder / "P01_0.png")).astype(float)
    zoom = picture.shape[1] / (COLUMNS * SIDE_PX)
    yellow = []
    for row in slide:
        left, top = int(row["x"]) * zoom, int(row["y"]) * zoom
        cut = picture[round(top) : round(top + SIDE_PX * zoom), round(left) : round(left + SIDE_PX * zoom)]
        yellow.append(cut[..., 2].mean() - cut[..., 0].mean())
    shares = [float(row["attention"]) for row in slide]
    assert np.corrcoef(yellow, shares)[0, 1] > 0.5


def write_knowing_encoder(folder):
    """Describe the demo's classifier, which knows painted cells, as an encoder; return the file."""
    weights, sha256 = find_model("painted-cells-lbp")
    shutil.copy(weights, folder / "painted.safetensors")
    _, card, _ = load_weights(weights)
    values = {
        "name": "painted", "library": "wsi-patches", "network": "allnet", "options": dict(card.settings), "dim": 64,
        "weights": "painted.safetensors", "input_px": SIDE_PX, "mean": list(card.mean), "std": list(card.std),
        "sha256": sha256,
    }  # fmt: skip
    (folder / "painted.yaml").write_text(yaml.safe_dump(values))
    return folder / "painted.yaml"


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_patients_are_told_from_slides_and_not_by_labels_dealt_by_chance(tmp_path):
    """Three blasts among twelve cells make a patient a leukemic one; nobody says which they are."""
    store, labels = write_bags(tmp_path, 60, keys=3)
    recipe = {
        "command": "train", "task": "bags", "name": "small", "encoder": str(write_knowing_encoder(tmp_path)),
        "aggregator": "gated", "network": {"width": 16, "hidden": 8, "dropout": 0.0}, "batch_size": 4,
        "calibration": "none", "shares": {"train": 0.4, "validation": 0.2, "test": 0.4},
        "training": {"epochs": 20, "learning_rate": 0.01},
    }  # fmt: skip
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    said = read(labels)
    dealt = np.random.default_rng(5).permutation([row["label"] for row in said])
    rows = "".join(f"{row['patient']},{label}\n" for row, label in zip(said, dealt, strict=True))
    (tmp_path / "dealt.csv").write_text(f"patient,label\n{rows}")
    reached = []
    for number, table in enumerate((labels, tmp_path / "dealt.csv")):
        out = tmp_path / str(number)
        done = run("train", tmp_path / "recipe.yaml", "--data", store, "--labels", table, "-o", out, "--device", "cpu")
        assert done.exit_code == 0, done.output
        reached.append(np.mean([row["truth"] == row["predicted"] for row in read(out / "test" / "predictions.csv")]))
    assert reached[0] >= 0.85
    assert reached[1] <= 0.7


def test_json_and_no_pictures(made, tmp_path):
    done = said(made, tmp_path / "out", "--top", 0, "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.output)
    assert set(told["probabilities"]) == {"P00", "P01", "P02"}
    assert {file.name for file in (tmp_path / "out" / "bags" / "P00").iterdir()} == {"attention.csv"}
    assert all(row["truth"] == "" for row in read(tmp_path / "out" / "labels.csv"))
    again = said(made, tmp_path / "out")
    assert again.exit_code != 0
    assert "--overwrite" in again.output


def test_what_cannot_be_is_refused(made, tmp_path):
    plain = ("bags", made / "bags.zarr", "-o", tmp_path / "out", "--model")
    cases = {
        "give its file with --encoder": (*plain, made / "model.safetensors"),
        "is another: give the encoder": (*plain, made / "model.safetensors", "--encoder", made / "other.yaml"),
        "a model of slide bags is needed": (*plain, made / "any.safetensors"),
        "is no store of patches": ("bags", made / "slides", *plain[2:], made / "model.safetensors", "--encoder",
                                   made / "small.yaml"),
        "stores is missing": ("bags", *plain[2:], made / "model.safetensors"),
    }  # fmt: skip
    for told, words in cases.items():
        done = run(*words)
        assert (done.exit_code, told in done.output) == (2, True), done.output
    assert not (tmp_path / "out").exists()
    infer = run("infer", made / "slides", "-o", tmp_path / "out", "--model", made / "model.safetensors")
    assert infer.exit_code == 2
    assert "wsi-patches bags --model" in infer.output


def test_bags_of_slides_and_of_patients(made):
    store, labels = made / "bags.zarr", made / "labels.csv"
    patients, slides = (find_store_bags([store], kind, labels).bags for kind in ("patient", "slide"))
    assert [bag.id for bag in patients] == ["P00", "P01", "P02"]
    assert [bag.id for bag in slides] == [f"P{n:02d}_{k}" for n in range(PATIENTS) for k in range(SLIDES)]
    assert {bag.group for bag in slides if bag.id.startswith("P01")} == {"P01"}
    assert sorted(np.concatenate([bag.rows for bag in patients]).tolist()) == list(range(72))


def test_labels_that_contradict_each_other_are_refused(made, tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text("slide_id,diagnosis\nP00_0,control\nP00_1,leukemic\n")
    with pytest.raises(UsageError, match="slides of P00 are labelled control, leukemic"):
        find_store_bags([made / "bags.zarr"], "patient", table)
    slides = find_store_bags([made / "bags.zarr"], "slide", table).bags
    assert [bag.label for bag in slides] == ["control", "leukemic", None, None, None, None]
    table.write_text("patient,label\nP00,a\nP00,b\n")
    with pytest.raises(UsageError, match="calls P00 both a and b"):
        find_store_bags([made / "bags.zarr"], "patient", table)
    table.write_text("name,label\nP00,a\n")
    with pytest.raises(UsageError, match="has the columns name, label"):
        find_store_bags([made / "bags.zarr"], "patient", table)


def test_a_store_twice_is_refused(made):
    with pytest.raises(UsageError, match="in two of the stores"):
        find_store_bags([made / "bags.zarr"] * 2, "patient")


def test_attention_is_drawn_where_it_is():
    picture = np.full((60, 120, 3), 200, np.uint8)
    drawn = draw_attention(picture, 2.0, [Box(0, 0, 120, 120), Box(120, 0, 120, 120)], np.array([0.0, 3.0]), 3.0)
    zoom = drawn.shape[1] / 120
    low, high = (drawn[round(30 * zoom), round(at * zoom)].astype(int) for at in (30, 90))
    assert high[0] > low[0] + 50
    assert high[0] - high[2] > low[0] - low[2]
