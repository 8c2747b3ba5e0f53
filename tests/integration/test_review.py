"""The review loop: cells found, corrected as QuPath does, counted again, and evaluated."""

import json
from pathlib import Path

import pytest

from wsi_patches.annotations import read_geojson
from wsi_patches.errors import UsageError
from wsi_patches.geometry import Size
from wsi_patches.synthetic import AllIdbField, SmearSettings, write_all_idb1
from wsi_patches.workflows.evaluate import EvaluateSettings, evaluate
from wsi_patches.workflows.extract import ExtractSettings, extract
from wsi_patches.workflows.infer import InferSettings, infer

MODEL = "painted-cells-lbp"


@pytest.fixture(scope="module")
def counted(tmp_path_factory):
    """One leukemic field, counted with the demo's model."""
    folder = tmp_path_factory.mktemp("review")
    field = AllIdbField(1, True, SmearSettings.random(21, blasts=8, others=5), Size(1100, 900))
    write_all_idb1(folder / "ALL_IDB1", [field])
    return infer(InferSettings((folder / "ALL_IDB1" / "im" / "Im001_1.jpg",), folder / "counts", model=MODEL))


def as_qupath_exports(counted, folder, corrected):
    """Write the cells as QuPath does: ids, classes with colours, measurements as a list, points of a person."""
    found = json.loads((counted.out / "Im001_1" / "cells.geojson").read_text())
    for number, feature in enumerate(found["features"]):
        feature["id"] = f"00000000-0000-0000-0000-{number:012d}"
        properties = feature["properties"]
        properties["classification"]["color"] = [200, 0, 0]
        properties["measurements"] = [{"name": k, "value": v} for k, v in properties["measurements"].items()]
    folder.mkdir()
    (folder / "Im001_1.geojson").write_text(json.dumps(corrected(found)))
    return folder


def blasts_of(collection):
    features = collection["features"]
    return [one for one in features if one["properties"]["classification"]["name"] == "blast"]


def test_corrected_cells_come_back_and_are_counted_as_they_are(counted, tmp_path):
    before = counted.reports[0]

    def correct(found):
        blasts = blasts_of(found)
        blasts[0]["properties"]["classification"]["name"] = "other"  # a class was changed
        found["features"].remove(blasts[1])  # a cell was deleted
        marked = {"objectType": "annotation", "classification": {"name": "Blast"}}
        points = {"type": "MultiPoint", "coordinates": [[50, 60], [70, 80], [90, 100]]}
        found["features"].append({"type": "Feature", "id": "new", "geometry": points, "properties": marked})
        return found

    marks = as_qupath_exports(counted, tmp_path / "corrected", correct)
    slide = Path(counted.reports[0].path)
    after = infer(InferSettings((slide,), tmp_path / "again", annotations=marks)).reports[0]
    assert after.method == "marked"
    assert after.white_cells.value == before.white_cells.value + 2
    assert after.blasts.value == before.blasts.value + 1
    assert not after.model
    assert after.extra["marks"] == [str(marks / "Im001_1.geojson")]
    kept = read_geojson(tmp_path / "again" / "Im001_1" / "cells.geojson")
    assert [70, 80] in kept.xy.tolist()


def test_what_was_counted_is_evaluated_against_what_was_corrected(counted, tmp_path):
    def correct(found):
        blasts = blasts_of(found)
        found["features"].remove(blasts[0])
        missed = {"objectType": "annotation", "classification": {"name": "blast"}}
        point = {"type": "Point", "coordinates": [700, 100]}
        found["features"].append({"type": "Feature", "geometry": point, "properties": missed})
        return found

    marks = as_qupath_exports(counted, tmp_path / "corrected", correct)
    done = evaluate(EvaluateSettings(counted.out, tmp_path / "evaluation", annotations=marks))
    for target in ("white_cells", "blasts"):
        metrics = done.results[target].metrics
        assert (metrics["false_positives"].value, metrics["misses"].value) == (1, 1)
        assert (tmp_path / "evaluation" / target / "errors.png").is_file()
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "Im001_1.csv").write_text("x,y\n20,20\n")
    bare = EvaluateSettings(counted.out, tmp_path / "evaluation", annotations=tmp_path / "bare", overwrite=True)
    assert set(evaluate(bare).results) == {"white_cells"}
    assert not (tmp_path / "evaluation" / "blasts").exists()
    perfect = infer(InferSettings((Path(counted.reports[0].path),), tmp_path / "again", annotations=marks))
    redone = evaluate(EvaluateSettings(perfect.out, tmp_path / "evaluation2", annotations=marks))
    assert redone.results["blasts"].metrics["f1"].value == 1
    assert redone.results["slides"].metrics["count_mae"].value == 0


def test_cells_without_a_class_are_asked_of_the_model_and_no_others(counted, tmp_path):
    def correct(found):
        for feature in found["features"][1:]:
            feature["properties"]["classification"] = None
        found["features"][0]["properties"]["classification"] = {"name": "other"}
        return found

    marks = as_qupath_exports(counted, tmp_path / "corrected", correct)
    slide = Path(counted.reports[0].path)
    untold = infer(InferSettings((slide,), tmp_path / "untold", annotations=marks)).reports[0]
    assert untold.blasts is None
    assert "have no class" in " ".join(untold.warnings)
    told = infer(InferSettings((slide,), tmp_path / "told", annotations=marks, model=MODEL)).reports[0]
    assert told.blasts is not None
    assert told.weights_sha256
    first = read_geojson(tmp_path / "told" / "Im001_1" / "cells.geojson")
    assert first.class_names[first.class_index[0]] == "other"


def test_a_resumed_run_counts_anew_what_was_corrected_since(counted, tmp_path):
    marks = as_qupath_exports(counted, tmp_path / "corrected", lambda found: found)
    slide = Path(counted.reports[0].path)
    settings = InferSettings((slide,), tmp_path / "again", annotations=marks)
    first = infer(settings).reports[0].white_cells.value
    kept = json.loads((marks / "Im001_1.geojson").read_text())
    kept["features"].pop()
    (marks / "Im001_1.geojson").write_text(json.dumps(kept))
    resumed = infer(InferSettings((slide,), tmp_path / "again", annotations=marks, resume=True))
    assert resumed.reports[0].white_cells.value == first - 1


def test_a_slide_without_marks_is_counted_by_the_program_and_says_so(counted, tmp_path):
    (tmp_path / "empty").mkdir()
    report = infer(
        InferSettings((Path(counted.reports[0].path),), tmp_path / "c", annotations=tmp_path / "empty")
    ).reports[0]
    assert report.method == "cells"
    assert "no annotation file named Im001_1" in " ".join(report.warnings)
    with pytest.raises(UsageError, match="not a folder"):
        infer(InferSettings((Path(counted.reports[0].path),), tmp_path / "d", annotations=tmp_path / "nowhere"))


def test_a_class_that_nobody_knows_fails_that_slide_and_names_it(counted, tmp_path):
    def correct(found):
        found["features"][0]["properties"]["classification"] = {"name": "Tumor"}
        return found

    marks = as_qupath_exports(counted, tmp_path / "corrected", correct)
    report = infer(InferSettings((Path(counted.reports[0].path),), tmp_path / "c", annotations=marks)).reports[0]
    assert report.status == "failed"
    assert "tumor" in report.error
    assert "blast, other, white_cell" in report.error


def test_corrected_cells_label_patches(counted, tmp_path):
    marks = as_qupath_exports(counted, tmp_path / "corrected", lambda found: found)
    slide = Path(counted.reports[0].path)
    store = extract(ExtractSettings((slide,), tmp_path / "a.zarr", annotations=marks)).out
    from wsi_patches.stores import open_store

    kept = open_store(store).cells("Im001_1")
    assert kept.class_names == ("blast", "other")
    assert kept.count("blast") == counted.reports[0].blasts.value
