"""`evaluate`, `probe` and `inspect` on painted cells and real fields."""

import csv
import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from wsi_patches.errors import OutputExists, UsageError
from wsi_patches.evaluate.gallery import most_wrong
from wsi_patches.models import ALLNet, ModelCard, save_weights
from wsi_patches.models.encoders import FrozenEncoder
from wsi_patches.stores import open_store
from wsi_patches.synthetic import paint_cell_patches, write_all_idb1
from wsi_patches.workflows.evaluate import EvaluateSettings, evaluate
from wsi_patches.workflows.extract import ExtractSettings, extract
from wsi_patches.workflows.infer import InferSettings, infer
from wsi_patches.workflows.inspect import describe
from wsi_patches.workflows.labelled import labelled_patches
from wsi_patches.workflows.probe import ProbeSettings, probe_store

MODEL = "painted-cells-lbp"
NAMES = ("blast", "other")
ENCODER_CARD = ModelCard(
    name="mine", title="t", architecture="allnet", settings={"widths": [4, 8]}, classes=NAMES, input_px=32,
    mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), trained_on="nothing", limits="none", licence="MIT",
    patch_cell_diameters=1.5,
)  # fmt: skip


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """A class folder of painted cells whose first `other` is a blast: a planted label error."""
    folder = tmp_path_factory.mktemp("cells") / "set"
    images, classes = paint_cell_patches(60, 3, 64, 1.5)
    seen = [0, 0]
    planted = int(np.flatnonzero(classes == 0)[0])
    for row, (image, index) in enumerate(zip(images, classes.tolist(), strict=True)):
        label = 1 if row == planted else index
        name = "planted" if row == planted else f"P{seen[label] // 3}_{seen[label]}"
        seen[label] += row != planted
        (folder / NAMES[label]).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / NAMES[label] / f"{name}.png"), image[..., ::-1])
    return folder


@pytest.fixture(scope="module")
def store(cells, tmp_path_factory):
    out = tmp_path_factory.mktemp("store") / "cells.zarr"
    return extract(ExtractSettings((cells,), out, group_pattern="^(?P<patient>P[0-9]+|planted)")).out


def rows_of(path):
    with Path(path).open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_single_cells_are_one_patch_each_with_label_and_patient(store):
    opened = open_store(store)
    assert (len(opened), opened.settings.spec.size_px) == (60, 64)
    assert {record.unit for record in opened.slides} == {"cell"}
    assert {record.label for record in opened.slides} == set(NAMES)
    assert {record.group_kind for record in opened.slides} == {"patient"}
    assert np.array_equal(labelled_patches(opened).read([0])[0], opened.read([0])[0])


def test_a_planted_label_error_is_among_the_first_of_the_gallery_and_colour_stands_beside(store, tmp_path):
    done = evaluate(EvaluateSettings(store, tmp_path / "out", model=MODEL, draws=50))
    result = done.results["classes"]
    assert result.metrics["balanced_accuracy"].value > 0.85
    assert result.sampling.group_kind == "patient"
    assert "planted" in result.predictions.ids[most_wrong(result.predictions, 3)]
    assert set(done.baselines) == {"colour alone", "colour alone, nearest neighbours"}
    page = (tmp_path / "out" / "evaluation.html").read_text()
    assert "colour alone" in page
    assert "research use only" in page
    assert "http" not in page.replace("data:image", "")
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"metrics.csv", "per_class.csv", "confusion.csv", "predictions.csv", "errors.png", "roc.png"} <= written


def test_a_table_of_predictions_gives_the_same_figures(store, tmp_path):
    first = evaluate(EvaluateSettings(store, tmp_path / "a", model=MODEL, draws=20)).results["classes"]
    table = tmp_path / "a" / "predictions.csv"
    again = evaluate(EvaluateSettings(table, tmp_path / "b", patches=store, draws=20))
    assert again.results["classes"].metrics["macro_roc_auc"] == first.metrics["macro_roc_auc"]
    assert again.baselines
    alone = evaluate(EvaluateSettings(table, tmp_path / "c", draws=20))
    assert not alone.baselines
    assert "--patches" in alone.notes[0]


def test_a_probe_learns_more_than_chance_and_keeps_its_features(store, tmp_path):
    done = probe_store(ProbeSettings(store, tmp_path / "probe", folds=3, draws=20))
    assert done.result.metrics["balanced_accuracy"].value > 0.6
    assert {"nearest neighbours", "colour alone"} <= set(done.baselines)
    kept = open_store(store).derived("features/lite0", "vectors")
    assert kept.shape == (60, 1280)
    with pytest.raises(OutputExists):
        probe_store(ProbeSettings(store, tmp_path / "probe"))


def test_a_selection_stands_beside_all_features_and_as_many_by_chance(store, tmp_path):
    few = {"folds": 3, "draws": 20, "population": 6, "generations": 3, "price": 0.2}
    settings = ProbeSettings(store, tmp_path / "probe", classifier="knn", select="ga", **few)
    done = probe_store(settings)
    beside = ["all features", "as many features by chance", "linear probe", "colour alone"]
    assert list(done.baselines)[:4] == beside
    plain = probe_store(replace(settings, out=tmp_path / "plain", select="none"))
    everything = done.baselines["all features"].predictions.probabilities
    assert np.array_equal(everything, plain.result.predictions.probabilities)
    assert not np.array_equal(everything, done.result.predictions.probabilities)
    rows = rows_of(tmp_path / "probe" / "selected_features.csv")
    of_folds = np.array([[int(row[f"fold_{fold}"]) for row in rows] for fold in range(3)])
    assert np.array_equal(of_folds, done.selection.kept)
    assert [int(row["folds_kept"]) for row in rows] == of_folds.sum(axis=0).tolist()
    assert (len(rows), rows[7]["feature"]) == (1280, "7")
    page = done.page.read_text()
    assert "Nearest neighbours on frozen lite0 features" in page
    assert f"{of_folds.sum(axis=1).min()} to {of_folds.sum(axis=1).max()} of 1280, selected for each fold" in page
    assert "so no figure of how good they are" in page
    assert cv2.imread(str(tmp_path / "probe" / "selection.png")).shape[2] == 3
    again = probe_store(replace(settings, select="none", overwrite=True))
    assert again.selection is None
    assert not {"selected_features.csv", "selection.png"} & {path.name for path in again.page.parent.iterdir()}


def test_a_hosvd_classifier_stands_beside_the_probes_and_its_rank_fits_every_class(store, tmp_path):
    settings = ProbeSettings(store, tmp_path / "probe", classifier="hosvd", rank=4, folds=3, draws=20)
    done = probe_store(settings)
    assert list(done.baselines)[:3] == ["linear probe", "nearest neighbours", "colour alone"]
    assert "HOSVD classifier on frozen lite0 features" in done.page.read_text()
    assert not np.array_equal(
        done.result.predictions.probabilities, done.baselines["linear probe"].predictions.probabilities
    )
    with pytest.raises(UsageError, match="basis of 50 vectors a class was asked for, where a class has as few as"):
        probe_store(replace(settings, out=tmp_path / "large", rank=50))
    assert not (tmp_path / "large").exists()
    with pytest.raises(UsageError, match="cut 3 or more, found 2"):
        probe_store(replace(settings, out=tmp_path / "two", rank=None, classifier="knn", select="pso", folds=2))
    with pytest.raises(UsageError, match="generations of a selection of features is 1 or more, got 0"):
        probe_store(ProbeSettings(Path("not looked at"), tmp_path / "none", select="ga", generations=0))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rank": 4}, "--rank is the size of a class's basis, 1 or more, for --classifier hosvd; got 4 for linear"),
        ({"rank": 0, "classifier": "hosvd"}, "got 0 for hosvd"),
        ({"select": "ga", "classifier": "hosvd"}, "--select ga keeps features for --classifier linear or knn"),
    ],
)
def test_a_probe_that_cannot_be_is_told_before_anything_is_described(values, message):
    with pytest.raises(UsageError, match=message):
        ProbeSettings(Path("cells.zarr"), Path("out"), **values)


def test_a_probe_on_an_encoder_of_ones_own_describes_anew_what_other_weights_described(store, tmp_path):
    def described(seed):
        save_weights(tmp_path / "w.safetensors", ALLNet(widths=(4, 8), seed=seed), ENCODER_CARD)
        told = yaml.safe_dump({
            "name": "mine", "library": "wsi-patches", "network": "allnet", "options": {"widths": [4, 8]}, "dim": 8,
            "weights": "w.safetensors", "input_px": 32, "mean": [0.5] * 3, "std": [0.5] * 3,
            "sha256": hashlib.sha256((tmp_path / "w.safetensors").read_bytes()).hexdigest(),
        })  # fmt: skip
        (tmp_path / "mine.yaml").write_text(told)
        encoder = str(tmp_path / "mine.yaml")
        done = probe_store(ProbeSettings(store, tmp_path / "probe", encoder=encoder, folds=3, draws=5, overwrite=True))
        assert "frozen mine features" in done.page.read_text()
        expected = FrozenEncoder.load(encoder, "cpu").features(open_store(store).read(range(60)))
        kept = open_store(store).derived("features/mine", "vectors")
        np.testing.assert_allclose(kept, expected, rtol=1e-3, atol=1e-4)
        return kept

    first, group = described(1), next(Path(store).glob("parts/*/derived/features/mine/zarr.json"))
    written = group.stat().st_mtime_ns
    assert np.array_equal(described(1), first)
    assert group.stat().st_mtime_ns == written
    assert not np.allclose(described(2), first)


def test_a_store_of_one_class_or_another_model_is_refused(store, tmp_path, cells):
    one = extract(ExtractSettings((next((cells / "blast").iterdir()),), tmp_path / "one.zarr", patch_size=64)).out
    with pytest.raises(UsageError, match="two or more classes"):
        probe_store(ProbeSettings(one, tmp_path / "out"))
    with pytest.raises(UsageError, match="--model"):
        evaluate(EvaluateSettings(store, tmp_path / "out"))
    with pytest.raises(UsageError, match="nothing that can be evaluated"):
        evaluate(EvaluateSettings(cells, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def counted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fields")
    truth = write_all_idb1(folder / "ALL_IDB1", 4)
    return folder, truth, infer(InferSettings((folder / "ALL_IDB1",), folder / "counts", model=MODEL))


def test_counts_of_an_annotated_dataset_are_evaluated(counted, tmp_path):
    folder, truth, run = counted
    settings = EvaluateSettings(run.out, tmp_path / "out", annotations=folder / "ALL_IDB1", draws=50)
    done = evaluate(settings)
    assert set(done.results) == {"white_cells", "blasts", "slides"}
    white = done.results["white_cells"].metrics
    marked = sum(len(cells) for cells in truth.values())
    assert white["true_positives"].value + white["misses"].value == marked
    assert white["f1"].value > 0.85
    slides = done.results["slides"].metrics
    assert {"sensitivity", "specificity", "count_mae", "interval_coverage"} <= set(slides)
    assert slides["sensitivity"].value == 1
    fields = rows_of(tmp_path / "out" / "white_cells" / "fields.csv")
    assert {row["slide_id"]: int(row["marked"]) for row in fields} == {
        name: len(cells) for name, cells in truth.items()
    }


def test_of_counted_patches_slides_alone_are_evaluated(counted, tmp_path):
    folder, _, run = counted
    (tmp_path / "counts").mkdir()
    (tmp_path / "counts" / "counts.csv").write_bytes(run.counts.read_bytes())
    for report in run.reports:
        one = tmp_path / "counts" / report.slide_id
        one.mkdir()
        (one / "report.json").write_text(json.dumps(replace(report, method="patches").to_dict()))
    asked = EvaluateSettings(tmp_path / "counts", tmp_path / "out", annotations=folder / "ALL_IDB1", draws=5)

    done = evaluate(asked)

    assert set(done.results) == {"slides"}
    assert any("whole slides alone" in note for note in done.notes)
    whole = evaluate(replace(asked, source=run.out, out=tmp_path / "whole"))
    figures = [one.results["slides"].metrics["count_mae"].value for one in (done, whole)]
    assert figures[0] == figures[1]


def test_slides_that_cannot_be_evaluated_are_named(counted, tmp_path):
    run = counted[2]
    marks = tmp_path / "marks"
    marks.mkdir()
    name = run.reports[0].slide_id
    (marks / f"{name}.xyc").write_text("blasts\n10 10\n")
    (marks / f"{run.reports[1].slide_id}.xyc").write_text("what is this")
    done = evaluate(EvaluateSettings(run.out, tmp_path / "out", annotations=marks, draws=5))
    told = " ".join(done.notes)
    assert "2 slides left out, since they have no marks" in told
    assert "what is this" in told
    with pytest.raises(UsageError, match="--annotations"):
        evaluate(EvaluateSettings(run.out, tmp_path / "out2"))


def test_the_command_prints_tables_and_writes_json(counted, tmp_path):
    folder, _, run = counted
    command = [sys.executable, "-m", "wsi_patches", "evaluate", str(run.out), "-o", str(tmp_path / "out"), "--json"]
    done = subprocess.run(
        [*command, "--annotations", str(folder / "ALL_IDB1"), "--draws", "20"],
        capture_output=True,
        text=True,
        check=True,
    )
    told = json.loads(done.stdout)
    assert 0 <= told["results"]["blasts"]["metrics"]["f1"]["low"] <= 1
    assert told["results"]["white_cells"]["metrics"]["true_positives"]["low"] is None


def test_real_fields_are_inspected_and_evaluated(shared_data, tmp_path):
    fields = shared_data / "wbc_fov"
    facts = describe(fields)
    assert facts["kind"] == "yolo"
    assert facts["cells"] == ["3 basophil", "3 eosinophil", "3 lymphocyte", "3 monocyte", "3 neutrophil"]
    assert facts["problems"] == []
    run = infer(InferSettings((fields,), tmp_path / "counts", group_pattern="^(?P<slide>.+)_"))
    done = evaluate(
        EvaluateSettings(run.out, tmp_path / "out", annotations=fields, group_pattern="^(?P<slide>.+)_", draws=20)
    )
    result = done.results["white_cells"]
    assert (result.sampling.n, result.sampling.groups, result.sampling.group_kind) == (15, 7, "slide")
    assert result.metrics["recall"].value > 0.9


def test_what_is_wrong_with_a_real_set_is_told(shared_data):
    facts = describe(shared_data / "bccd")
    assert (facts["kind"], facts["images"]) == ("bccd", "120, each a slide")
    assert facts["cells"] == ["1593 red_cell", "151 platelet", "126 white_cell"]
    assert "BloodImage_00020" in " ".join(facts["problems"])
    assert "unknown for 120 images" in facts["groups"][0]
