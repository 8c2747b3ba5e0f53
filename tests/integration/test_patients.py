"""Counts of types into labels of patients: learnt, measured on patients left out, applied, and how sure that is."""

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from tests.painted_diagnoses import TYPES, confused, read_rows, write_counts, write_table, write_types
from wsi_patches.cli.main import main
from wsi_patches.models.patient_labels import PatientCard, PatientModel
from wsi_patches.report import read_types
from wsi_patches.synthetic import PAINTED_DIAGNOSES
from wsi_patches.train.diagnosis import DiagnosisSettings, Patients, Way, cross_predicted
from wsi_patches.workflows.train_diagnosis import _ways as ways_of

SHARES = {name: np.array(shares) for name, shares in PAINTED_DIAGNOSES.items()}
QUICK = "command: train\ntask: diagnosis\nname: quick\nfolds: 4\ndraws: 60\nlearnt_draws: 6\nresamples: 10\n"


def run(*arguments):
    return CliRunner().invoke(main, [str(one) for one in arguments])


def train(counts, out, more="", labels=None):
    recipe = out.parent / f"{out.name}.yaml"
    recipe.write_text(QUICK + more)
    return run("train", recipe, "--data", counts, "--labels", labels or counts / "patients.csv", "-o", out, "-q")


def figure(out, metric, classifier="this classifier"):
    rows = read_rows(out / "baselines.csv")
    return next(float(row["value"]) for row in rows if (row["classifier"], row["metric"]) == (classifier, metric))


@pytest.fixture(scope="module")
def counts(tmp_path_factory):
    return write_counts(tmp_path_factory.mktemp("painted") / "counts")


@pytest.fixture(scope="module")
def trained(counts, tmp_path_factory):
    """One patient has no label and one no cells; the recipe asks to leave them out."""
    out = tmp_path_factory.mktemp("trained") / "model"
    told = train(counts, out, "unmatched: leave_out\n", write_labels(counts, out.parent / "patients.csv"))
    assert told.exit_code == 0, told.output
    return out


def write_labels(counts, path):
    known = [(row["patient"], row["diagnosis"]) for row in read_rows(counts / "patients.csv")[1:]]
    write_table(path, [("patient", "diagnosis"), *known, ("P999", "painted_all")])
    return path


def test_patients_that_were_left_out_get_their_label_more_often_than_by_any_simpler_way(trained):
    own = figure(trained, "macro_f1")
    assert own > 0.7
    assert own > figure(trained, "macro_f1", "blast fraction alone") + 0.15
    assert own > figure(trained, "macro_f1", "majority label") + 0.4
    assert figure(trained, "macro_f1", "counts as they are") > 0.6  # beside it in the same run, by the same folds
    assert not [file for file in trained.rglob("*") if file.suffix in (".pkl", ".joblib", ".pt")]


@pytest.mark.parametrize(("shuffled", "low", "high"), [(False, 0.7, 1.0), (True, 0.0, 0.4)])
def test_labels_that_are_dealt_by_chance_are_not_learnt(tmp_path, shuffled, low, high):
    counts = write_counts(tmp_path / "counts", shuffled=shuffled)
    read, rows = read_types(counts), read_rows(counts / "patients.csv")
    labels = tuple(SHARES)
    truth = np.array([labels.index(row["diagnosis"]) for row in rows], np.int32)
    patients = Patients(read.patients, read.types, read.counts, labels, truth, read.confusion)
    drawn = patients.drawn(20, 0)
    [said], _ = cross_predicted([Way(drawn[:, :5], drawn)], patients, DiagnosisSettings(folds=4))
    assert low <= np.mean([one.label for one in said] == truth) <= high


def test_no_patient_is_learnt_from_before_it_is_told():
    """Each patient's cells are of a type of its own: who has seen the patient knows its label, who has not guesses."""
    count, names = 16, tuple(f"P{n}" for n in range(16))
    truth = np.random.default_rng(3).permutation(np.arange(count, dtype=np.int32) % 2)
    patients = Patients(names, names, np.eye(count, dtype=np.int64) * 50, ("one", "other"), truth)
    plain = patients.shares()[:, None]
    [said], _ = cross_predicted([Way(plain, plain)], patients, DiagnosisSettings(folds=4))
    assert np.mean([one.label for one in said] == truth) <= 0.6


def test_what_counts_leave_open_is_learnt_from_and_asked_of():
    patients = Patients(
        ("P1", "P2"), ("a", "b"), np.array([[8, 4], [3, 9]]), ("one", "other"), np.array([0, 1], np.int32)
    )
    settings = DiagnosisSettings(draws=40, learnt_draws=5)
    own, without = (ways_of(patients, (), settings)[name] for name in ("patients", "counts as they are"))
    assert (own.learnt.shape, own.asked.shape) == ((2, 5, 2), (2, 40, 2))
    assert (own.learnt.std(axis=1) > 0.01).all()
    assert (own.asked.std(axis=1) > 0.01).all()
    assert without.learnt.tolist() == without.asked.tolist() == [[[8 / 12, 4 / 12]], [[0.25, 0.75]]]
    plain = ways_of(patients, (), replace(settings, uncertainty=False))["patients"]
    assert (plain.learnt.shape, plain.asked.shape) == ((2, 1, 2), (2, 40, 2))


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory):
    """A model that weighs small blasts against large ones, and looks at nothing else."""
    labels, weights = ("painted_all", "painted_aml"), np.zeros((len(TYPES), 2))
    weights[[TYPES.index("small_blast"), TYPES.index("large_blast")], [0, 1]] = 12
    card = PatientCard(
        name="by-hand", title="Two labels", architecture="logistic_regression", settings={}, classes=labels,
        types=tuple(TYPES), trained_on="nothing", limits="none", licence="Apache-2.0", split="none", agreement=0.95,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("by_hand")
    PatientModel(card, weights, np.zeros(2)).save(folder / "weights.safetensors")
    return folder


def said_of(model, folder, rows, confusion):
    folder.mkdir()
    write_types(folder, rows, np.round(confusion).astype(int).tolist())
    told = run("patients", folder, "--model", model / "weights.safetensors", "-o", folder / "said", "--json")
    assert told.exit_code == 0, told.output
    return {row["patient"]: row for row in read_rows(folder / "said" / "patients.csv")}, json.loads(told.stdout)


def width(row, label):
    return float(row[f"p_{label}_high"]) - float(row[f"p_{label}_low"])


def test_twenty_cells_say_less_than_five_hundred_of_the_same_shares(by_hand, tmp_path):
    """Without draws of the counts both would be said alike, since their shares are."""
    shares = 0.7 * SHARES["painted_all"] + 0.3 * SHARES["painted_aml"]
    rows = [(f"S{n}", f"P{n}", np.round(shares * n).astype(int)) for n in (20, 500)]
    said, summary = said_of(by_hand, tmp_path / "counts", rows, confused() * 200)
    few, many = said["P20"], said["P500"]
    assert width(few, "painted_all") > 1.5 * width(many, "painted_all")
    assert float(few["agreement"]) < float(many["agreement"])
    assert (few["abstains"], few["label"], many["abstains"], many["label"]) == ("yes", "", "no", "painted_all")
    assert [one["label"] for one in summary["patients"]] == [None, "painted_all"]


def test_types_that_are_taken_for_each_other_widen_what_is_said(by_hand, tmp_path):
    """The same true shares, seen by a classifier without an error and by one that is wrong half of the time."""
    shares = SHARES["painted_aml"]
    rows = [[("S1", "", np.round(shares @ table * 300).astype(int))] for table in (np.eye(len(TYPES)), confused(0.5))]
    sure, _ = said_of(by_hand, tmp_path / "sure", rows[0], np.eye(len(TYPES)) * 500)
    doubtful, _ = said_of(by_hand, tmp_path / "doubtful", rows[1], confused(0.5) * 40)
    widths = [width(one["S1"], "painted_aml") for one in (sure, doubtful)]
    assert widths[1] > 1.3 * widths[0]  # a slide without a group is a patient of its own


def test_what_is_said_is_for_research_use_and_no_diagnosis(trained, counts, tmp_path):
    told = run("patients", counts, "--model", trained / "weights.safetensors", "-o", tmp_path / "said")
    assert told.exit_code == 0
    assert "for research use" in told.output
    table = (tmp_path / "said" / "patients.csv").read_text()
    assert "for research use" in table
    assert "diagnos" not in (told.output + table).lower()
    rows = read_rows(tmp_path / "said" / "patients.csv")
    assert len(rows) == 60
    for row in rows:
        chances = [float(row[f"p_{name}"]) for name in SHARES]
        assert sum(chances) == pytest.approx(1, abs=1e-3)
        assert float(row["probability_low"]) <= max(chances) + 1e-4
    again = run("patients", counts, "--model", trained / "weights.safetensors", "-o", tmp_path / "said")
    assert (again.exit_code, "--overwrite" in again.output) == (2, True)


def test_counts_of_another_model_and_without_errors_are_taken_with_a_note(trained, counts, tmp_path):
    (tmp_path / "lab").mkdir()
    rows = read_rows(counts / "types.csv")
    columns = [f"count_{name}" for name in reversed(TYPES)]
    table = [("patient", *columns), *((row["group"], *(row[name] for name in columns)) for row in rows)]
    write_table(tmp_path / "lab" / "counts.csv", [*table, ("nobody", *[0] * len(columns))])
    model = trained / "weights.safetensors"
    told = run("patients", tmp_path / "lab" / "counts.csv", "--model", model, "-o", tmp_path / "said")
    assert told.exit_code == 0
    assert "no cell of patient nobody was counted" in told.output
    assert "nothing says how often types are taken for each other" in told.output
    facts = json.loads((counts / "types.json").read_text())
    (tmp_path / "lab" / "types.csv").write_text((counts / "types.csv").read_text())
    (tmp_path / "lab" / "types.json").write_text(json.dumps({**facts, "weights_sha256": "77"}))
    told = run("patients", tmp_path / "lab", "--model", model, "-o", tmp_path / "others")
    assert "counted by another model" in told.output


def test_counts_of_types_that_the_model_does_not_know_are_refused(trained, tmp_path):
    types = [*TYPES[:-1], "promonocyte"]
    (tmp_path / "counts").mkdir()
    write_types(tmp_path / "counts", [("S1", "", [1] * len(types))], types=types)
    told = run("patients", tmp_path / "counts", "--model", trained / "weights.safetensors", "-o", tmp_path / "said")
    assert told.exit_code == 2
    assert f"does not know promonocyte and the counts lack {TYPES[-1]}" in told.output


def test_patients_without_a_label_or_without_cells_are_named_or_left_out_where_that_is_asked(counts, trained, tmp_path):
    told = train(counts, tmp_path / "model", labels=write_labels(counts, tmp_path / "patients.csv"))
    assert told.exit_code == 2
    assert "1 patients have counts and no label: P001; 1 patients have a label and no counted cell: P999" in told.output
    assert "59 patients" in PatientModel.load(trained / "weights.safetensors").card.trained_on


def test_one_label_alone_is_not_learnt(counts, tmp_path):
    labels = tmp_path / "patients.csv"
    names = [row["patient"] for row in read_rows(counts / "patients.csv")]
    write_table(labels, [("patient", "diagnosis"), *((name, "painted_all") for name in names)])
    told = train(counts, tmp_path / "model", labels=labels)
    assert (told.exit_code, "two labels or more are told apart, found painted_all" in told.output) == (2, True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("patient,lymphocyte\nP1,3\n", "it needs patient, group or slide_id, and count_TYPE for each type"),
        ("patient,count_a\nP1,3.5\n", "line 2, count_a: a count is a whole number of 0 or more, found '3.5'"),
        ("patient,count_a\n,3\n", "line 2: nothing names the patient"),
        ("patient,count_a\n", "holds no counted slide"),
    ],
)
def test_a_table_that_holds_no_counts_is_refused_in_a_sentence(tmp_path, trained, content, message):
    (tmp_path / "counts.csv").write_text(content)
    model = trained / "weights.safetensors"
    told = run("patients", tmp_path / "counts.csv", "--model", model, "-o", tmp_path / "said")
    assert (told.exit_code, message in told.output) == (2, True), told.output


def test_a_file_that_is_no_such_model_is_refused(tmp_path, counts, trained):
    (tmp_path / "text.safetensors").write_text("nothing")
    for file, message in (
        (tmp_path / "text.safetensors", "no intact safetensors file"),
        (tmp_path / "absent.safetensors", "cannot be read"),
        ("wsi_patches/models/weights/white_cells.safetensors", "holds no model of patients"),
    ):
        told = run("patients", counts, "--model", file, "-o", tmp_path / "said")
        assert (told.exit_code, message in told.output) == (2, True), told.output
    told = run("infer", counts, "-o", tmp_path / "x", "--model", trained / "weights.safetensors")
    assert told.exit_code == 2
