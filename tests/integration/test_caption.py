"""Captions learnt from painted attributes by a tiny BLIP's adapters, and asked for from the command line."""

import csv
import json
import shutil

import cv2
import numpy as np
import pytest
import yaml
from click.testing import CliRunner

from tests.conftest import ROOT
from tests.tiny_blip import write_tiny_blip
from wsi_patches.cli.main import main
from wsi_patches.workflows.extract import ExtractSettings, extract

pytestmark = pytest.mark.usefixtures("one_thread")

COUNT, SIDE = 72, 32
SMALLER = {
    "lora": {"rank": 8, "alpha": 32.0, "dropout": 0.0, "targets": ["query", "key", "value", "dense"]},
    "training": {"epochs": 16, "learning_rate": 0.02, "weight_decay": 0.0, "device": "cpu"},
    "batch_size": 12,
}


def cli(*arguments):
    return CliRunner().invoke(main, [*map(str, arguments)])


def write_cells(folder, rng):
    """Paint large and small cells with little or much dark, one picture each, and a table that says so."""
    rows = ["image,cell_size,cytoplasmic_basophilia,type"]
    folder.mkdir()
    for number in range(COUNT):
        large, dark = number % 2, number // 2 % 2
        pixels = rng.normal(225, 6, (SIDE, SIDE, 3))
        y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2 + rng.normal(0, 1, (2, 1, 1))
        pixels[np.hypot(x, y) < (13 if large else 6)] -= 160 if dark else 60
        cv2.imwrite(str(folder / f"c{number:02d}.png"), np.clip(pixels, 0, 255).astype(np.uint8))
        rows.append(f"c{number:02d}.png,{('small', 'large')[large]},{('slight', 'moderate')[dark]},")
    (folder.parent / "table.csv").write_text("\n".join(rows) + "\n")


def recipe_of(folder, **values):
    """Write the shipped recipe with what makes it small."""
    shipped = yaml.safe_load((ROOT / "configs" / "hemblip.yaml").read_text(encoding="utf-8"))
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump({**shipped, **SMALLER, **values}), encoding="utf-8")
    return path


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a store, captions exported from it, a tiny BLIP, and adapters trained on the captions."""
    folder = tmp_path_factory.mktemp("caption")
    write_tiny_blip(folder / "blip")
    write_cells(folder / "pictures", np.random.default_rng(2))
    extract(ExtractSettings((folder / "pictures",), folder / "cells.zarr", patch_size=SIDE, fsync=False))
    asked = ("--format", "captions", "--attributes", folder / "table.csv")
    done = cli("export", folder / "cells.zarr", "-o", folder / "captions", *asked)
    assert done.exit_code == 0, done.output
    start = ("--data", folder / "captions", "--start", folder / "blip")
    done = cli("train", recipe_of(folder), *start, "-o", folder / "trained")
    assert done.exit_code == 0, done.output
    return folder, done.output


def test_captions_learnt_from_attributes_are_those_of_pictures_that_were_held_back(made):
    folder, output = made
    scores = json.loads((folder / "trained" / "card.json").read_text())["scores"]
    assert scores["word_f1"] > 0.9 > 0.7 > scores["word_f1_commonest"]
    assert scores["test_loss"] < scores["test_loss_shuffled"] - 0.2
    assert "always the commonest caption" in output
    said = rows_of(folder / "trained" / "test_captions.csv")
    right = [("large" in row["caption"]) == ("large" in row["said"]) for row in said]
    assert np.mean(right) > 0.9


def test_shuffled_pairs_teach_nothing_of_pictures(made, tmp_path):
    folder, _ = made
    lines = [json.loads(one) for one in (folder / "captions" / "metadata.jsonl").read_text().splitlines()]
    texts = np.random.default_rng(0).permutation([one["text"] for one in lines]).tolist()
    (tmp_path / "captions").mkdir()
    shutil.copytree(folder / "captions" / "images", tmp_path / "captions" / "images")
    shuffled = [json.dumps({**one, "text": text}) for one, text in zip(lines, texts, strict=True)]
    (tmp_path / "captions" / "metadata.jsonl").write_text("\n".join(shuffled))
    start = ("--data", tmp_path / "captions", "--start", folder / "blip")
    done = cli("train", recipe_of(tmp_path), *start, "-o", tmp_path / "trained")
    assert done.exit_code == 0, done.output
    true, chance = (json.loads((one / "trained" / "card.json").read_text())["scores"] for one in (folder, tmp_path))
    assert true["word_f1"] > chance["word_f1"] + 0.2
    assert true["test_loss"] < chance["test_loss"] - 0.1


def test_caption_says_it_of_a_store_and_of_pictures_and_which_weights_said_it(made, tmp_path):
    folder, _ = made
    with_lora = ("--model", folder / "blip", "--lora", folder / "trained" / "adapter")
    done = cli("caption", folder / "cells.zarr", *with_lora, "-o", tmp_path / "said")
    assert done.exit_code == 0, done.output
    rows = rows_of(tmp_path / "said" / "captions.csv")
    assert len(rows) == COUNT
    right = sum(("large" in row["text"]) == (int(row["slide"][1:]) % 2 == 1) for row in rows)
    assert right > 0.9 * COUNT
    about = json.loads((tmp_path / "said" / "captions.json").read_text())
    assert about["lora_sha256"] == json.loads((folder / "trained" / "card.json").read_text())["adapter_sha256"]
    plain = cli(
        "caption", folder / "pictures" / "c03.png", "--model", folder / "blip", "-o", tmp_path / "one", "--json"
    )
    assert plain.exit_code == 0, plain.output
    told = json.loads(plain.output)
    assert (told["captions"], told["lora_sha256"], told["model_sha256"]) == (1, None, about["model_sha256"])


def test_what_cannot_be_is_refused_in_a_sentence(made, tmp_path):
    folder, _ = made
    out = ("-o", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.png").write_bytes(b"no picture")
    captions = ("--data", folder / "captions")
    for name, content in (("latin", b"\xff\xfe"), ("nul", b'{"file_name": "a\\u0000", "text": "b"}')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "metadata.jsonl").write_bytes(content)
    blip = ("--start", folder / "blip")
    both = (folder / "cells.zarr", folder / "pictures")
    wrong = [
        (("caption", *both, "--model", folder / "blip", *out), "is a store: give one store, or pictures"),
        (("train", "hemblip", "--data", tmp_path / "latin", *blip, *out), "cannot be read as text in UTF-8"),
        (("train", "hemblip", "--data", tmp_path / "nul", *blip, *out), "line 1: expected an object with file_name"),
        (("caption", folder / "cells.zarr", *out), "no model was given"),
        (("caption", folder / "cells.zarr", "--model", "Salesforce/blip", *out), "nothing is fetched"),
        (("caption", tmp_path / "empty", "--model", folder / "blip", *out), "there is nothing to caption"),
        (("caption", tmp_path / "nowhere.png", "--model", folder / "blip", *out), "does not exist"),
        (("caption", tmp_path / "broken.png", "--model", folder / "blip", *out), "cannot be read as a picture"),
        (("train", "hemblip", *captions, *out), "--start"),
        (("train", "hemblip", "--data", tmp_path / "empty", "--start", folder / "blip", *out), "metadata.jsonl"),
    ]
    for arguments, said in wrong:
        done = cli(*arguments)
        assert done.exit_code == 2, (arguments, done.output)
        assert said in done.output.replace("\n", " "), done.output
        assert "Traceback" not in done.output
    again = cli("caption", folder / "cells.zarr", "--model", folder / "blip", "-o", folder / "trained")
    assert again.exit_code == 2
    assert "something else than captions" in again.output


def test_a_picture_outside_of_the_folder_is_refused(made, tmp_path):
    folder, _ = made
    (tmp_path / "metadata.jsonl").write_text(json.dumps({"file_name": "../secret.png", "text": "a cell"}))
    done = cli("train", "hemblip", "--data", tmp_path, "--start", folder / "blip", "-o", tmp_path / "out")
    assert done.exit_code == 2
    assert "line 1: ../secret.png is not a picture beside it" in done.output
