"""`effect` on painted cells: pairing is real, halves are kept whole, and what a store holds is what is compared."""

import csv
import json

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from tests.painted_sets import painted_cells, write_class_folders
from wsi_patches.cli.main import main
from wsi_patches.errors import ModelError, OutputExists, StoreError, UsageError
from wsi_patches.imaging.sharpen import SharpenSettings, sharpen_adaptively
from wsi_patches.stores import open_store
from wsi_patches.train.engine_settings import EngineSettings
from wsi_patches.workflows.effect import measure_step
from wsi_patches.workflows.effect_patches import halve, store_patches
from wsi_patches.workflows.effect_settings import EffectSettings
from wsi_patches.workflows.extract import ExtractSettings, extract
from wsi_patches.workflows.preprocess import PreprocessSettings, preprocess

SIDE = 64
SOFT = 5.0
"""Painted cells score above it."""
NEVER = 100.0
"""Nothing but a flat patch does."""
FEW = EngineSettings(epochs=4, optimizer="adamw", learning_rate=3e-3, schedule="constant")
SMALL = {"patch_px": SIDE, "input_px": 32, "repetitions": 2, "draws": 40, "device": "cpu"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Painted cells of twenty patients, of which every other picture is blurred."""
    path = write_class_folders(tmp_path_factory.mktemp("cells") / "set", count=60, side_px=SIDE, seed=4)
    for number, picture in enumerate(sorted(path.rglob("*.png"))):
        if number % 2:
            cv2.imwrite(str(picture), cv2.GaussianBlur(cv2.imread(str(picture)), (0, 0), 2.0))
        picture.rename(picture.with_name(f"P{number // 3}_{picture.name}"))
    return path


@pytest.fixture(scope="module")
def store(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("store") / "cells.zarr"
    made = extract(ExtractSettings((folder,), out, patch_size=SIDE, group_pattern="^(?P<patient>P[0-9]+)_")).out
    preprocess(PreprocessSettings(made, sharpen=SOFT))
    return made


def by_name(result):
    return {one.name: one for one in result.figures}


def test_patches_that_no_step_changes_differ_by_exactly_nothing(folder, tmp_path):
    done = measure_step(EffectSettings(folder, tmp_path / "out", NEVER, **SMALL))
    assert done.changed == 0
    for one in done.figures:
        assert (one.difference.value, one.difference.low, one.difference.high) == (0.0, 0.0, 0.0)
    assert any("changed no patch" in told for told in done.warnings)


def test_a_network_that_is_trained_on_the_same_patches_says_the_same(folder, tmp_path):
    """Same first weights, same batches, same turns: only the step can make a difference."""
    few = {**SMALL, "repetitions": 1, "training": EngineSettings(epochs=1, optimizer="sgd", learning_rate=1e-2)}
    settings = EffectSettings(
        folder, tmp_path / "out", NEVER, network="allnet", how="tuned", pretrained=False, **few
    )  # fmt: skip
    done = measure_step(settings)
    assert by_name(done)["accuracy"].difference == by_name(done)["balanced_accuracy"].difference
    assert by_name(done)["accuracy"].difference.value == 0.0


def test_both_arms_are_asked_of_the_same_patches(folder, tmp_path):
    done = measure_step(EffectSettings(folder, tmp_path / "out", SOFT, **SMALL))
    assert done.changed > 20
    with (tmp_path / "out" / "predictions.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["repetition"] for row in rows} == {"1", "2"}
    assert all(row["without"] != "-1" and row["with"] != "-1" for row in rows)
    right = [[row["truth"] == row[arm] for row in rows if row["repetition"] == "1"] for arm in ("without", "with")]
    figures = by_name(done)["accuracy"]
    np.testing.assert_allclose(figures.values[:, 0], np.mean(right, axis=1))


def test_what_a_store_holds_is_what_is_compared(store, tmp_path):
    patches, step = store_patches(store, None, tmp_path)
    images, rows = np.asarray(patches.images), np.arange(len(patches))
    expected = sharpen_adaptively(images, SharpenSettings(SOFT), precision="float32").images
    kept = step("sharpened")(rows, images)
    assert np.array_equal(kept, expected)
    assert not np.array_equal(kept, images)
    some = np.array([5, 3, 40])
    assert np.array_equal(step("sharpened")(some, images[some]), expected[some])
    with pytest.raises(StoreError, match="no complete derived colour"):
        step("colour")
    with pytest.raises(UsageError, match=r"derived focus of .* holds no images"):
        step("focus")
    with pytest.raises(UsageError, match="no step 'cellmask': choose sharpened or colour"):
        step("cellmask")


def test_a_store_and_its_sharpening_here_give_the_same(store, tmp_path):
    kept = measure_step(EffectSettings(store, tmp_path / "kept", **SMALL))
    here = measure_step(EffectSettings(store, tmp_path / "here", SOFT, **SMALL))
    assert kept.changed == here.changed > 20
    assert [one.values.tolist() for one in kept.figures] == [one.values.tolist() for one in here.figures]
    assert kept.group_kind == "patient"
    assert kept.groups == len({record.group for record in open_store(store).slides})


def test_halves_keep_patients_whole_and_are_drawn_anew(store, tmp_path):
    patches, _ = store_patches(store, None, tmp_path)
    halves = halve(patches, None, 6, 0)
    assert halves.by == "patient"
    assert not halves.warnings
    for train in halves.train:
        assert not set(patches.groups[train]) & set(patches.groups[~train])
        assert abs(int(train.sum()) - len(train) / 2) < len(train) / 5
    assert len({train.tobytes() for train in halves.train}) > 3
    loose = halve(patches, "none", 6, 0)
    assert any(set(patches.groups[train]) & set(patches.groups[~train]) for train in loose.train)
    assert "nothing was kept together" in loose.warnings[0]


@pytest.mark.parametrize("by", ["patient", "slide", "none"])
def test_intervals_are_over_patients_however_patches_are_halved(store, tmp_path, by):
    patches, _ = store_patches(store, None, tmp_path)
    halves = halve(patches, by, 2, 0)
    assert halves.group_kind == "patient"
    assert len(np.unique(halves.groups)) == len({record.group for record in open_store(store).slides})


def test_patches_of_one_slide_are_one_sample_where_no_patient_is_known(tmp_path):
    images, _ = painted_cells(12, SIDE)
    for name, some in (("blast", images[:6]), ("other", images[6:])):
        (tmp_path / "set" / name).mkdir(parents=True)
        for number, pair in enumerate(np.split(some, 3)):
            cv2.imwrite(str(tmp_path / "set" / name / f"{number}.png"), np.concatenate(pair, axis=1))
    made = extract(ExtractSettings((tmp_path / "set",), tmp_path / "cells.zarr", patch_size=SIDE)).out
    patches, _ = store_patches(made, None, tmp_path)
    halves = halve(patches, "none", 2, 0)
    assert (len(patches), len(np.unique(halves.groups))) == (12, 6)
    assert halves.group_kind == "picture or slide"


def test_what_cannot_be_done_anew_stays_as_it_was(folder, tmp_path):
    out = tmp_path / "out"
    measure_step(EffectSettings(folder, out, NEVER, **SMALL))
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    wrong = {"network": "resnet50", "how": "tuned"}, {"weights": tmp_path / "absent.pth"}, {"repetitions": 3, "by": "x"}
    for more in wrong:
        with pytest.raises((UsageError, ModelError)):
            measure_step(EffectSettings(folder, out, NEVER, overwrite=True, **{**SMALL, **more}))
        assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_a_run_that_was_killed_while_it_read_is_begun_anew_without_a_word(folder, tmp_path):
    left = set()

    def look(*_told):
        left.update(path.name for path in (tmp_path / "whole").iterdir() if path.is_dir())

    measure_step(EffectSettings(folder, tmp_path / "whole", NEVER, **SMALL), look)
    assert left
    for name in left:
        (tmp_path / "killed" / name).mkdir(parents=True)
    assert measure_step(EffectSettings(folder, tmp_path / "killed", NEVER, **SMALL)).changed == 0


def test_weights_are_not_told_twice(folder, tmp_path):
    settings = EffectSettings(folder, tmp_path / "out", NEVER, network="mine.yaml", weights=tmp_path, **SMALL)
    with pytest.raises(UsageError, match=r"mine.yaml says which weights .* leave --weights"):
        measure_step(settings)


def test_a_network_is_tuned_and_what_is_done_is_not_done_again(folder, tmp_path):
    settings = EffectSettings(
        folder, tmp_path / "out", SOFT, network="allnet", how="tuned", pretrained=False,
        **{**SMALL, "training": FEW, "repetitions": 1},
    )  # fmt: skip
    epochs = []
    first = measure_step(settings, lambda done, total: epochs.append((done, total)))
    assert epochs == [(number, 8) for number in range(1, 9)]
    assert [one.name for one in first.figures] == ["accuracy", "balanced_accuracy"]
    left = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert left == ["effect.csv", "effect.html", "predictions.csv", "repetitions.csv", "runs", "settings.json"]
    (tmp_path / "out" / "runs" / "0-with.npy").unlink()
    epochs.clear()
    with pytest.raises(OutputExists):
        measure_step(settings)
    with pytest.raises(UsageError, match="was begun with another halves, seed"):
        measure_step(EffectSettings(**{**vars(settings), "resume": True, "seed": 1}))
    again = measure_step(EffectSettings(**{**vars(settings), "resume": True}), lambda *told: epochs.append(told))
    assert epochs == [(number, 8) for number in range(5, 9)]
    assert np.array_equal(first.figures[0].values, again.figures[0].values)


def test_what_cannot_be_compared_is_said_before_any_work(folder, tmp_path):
    with pytest.raises(UsageError, match=r"is no store that holds a step: give the focus score .* --sharpen"):
        measure_step(EffectSettings(folder, tmp_path / "out", **SMALL))
    with pytest.raises(UsageError, match="resnet50 has no weights here to start from"):
        measure_step(EffectSettings(folder, tmp_path / "out", SOFT, network="resnet50", how="tuned"))
    with pytest.raises(UsageError, match=r"repetitions must lie in 1..1000"):
        EffectSettings(folder, tmp_path / "out", repetitions=0)


def test_the_command_prints_the_table(folder, tmp_path):
    (tmp_path / "small.yaml").write_text("command: effect\npatch_px: 64\ninput_px: 32\nrepetitions: 7\n")
    words = [
        "effect",
        str(folder),
        "-o",
        str(tmp_path / "out"),
        "--sharpen",
        "5",
        "--recipe",
        str(tmp_path / "small.yaml"),
    ]
    more = ["--repetitions", "2", "--draws", "20", "--by", "none", "--device", "cpu"]
    done = CliRunner().invoke(main, [*words, *more, "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.output)
    assert set(told["figures"]) == {"accuracy", "balanced_accuracy", "rank_5"}
    assert len((tmp_path / "out" / "repetitions.csv").read_text().splitlines()) == 1 + 2 * 3
    assert told["figures"]["accuracy"]["low"] <= told["figures"]["accuracy"]["value"]
    assert "flatter" in " ".join(told["warnings"])
    table = CliRunner().invoke(main, [*words, *more, "--overwrite", "-q"])
    assert (table.exit_code, table.output) == (0, "")
