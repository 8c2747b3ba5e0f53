"""What the command line promises: exit codes, one sentence and no traceback, nothing lost."""

import csv
import json
import signal
import subprocess
import sys

import cv2
import numpy as np
import pytest

from wsi_patches.report import COLUMNS


def run_cli(*arguments, cwd=None):
    command = [sys.executable, "-m", "wsi_patches", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    return done


def read_table(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "field.png"
    cv2.imwrite(str(path), np.full((300, 400, 3), 220, np.uint8))
    return path


@pytest.fixture
def batch(tmp_path, picture):
    """Two good slides, an empty file, a text named .svs, and a slide that was cut short."""
    folder = tmp_path / "batch"
    folder.mkdir()
    for name in ("good_1.png", "good_2.png"):
        (folder / name).write_bytes(picture.read_bytes())
    (folder / "empty.svs").touch()
    (folder / "text.svs").write_text("this is no slide\n" * 50)
    jpeg = cv2.imencode(".jpg", np.random.default_rng(1).integers(0, 256, (400, 400, 3), np.uint8))[1].tobytes()
    (folder / "short.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    return folder


@pytest.mark.parametrize("command", ["extract", "infer"])
def test_bad_slides_fail_alone_with_a_sentence_each(batch, tmp_path, command):
    out = tmp_path / ("out.zarr" if command == "extract" else "out")
    done = run_cli(command, batch, "-o", out, "--json")
    assert done.returncode == 1
    slides = {one["slide_id"]: one for one in json.loads(done.stdout.splitlines()[-1])["slides"]}
    assert {name: one["status"] for name, one in slides.items()} == {
        "empty": "failed",
        "good_1": "done",
        "good_2": "done",
        "short": "failed",
        "text": "failed",
    }
    for name in ("empty", "short", "text"):
        assert len(slides[name]["error"].split()) > 4
        assert f"failed: {name}: " in done.stderr


def test_infer_tells_each_slide_in_a_line_of_its_own(batch, tmp_path):
    done = run_cli("infer", batch, "-o", tmp_path / "out", "--json")

    *slides, summary = map(json.loads, done.stdout.splitlines())

    assert {one["slide_id"]: one["status"] for one in slides} == {
        one["slide_id"]: one["status"] for one in summary["slides"]
    }
    assert all(one["error"] if one["status"] == "failed" else one["white_cells"] for one in slides)
    assert (summary["counts"], summary["groups"]) == (str(tmp_path / "out" / "counts.csv"), None)


def take_interrupts():
    """Let a child take Ctrl-C: what a shell runs in the background, such as these tests, ignores it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_a_run_that_is_stopped_leaves_what_is_done_and_goes_on(tmp_path, picture):
    folder = tmp_path / "fields"
    folder.mkdir()
    for number in range(40):
        (folder / f"field_{number:02}.png").write_bytes(picture.read_bytes())
    out = tmp_path / "out"
    words = [sys.executable, "-m", "wsi_patches", "infer", str(folder), "-o", str(out)]
    asked = [*words, "--json", "--workers", "1"]
    pipe = subprocess.PIPE
    running = subprocess.Popen(asked, stdout=pipe, stderr=pipe, text=True, preexec_fn=take_interrupts)
    first = json.loads(running.stdout.readline())
    running.send_signal(signal.SIGINT)
    _, told = running.communicate(timeout=60)

    assert (running.returncode, first["status"]) == (130, "done"), told
    assert "go on with --resume" in told
    rows = read_table(out / "counts.csv")
    assert 1 <= len(rows) < 40
    assert [row["slide_id"] for row in rows] == sorted(row["slide_id"] for row in rows)
    assert all((out / row["slide_id"] / "report.json").is_file() for row in rows)
    subprocess.run([*words, "--resume", "-q"], check=True)
    assert len(read_table(out / "counts.csv")) == 40


def test_a_truncated_svs_fails_alone(shared_data, tmp_path):
    broken = shared_data / "corrupt" / "svs" / "derived_cmu_truncated_60pct.svs"
    good = shared_data / "bccd" / "images" / "BloodImage_00001.jpg"
    done = run_cli("infer", broken, good, "-o", tmp_path / "out")
    assert done.returncode == 1
    rows = read_table(tmp_path / "out" / "counts.csv")
    assert [(row["slide_id"], row["status"]) for row in rows] == [
        ("derived_cmu_truncated_60pct", "failed"),
        ("BloodImage_00001", "done"),
    ]
    assert rows[0]["error"]
    assert rows[0]["white_cells"] == ""


def test_the_table_has_the_promised_columns(picture, tmp_path):
    done = run_cli("infer", picture, "-o", tmp_path / "out")
    assert done.returncode == 0
    assert done.stdout.count("blasts cannot be told") == 1
    (row,) = read_table(tmp_path / "out" / "counts.csv")
    assert list(row) == list(COLUMNS)
    assert (row["white_cells"], row["blasts"], row["status"]) == ("0", "", "done")
    names = {file.name for file in (tmp_path / "out" / "field").iterdir()}
    assert names == {"cells.csv", "cells.geojson", "overlay.png", "report.html", "report.json"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["extract", "nowhere.svs", "-o", "a.zarr"], "does not exist"),
        (["extract", "{picture}", "-o", "a.zarr", "--colour"], "No such option"),
        (["extract", "{picture}", "-o", "a.zarr", "--mpp", "0.5"], "--slide-mpp"),
        (["extract", "{picture}", "-o", "a.zarr", "--magnification", "20"], "--slide-mpp"),
        (["extract", "{picture}", "-o", "a.zarr", "--level", "3"], "levels 0 to 0"),
        (["extract", "{picture}", "-o", "a.zarr", "--overlap", "1.5"], "found 1.5"),
        (["extract", "{picture}", "-o", "a.zarr", "--overlap", "0.5", "--stride", "3"], "not both"),
        (["extract", "{picture}", "-o", "{picture}"], "is a file"),
        (["extract", "{picture}", "-o", "a.zarr", "--workers", "0"], "found 0"),
        (["extract", "{picture}"], "say with -o"),
        (["extract", "-o", "a.zarr"], "no INPUT"),
        (["infer", "{picture}", "-o", "out", "--model", "nobody"], "painted-cells-lbp"),
        (["infer", "{picture}", "-o", "out", "--slide-mpp", "-1"], "found -1"),
        (["extract", "{picture}", "-o", "{picture}/a.zarr"], "cannot be made"),
        (["infer", "{picture}", "-o", "{picture}/out"], "cannot be made"),
        (["verify", "{picture}"], "no store"),
        (["run", "nobody"], "demo"),
        (["frobnicate"], "No such command"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage_is_exit_code_2_and_writes_nothing(picture, tmp_path, arguments, message):
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    done = run_cli(*(argument.format(picture=picture) for argument in arguments), cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before


def test_an_existing_output_is_refused_by_both(picture, tmp_path):
    for command, out in (("extract", tmp_path / "a.zarr"), ("infer", tmp_path / "out")):
        options = ["--edge", "pad"] if command == "extract" else []
        assert run_cli(command, picture, "-o", out, *options).returncode == 0
        again = run_cli(command, picture, "-o", out, *options)
        assert again.returncode == 2
        assert "--resume" in again.stderr
        assert "--overwrite" in again.stderr
        assert run_cli(command, picture, "-o", out, "--resume", *options).returncode == 0
        assert run_cli(command, picture, "-o", out, "--overwrite", *options).returncode == 0


def test_recipes_are_checked_with_the_path_of_each_wrong_key(picture, tmp_path):
    recipe = tmp_path / "r.yaml"
    recipe.write_text("command: extract\npatch_sise: 64\noverlap: many\n")
    done = run_cli("extract", picture, "-o", tmp_path / "a.zarr", "--recipe", recipe)
    assert done.returncode == 2
    assert "patch_sise" in done.stderr
    assert "overlap" in done.stderr
    recipe.write_text("command: infer\n")
    assert "wsi-patches run" in run_cli("extract", picture, "-o", tmp_path / "a.zarr", "--recipe", recipe).stderr
    recipe.write_text("!!python/object/apply:os.system ['touch owned']\n")
    assert run_cli("extract", picture, "-o", tmp_path / "a.zarr", "--recipe", recipe, cwd=tmp_path).returncode == 2
    assert not (tmp_path / "owned").exists()
    recipe.write_text("pipeline: ../evil\n")
    assert run_cli("run", recipe, "-o", tmp_path / "o").returncode == 2


def test_flags_win_over_a_recipe(picture, tmp_path):
    recipe = tmp_path / "r.yaml"
    recipe.write_text("command: extract\npatch_size: 64\noverlap: 0.5\n")
    done = run_cli("extract", picture, "-o", tmp_path / "a.zarr", "--recipe", recipe, "--stride", "64", "--json")
    assert json.loads(done.stdout)["patches"] == 7 * 5


def test_slide_mpp_states_what_the_file_does_not(picture, tmp_path):
    done = run_cli(
        "extract", picture, "-o", tmp_path / "a.zarr", "--mpp", "0.5", "--slide-mpp", "0.25", "--patch-size", "64"
    )
    assert done.returncode == 0, done.stderr
    told = run_cli("inspect", tmp_path / "a.zarr", "--json")
    assert json.loads(told.stdout)["read at"] == "0.5 um per pixel"


def test_dry_run_writes_nothing(picture, tmp_path):
    done = run_cli("extract", picture, "-o", tmp_path / "a.zarr", "--dry-run", "--patch-size", "64")
    assert done.returncode == 0
    assert "patches: 35" in done.stdout
    assert not (tmp_path / "a.zarr").exists()


def test_ids_from_file_names_stay_inside_of_the_output(picture, tmp_path):
    folder = tmp_path / "odd"
    folder.mkdir()
    names = ("...png", "counts.csv.png", "run.jsonl.png", "report.html.png")
    for name in names:
        (folder / name).write_bytes(picture.read_bytes())
    done = run_cli("infer", *(folder / name for name in names), "-o", tmp_path / "out")
    assert done.returncode == 0
    made = {one.name: one.is_dir() for one in (tmp_path / "out").iterdir() if one.name != ".lock"}
    folders = dict.fromkeys(["_..", "_counts.csv", "_run.jsonl", "_report.html"], True)
    assert made == {**folders, "counts.csv": False, "run.jsonl": False, "report.html": False}
    assert (tmp_path / "out" / "counts.csv").is_file()


def test_verify_and_inspect(picture, tmp_path):
    assert run_cli("extract", picture, "-o", tmp_path / "a.zarr").returncode == 0
    sound = run_cli("verify", tmp_path / "a.zarr")
    assert (sound.returncode, "sound" in sound.stdout) == (0, True)
    shard = next(file for file in (tmp_path / "a.zarr").glob("parts/*/images/c/**/0") if file.is_file())
    shard.write_bytes(shard.read_bytes()[:-40])
    assert run_cli("verify", tmp_path / "a.zarr").returncode == 1
    assert run_cli("inspect", tmp_path / "nowhere").returncode == 2
    assert "photograph" not in run_cli("inspect", picture).stdout
    assert "300" in run_cli("inspect", picture).stdout
