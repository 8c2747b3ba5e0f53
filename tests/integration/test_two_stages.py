"""ALLNet and HistoTNet by their recipes, small: tissue is learnt first, then cells from what was learnt of tissue."""

import csv

import pytest
import torch
import yaml
from click.testing import CliRunner

from tests.conftest import ROOT
from tests.painted_sets import write_all_idb2
from tests.painted_tissue import write_tissue
from wsi_patches.cli.main import main
from wsi_patches.models.card import LabelCard, ModelCard
from wsi_patches.models.weights import load_trained
from wsi_patches.workflows import train_folder, train_labels

TISSUE = {"level": None, "labels": ["E", "C", "A"], "crop_px": None, "input_px": 32}
ALLNET = {"network": {"depth": 18, "widths": [8, 16]}}
CELLS = {"input_px": 32, "patch_cell_diameters": 1.5, "batch_size": 16}


@pytest.fixture(scope="module", autouse=True)
def quick():
    """One thread, as many test processes share the machine, and few draws: intervals of tiny sets say nothing."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(train_folder, "DRAWS", 10)
        patched.setattr(train_labels, "DRAWS", 10)
        yield
    torch.set_num_threads(threads)


def small(folder, name, epochs, **changes):
    """Write a shipped recipe with some settings changed; return where."""
    recipe = yaml.safe_load((ROOT / "configs" / f"{name}.yaml").read_text(encoding="utf-8")) | changes
    recipe["training"] |= {"epochs": epochs, "device": "cpu"}
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return path


def run(*arguments):
    return CliRunner().invoke(main, [str(one) for one in arguments])


def trained(*arguments):
    done = run("train", *arguments, "-q")
    assert done.exit_code == 0, done.output
    return arguments[-1]


def figure(out, name):
    with (out / "test" / "metrics.csv").open(encoding="utf-8") as stream:
        return next(float(row["value"]) for row in csv.DictReader(stream) if row["metric"] == name)


@pytest.fixture(scope="module")
def tissue(tmp_path_factory):
    """A small ALLNet that learnt painted tissue, by the recipe's own settings otherwise."""
    folder = tmp_path_factory.mktemp("tissue")
    data = write_tissue(folder / "ADP", slides=15, patches=12)
    return trained(small(folder, "allnet_adp", 8, **TISSUE, **ALLNET), "--data", data, "-o", folder / "out")


def test_the_first_stage_leaves_weights_that_say_what_they_are(tissue):
    _, card, _ = load_trained(tissue / "weights.safetensors")

    assert isinstance(card, LabelCard)
    assert card.classes == ("E", "C", "A")
    assert len(set(card.mean)) == len(set(card.std)) == 1
    assert card.scores["test_one_minus_hamming"] == pytest.approx(figure(tissue, "one_minus_hamming"), abs=1e-5)
    assert card.scores["test_one_minus_hamming"] > 0.75
    assert (tissue / "test" / "per_label.csv").read_text(encoding="utf-8").splitlines()[1].startswith("E,")
    assert "Each label" in (tissue / "test" / "evaluation.html").read_text(encoding="utf-8")


def test_no_slide_is_counted_with_them(tissue, tmp_path):
    write_all_idb2(tmp_path / "slides", count=2)
    model = ("--model", tissue / "weights.safetensors")
    for method in ("cells", "patches", "detector"):
        done = run("infer", tmp_path / "slides", "--method", method, *model, "-o", tmp_path / "out")
        assert done.exit_code == 2
        assert "tells the labels of tissue, and no cells" in done.output


def test_the_second_stage_goes_on_from_them_with_a_last_layer_of_its_own(tissue, tmp_path):
    data = write_all_idb2(tmp_path / "cells", count=24)
    recipe = small(tmp_path, "allnet", 1, **CELLS, **ALLNET)
    out = trained(recipe, "--data", data, "--start", tissue / "weights.safetensors", "-o", tmp_path / "out")
    before, first, _ = load_trained(tissue / "weights.safetensors")
    after, card, _ = load_trained(out / "weights.safetensors")

    assert isinstance(card, ModelCard)
    assert card.classes == ("blast", "other")
    assert (card.mean, card.std) == (first.mean, first.std)
    assert "trained from weights.safetensors with sgd" in card.changes
    fixed = [name for name in before if name.endswith((".conv1.1.weight", ".conv2.1.weight"))]
    assert fixed
    assert all(torch.equal(before[name], after[name]) for name in fixed)
    assert not torch.equal(before["conv1.weight"], after["conv1.weight"])
    assert after["fc.weight"].shape == (2, 16)


def test_as_published_colours_stay_and_single_cells_are_split(tissue, tmp_path):
    data = write_all_idb2(tmp_path / "cells", count=24)
    literal = {"normalisation": "none", "by": "slide", "shares": {"train": 0.4, "validation": 0.1, "test": 0.5}}
    literal |= {"crop_px": 80, "padding": "black"}
    recipe = small(tmp_path, "allnet", 1, watched="accuracy", **literal, **CELLS, **ALLNET)
    settings = yaml.safe_load(recipe.read_text())
    settings["training"] |= {"ties": "later", "decay": "all"}
    settings["augmentation"] |= {"border": "black"}
    recipe.write_text(yaml.safe_dump(settings))
    out = trained(recipe, "--data", data, "--start", tissue / "weights.safetensors", "-o", tmp_path / "out")
    card = load_trained(out / "weights.safetensors")[1]

    assert (card.mean, card.std) == ((0, 0, 0), (1, 1, 1))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "changes"), [("allnet", ALLNET), ("histotnet", {"input_px": 64})], ids=["allnet", "histotnet"]
)
def test_cells_are_learnt_and_nothing_from_labels_dealt_by_chance(name, changes, tmp_path):
    recipe = small(tmp_path, name, 8, **CELLS | changes)
    figures = []
    for shuffled in (False, True):
        data = write_all_idb2(tmp_path / f"cells{shuffled}", count=120, shuffled=shuffled)
        out = trained(recipe, "--data", data, "-o", tmp_path / f"out{shuffled}")
        figures.append(figure(out, "macro_roc_auc"))

    assert figures[0] > 0.8
    assert figures[0] > figures[1] + 0.2


@pytest.mark.slow
def test_histotnets_resnet_learns_tissue_and_nothing_from_labels_dealt_by_chance(tmp_path):
    shares = {"train": 0.5, "validation": 0.2, "test": 0.3}
    recipe = small(tmp_path, "histotnet_adp", 8, **TISSUE, shares=shares, batch_size=16)
    figures = []
    for shuffled in (False, True):
        data = write_tissue(tmp_path / f"ADP{shuffled}", slides=20, patches=8, shuffled=shuffled)
        out = trained(recipe, "--data", data, "-o", tmp_path / f"out{shuffled}")
        figures.append(figure(out, "one_minus_hamming"))

    assert figures[0] > 0.75
    assert figures[1] < 0.65


@pytest.mark.slow
def test_six_convolutions_learn_tissue_then_cells(tmp_path):
    changes = {"architecture": "six_conv", "input_px": 224, "batch_size": 4}
    adp = write_tissue(tmp_path / "ADP", slides=5, patches=2, side_px=224)
    first = trained(small(tmp_path, "histotnet_adp", 1, **TISSUE | changes), "--data", adp, "-o", tmp_path / "tissue")
    cells = write_all_idb2(tmp_path / "cells", count=24)
    recipe = small(tmp_path, "histotnet", 1, **CELLS | changes)
    out = trained(recipe, "--data", cells, "--start", first / "weights.safetensors", "-o", tmp_path / "out")
    state, card, _ = load_trained(out / "weights.safetensors")

    assert card.architecture == "six_conv"
    assert state["fc.weight"].shape == (2, 512)
