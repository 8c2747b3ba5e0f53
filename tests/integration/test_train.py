"""`train --data` on tiny painted slides: settings are searched, and marks of any format end in a model that counts."""

import csv
import json

import pytest
import yaml
from click.testing import CliRunner

from tests.unit.train.small_fields import painted_fields, write_marks
from wsi_patches.cli.main import main
from wsi_patches.models.weights import load_weights
from wsi_patches.synthetic import write_all_idb1
from wsi_patches.train import classifier
from wsi_patches.train.logs import TrainingLog
from wsi_patches.workflows import train_folder

RECIPE = {
    "command": "train",
    "task": "blasts",
    "architecture": "allnet",
    "network": {"widths": [8, 16]},
    "input_px": 32,
    "shares": {"train": 0.5, "validation": 0.25, "test": 0.25},
    "batch_size": 8,
    "augmentation": {"turn": "quarter", "scale": 0, "shift": 0, "blur_px": 0, "noise": 0, "jpeg_share": 0},
    "training": {"epochs": 2, "learning_rate": 0.01, "device": "cpu"},
}
SPACE = {"training.learning_rate": {"low": 0.001, "high": 0.05, "log": True}, "balance": ["none", "weights"]}

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module", autouse=True)
def few_draws():
    """Intervals of tiny sets say nothing, and take most of the time."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(train_folder, "DRAWS", 20)
        yield


@pytest.fixture(scope="module")
def painted(tmp_path_factory):
    """Eight painted fields in the layout of ALL-IDB1."""
    folder = tmp_path_factory.mktemp("painted") / "ALL_IDB1"
    return folder, write_all_idb1(folder, painted_fields(8))


def run(*arguments):
    return CliRunner().invoke(main, [str(one) for one in arguments])


def write_recipe(path, **changes):
    path.write_text(yaml.safe_dump({**RECIPE, **changes}))
    return path


def table(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def tuned(painted, tmp_path_factory):
    """A search of three trials: what it printed, its folder, and how often a final model was asked about a split."""
    folder = tmp_path_factory.mktemp("tuned")
    recipe, asked, ask = write_recipe(folder / "mine.yaml", tune=SPACE), [], classifier.logits_of

    def spy(network, frame, view, device):
        asked.append(len(view))
        return ask(network, frame, view, device)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(classifier, "logits_of", spy)
        done = run("train", recipe, "--data", painted[0], "-o", folder / "out", "--tune", 3)
    assert done.exit_code == 0, done.output
    return done.output, folder / "out", len(asked)


def test_settings_are_searched_on_validation_and_the_best_model_is_the_result(tuned):
    output, out, asked = tuned
    assert asked == 2  # validation and test, of the final model alone
    rows = table(out / "tuning" / "trials.csv")
    assert [row["trial"] for row in rows] == ["0", "1", "2"]
    assert (float(rows[0]["training.learning_rate"]), rows[0]["balance"]) == (0.01, "none")
    best = min(rows, key=lambda row: float(row["validation_loss"]))
    recipe = yaml.safe_load((out / "tuned.yaml").read_text())
    assert recipe["training"]["learning_rate"] == pytest.approx(float(best["training.learning_rate"]))
    assert recipe["balance"] == best["balance"]
    assert "tune" not in recipe
    for line in ("TRIALS, by validation loss", f"* {best['trial']:>4}", "tuned.yaml", "TEST SPLIT"):
        assert line in output
    kept = [folder.name for folder in (out / "tuning").iterdir() if (folder / "checkpoint.pt").exists()]
    assert kept == [f"{int(best['trial']):04d}"]
    assert "the best of 3 trials" in (out / "training.html").read_text()


def test_the_best_recipe_gives_the_same_model_without_a_search(tuned, painted, tmp_path):
    out = tuned[1]

    again = run("train", out / "tuned.yaml", "--data", painted[0], "-o", tmp_path / "again")

    assert again.exit_code == 0, again.output
    assert (tmp_path / "again" / "weights.safetensors").read_bytes() == (out / "weights.safetensors").read_bytes()


def test_a_killed_search_goes_on_to_the_same_trials_and_more_may_be_added(painted, tmp_path, monkeypatch):
    recipe = write_recipe(tmp_path / "mine.yaml")
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(SPACE))
    asked = ("train", recipe, "--data", painted[0], "--tune-space", tmp_path / "space.yaml", "--seed", 4)
    whole = run(*asked, "-o", tmp_path / "whole", "--tune", 3)
    assert whole.exit_code == 0, whole.output

    tell, epochs = TrainingLog.tell, []

    def killed(self, history):
        epochs.append(len(history))
        if len(epochs) == 4:  # in the second epoch of the second trial
            raise KeyboardInterrupt
        tell(self, history)

    with monkeypatch.context() as patched:
        patched.setattr(TrainingLog, "tell", killed)
        assert run(*asked, "-o", tmp_path / "killed", "--tune", 2).exit_code == 130
    assert epochs == [1, 2, 1, 2]
    assert run(*asked, "-o", tmp_path / "killed", "--tune", 3).exit_code == 2  # neither --resume nor --overwrite
    resumed = run(*asked, "-o", tmp_path / "killed", "--tune", 3, "--resume")

    assert resumed.exit_code == 0, resumed.output
    first, second = (tmp_path / name / "tuning" / "trials.csv" for name in ("whole", "killed"))
    assert first.read_text() == second.read_text()
    weights = [tmp_path / name / "weights.safetensors" for name in ("whole", "killed")]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    assert load_weights(weights[0])[1].name == "blasts"
    other = run(*asked, "-o", tmp_path / "killed", "--tune", 3, "--resume", "--epochs", 3)
    assert other.exit_code == 2
    assert "a search of other settings" in other.output
    without = run("train", recipe, "--data", painted[0], "-o", tmp_path / "killed", "--resume")
    assert without.exit_code == 2
    assert "searched with --tune" in without.output


@pytest.mark.parametrize(
    ("space", "flags", "told"),
    [
        (None, (), "`tune:` section, or --tune-space FILE"),
        ({"training.learning_rate": 3}, (), "tune.training.learning_rate must be a list of choices"),
        ({"training.learning_rat": [1]}, (), "training.learning_rat"),
        ({"training.learning_rate": [0.1, 99]}, (), "learning_rate of a training must lie in"),
        ({"shares.train": [0.5, 0.6]}, (), "tune.shares.train cannot be searched"),
        ({"training.epochs": [1, 2]}, ("--epochs", 2), "--epochs sets what tune.training.epochs searches"),
        ({"balance": ["none"]}, ("--tune", 0), "0 trials"),
    ],
)
def test_a_bad_space_is_refused_before_anything_is_read(tmp_path, space, flags, told):
    recipe = write_recipe(tmp_path / "mine.yaml", **({} if space is None else {"tune": space}))
    (tmp_path / "slides").mkdir()

    done = run("train", recipe, "--data", tmp_path / "slides", "-o", tmp_path / "out", "--tune", 2, *flags)

    assert done.exit_code == 2
    assert told in done.output
    assert not (tmp_path / "out").exists()


def test_a_training_that_is_no_mapping_is_refused_whatever_the_flags_say(tmp_path):
    recipe = write_recipe(tmp_path / "mine.yaml", training=3)
    done = run("train", recipe, "--data", tmp_path, "-o", tmp_path / "out", "--epochs", 2)
    assert done.exit_code == 2
    assert "training" in done.output


def test_what_is_tried_is_told_with_how_often(tmp_path):
    done = run("train", "all_idb1_blasts", "--data", tmp_path, "-o", tmp_path / "out", "--tune-space", "a.yaml")
    assert done.exit_code == 2
    assert "--tune N" in done.output
    done = run("train", "demo_cells", "-o", tmp_path / "out", "--tune", 3)
    assert done.exit_code == 2
    assert "takes no --tune" in done.output
    assert "--data" not in done.output.partition("takes no")[2]


@pytest.mark.parametrize("kind", ["geojson", "voc", "coco"])
def test_marks_of_any_format_end_in_a_model_that_counts_blasts(painted, tmp_path, kind):
    folder, truth = painted
    write_marks(tmp_path / "marks", kind, truth)
    recipe = write_recipe(tmp_path / "mine.yaml", training={**RECIPE["training"], "epochs": 1})
    out = tmp_path / "out"

    done = run("train", recipe, "--data", folder / "im", "--annotations", tmp_path / "marks", "-o", out)

    assert done.exit_code == 0, done.output
    card = json.loads((out / "card.json").read_text())
    assert card["classes"] == ["blast", "other"]
    assert "4 slides or fields (a plain folder)" in card["trained_on"]
    for page in ("training.html", "test/evaluation.html", "split.csv", "history.csv"):
        assert (out / page).is_file()

    counted = run(
        "infer", folder / "im" / "Im001_1.jpg", "-o", tmp_path / "counts", "--model", out / "weights.safetensors"
    )

    assert counted.exit_code == 0, counted.output
    (row,) = table(tmp_path / "counts" / "counts.csv")
    assert 0 <= int(row["blasts"]) <= int(row["white_cells"])
    assert row["model"] == "blasts"
