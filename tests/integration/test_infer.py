"""`infer` on painted slides and stores: counts near the truth, all outputs agree, runs go on."""

import csv
import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from wsi_patches.annotations import read_geojson
from wsi_patches.cells import Cells
from wsi_patches.errors import ModelError, OutputExists, UsageError
from wsi_patches.geometry import Size
from wsi_patches.models import MODELS
from wsi_patches.models.table import DEFAULT_FINDER
from wsi_patches.report import draw_overlay, overview
from wsi_patches.slides import ArraySlide
from wsi_patches.synthetic import AllIdbField, SmearSettings, write_all_idb1, write_slide
from wsi_patches.workflows.extract import ExtractSettings, extract
from wsi_patches.workflows.infer import InferSettings, infer, plan_infer
from wsi_patches.workflows.leading import Watch

MODEL = "painted-cells-lbp"
SMALL = Size(1712, 1368)


@pytest.fixture(scope="module")
def painted(tmp_path_factory):
    """A leukemic and a healthy field, with the truth."""
    folder = tmp_path_factory.mktemp("painted") / "ALL_IDB1"
    leukemic = AllIdbField(1, True, SmearSettings.random(21, blasts=12, others=6), SMALL)
    healthy = AllIdbField(34, False, SmearSettings.random(22, blasts=0, others=12), SMALL)
    return folder, write_all_idb1(folder, [leukemic, healthy])


@pytest.fixture(scope="module")
def counted(painted, tmp_path_factory):
    return infer(InferSettings((painted[0],), tmp_path_factory.mktemp("out") / "counts", model=MODEL))


def read_table(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_counts_are_near_the_painted_truth(counted, painted):
    for report in counted.reports:
        truth = painted[1][report.slide_id]
        assert abs(report.white_cells.value - len(truth)) <= 2
        assert abs(report.blasts.value - truth.count("blast")) <= 2
        assert report.blasts.low <= report.blasts.value <= report.blasts.high
        assert report.weights_sha256
        assert any("painted" in warning for warning in report.warnings)


def test_all_outputs_of_a_slide_say_the_same(counted):
    rows = {row["slide_id"]: row for row in read_table(counted.counts)}
    assert list(rows) == ["Im001_1", "Im034_0"]
    for name, row in rows.items():
        cells = read_table(counted.out / name / "cells.csv")
        geojson = json.loads((counted.out / name / "cells.geojson").read_text())
        report = json.loads((counted.out / name / "report.json").read_text())
        assert len(cells) == len(geojson["features"]) == int(row["white_cells"]) == report["white_cells"]["value"]
        assert sum(cell["class"] == "blast" for cell in cells) == int(row["blasts"])
        assert {cell["class"] for cell in cells} <= {"blast", "other"}
        assert all(0 <= float(cell["score"]) <= 1 for cell in cells)
        assert read_geojson(counted.out / name / "cells.geojson").count("blast") == int(row["blasts"])
        judged = [(x, y) for x, y, _ in report["extra"]["focus_places"]]
        assert len(judged) == report["extra"]["focus_patches"] == len(cells)
        assert np.allclose(judged, [(float(cell["x"]), float(cell["y"])) for cell in cells], atol=0.06)
        page = (counted.out / name / "report.html").read_text()
        assert "research use only" in page
        assert page.count("<img") == len(cells) + 2
        assert "http" not in page.replace("data:image", "")


def test_found_cells_lie_on_painted_ones(counted, painted):
    for report in counted.reports:
        truth = painted[1][report.slide_id]
        found = read_table(counted.out / report.slide_id / "cells.csv")
        xy = np.array([(float(cell["x"]), float(cell["y"])) for cell in found])
        distance = np.linalg.norm(xy[:, None] - truth.xy[None], axis=2)
        assert (distance.min(axis=1) < truth.attributes["radius_px"][distance.argmin(axis=1)]).mean() > 0.85


def test_a_store_is_counted_like_its_slide(counted, painted, tmp_path):
    store = extract(ExtractSettings((painted[0],), tmp_path / "a.zarr", overlap=0.25, edge="pad"))
    again = infer(InferSettings((store.out,), tmp_path / "counts", model=MODEL))
    for report, on_slide in zip(again.reports, counted.reports, strict=True):
        assert report.coverage == 1.0
        assert report.slide_id == on_slide.slide_id
        assert report.white_cells == on_slide.white_cells
        assert any("patches of a.zarr" in warning for warning in report.warnings)
    dropped = extract(ExtractSettings((painted[0],), tmp_path / "b.zarr"))
    partly = infer(InferSettings((dropped.out,), tmp_path / "partly"))
    assert all(0.7 < report.coverage < 0.9 for report in partly.reports)


@pytest.mark.parametrize(
    "how", [{"workers": 1}, pytest.param({"workers": 2, "cluster": "local"}, marks=pytest.mark.slow)]
)
def test_every_executor_counts_the_same(counted, painted, tmp_path, how):
    other = infer(InferSettings((painted[0],), tmp_path / "counts", model=MODEL, **how))
    assert other.counts.read_text() == counted.counts.read_text()


def test_resume_counts_only_what_is_missing_and_other_weights_count_anew(painted, tmp_path):
    field = painted[0] / "im" / "Im001_1.jpg"
    out = tmp_path / "counts"
    infer(InferSettings((field,), out))
    before = (out / "Im001_1" / "report.json").stat().st_mtime_ns
    both = infer(InferSettings((painted[0],), out, resume=True))
    assert [report.slide_id for report in both.reports] == ["Im001_1", "Im034_0"]
    assert (out / "Im001_1" / "report.json").stat().st_mtime_ns == before
    with_model = infer(InferSettings((painted[0],), out, resume=True, model=MODEL))
    assert all(report.blasts is not None for report in with_model.reports)
    with pytest.raises(OutputExists, match="--resume"):
        infer(InferSettings((field,), out))


def test_the_finder_can_be_chosen_and_another_one_counts_anew(painted, tmp_path):
    field, out = painted[0] / "im" / "Im034_0.jpg", tmp_path / "counts"
    learned = infer(InferSettings((field,), out)).reports[0]
    assert learned.extra["finder"] == DEFAULT_FINDER
    assert learned.extra["finder_sha256"] == MODELS[DEFAULT_FINDER].sha256
    classical = infer(InferSettings((field,), out, finder="classical", resume=True)).reports[0]
    assert (classical.extra["finder"], classical.extra["finder_sha256"]) == ("classical", "")
    truth = len(painted[1]["Im034_0"])
    assert abs(classical.white_cells.value - truth) <= 2
    assert abs(learned.white_cells.value - truth) <= 2


def test_a_finder_that_is_none_is_refused_before_anything_is_written(painted, tmp_path):
    with pytest.raises(ModelError, match=r"no finder 'best'.*white-cells"):
        infer(InferSettings((painted[0],), tmp_path / "counts", finder="best"))
    with pytest.raises(ModelError, match=r"classifier, and a cell finder is needed.*--model"):
        infer(InferSettings((painted[0],), tmp_path / "counts", finder=str(MODELS[MODEL].path)))
    with pytest.raises(ModelError, match=r"finder, and a cell classifier is needed.*--finder"):
        infer(InferSettings((painted[0],), tmp_path / "counts", model=str(MODELS[DEFAULT_FINDER].path)))
    with pytest.raises(UsageError, match="no precision 'fp8'"):
        infer(InferSettings((painted[0],), tmp_path / "counts", precision="fp8"))
    assert not (tmp_path / "counts").exists()


def test_a_slide_that_was_begun_and_not_finished_is_counted_again(painted, tmp_path):
    out = tmp_path / "counts"
    infer(InferSettings((painted[0],), out))
    (out / "Im034_0" / "report.json").unlink()
    again = infer(InferSettings((painted[0],), out, resume=True))
    assert [report.status for report in again.reports] == ["done", "done"]
    assert (out / "Im034_0" / "report.json").is_file()


def test_foreign_folders_are_never_replaced(painted, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="something else"):
        infer(InferSettings((painted[0],), tmp_path / "mine", overwrite=True))
    assert (tmp_path / "mine" / "thesis.txt").is_file()


def test_overwriting_removes_what_a_run_wrote_and_nothing_else(painted, tmp_path):
    out = tmp_path / "counts"
    infer(InferSettings((painted[0],), out))
    (out / "Im034_0" / "my_notes.txt").write_text("look again")
    (out / "figures").mkdir()
    (out / "figures" / "one.png").touch()
    infer(InferSettings((painted[0] / "im" / "Im001_1.jpg",), out, overwrite=True))
    assert (out / "Im034_0" / "my_notes.txt").read_text() == "look again"
    assert (out / "figures" / "one.png").is_file()
    assert [row["slide_id"] for row in read_table(out / "counts.csv")] == ["Im001_1"]
    assert "Im034_0" not in (out / "report.html").read_text()


def test_a_store_cannot_name_an_output_outside_of_the_folder(painted, tmp_path):
    store = extract(ExtractSettings((painted[0] / "im" / "Im001_1.jpg",), tmp_path / "a.zarr"))
    metadata = next((store.out / "parts").glob("*/zarr.json"))
    metadata.write_text(metadata.read_text().replace('"id": "Im001_1"', '"id": "../../escaped"'))
    with pytest.raises(UsageError, match="no name for a folder"):
        infer(InferSettings((store.out,), tmp_path / "counts"))
    assert not (tmp_path / "counts").exists()


def test_blank_glass_holds_no_cell(tmp_path, rng):
    glass = np.clip(rng.normal(225, 2, (600, 800, 3)), 0, 255).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "blank.png"), glass)
    (report,) = infer(InferSettings((tmp_path / "blank.png",), tmp_path / "counts", model=MODEL)).reports
    assert (report.white_cells.value, report.blasts.value, report.blast_fraction) == (0, 0, None)
    assert any("--slide-mpp" in warning for warning in report.warnings)
    stated = InferSettings((tmp_path / "blank.png",), tmp_path / "stated", slide_mpp=0.25)
    assert infer(stated).reports[0].warnings == ()


@pytest.mark.slow
def test_a_scanned_slide_is_counted_at_its_own_scale(tmp_path):
    settings = SmearSettings.random(7, cell_diameter_px=48.0, blasts=25, others=25)
    truth = write_slide(tmp_path / "s.svs", Size(4096, 3000), settings, mpp=0.25)
    (report,) = infer(InferSettings((tmp_path / "s.svs",), tmp_path / "counts", model=MODEL)).reports
    assert abs(report.white_cells.value - len(truth)) <= 6
    assert abs(report.blasts.value - truth.count("blast")) <= 6
    assert report.extra["slide_mpp"] == 0.25


def test_the_overview_is_the_slide_and_marks_lie_on_the_cells(rng):
    pixels = cv2.GaussianBlur(rng.integers(0, 256, (900, 1300, 3), np.uint8), (0, 0), 20)
    picture, downsample = overview(ArraySlide(pixels), longest_px=650)
    assert downsample == 2.0
    expected = cv2.resize(pixels, (650, 450), interpolation=cv2.INTER_AREA)
    assert np.abs(picture.astype(int) - expected).max() <= 1
    cells = Cells.at([(400, 300)], ("blast", "other"), radius_px=[20.0])
    drawn = draw_overlay(picture, downsample, cells)
    changed = np.argwhere(np.any(drawn[:450] != picture, axis=2))
    assert np.abs(changed.mean(axis=0) - (150, 200)).max() < 3


def test_slides_of_a_patient_are_taken_together(painted, tmp_path):
    folder, truth = painted
    settings = InferSettings((folder,), tmp_path / "out", model=MODEL, group_pattern="(?P<patient>Im)")

    done = infer(settings)

    (row,) = read_table(done.groups)
    assert (row["group"], row["group_kind"], row["slides"], row["slides_with_blasts"]) == ("Im", "patient", "2", "1")
    assert float(row["blasts"]) == sum(report.blasts.value for report in done.reports)
    blasts = sum(cells.count("blast") for cells in truth.values())
    assert float(row["blasts_low"]) <= blasts <= float(row["blasts_high"])
    again = infer(replace(settings, group_by="slide", resume=True))
    assert (again.groups, (tmp_path / "out" / "groups.csv").exists()) == (None, False)


def test_a_run_with_other_views_counts_anew(painted, tmp_path):
    (slide,) = (painted[0] / "im").glob("Im034*")
    settings = InferSettings((slide,), tmp_path / "out", model=MODEL)
    told = []

    infer(settings, Watch(slide=told.append))
    kept = plan_infer(replace(settings, resume=True))
    other = infer(replace(settings, resume=True, tta=2))

    assert [report.slide_id for report in told] == ["Im034_0"]
    assert (len(kept.tasks), len(kept.kept)) == (0, 1)
    assert other.reports[0].extra["tta"] == 2
    cells = read_table(tmp_path / "out" / "Im034_0" / "cells.csv")
    assert all(0 <= float(cell["disagreement"]) <= float(cell["entropy"]) for cell in cells)
    assert len(plan_infer(replace(settings, resume=True, tta=2)).kept) == 1
    assert len(plan_infer(replace(settings, resume=True)).tasks) == 1
