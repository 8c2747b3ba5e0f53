"""Slides that several workers count come to the same as slides that one counts."""

import json
from dataclasses import replace

import cv2
import pytest
import tifffile
import torch

from wsi_patches.cells import ALL_IDB_CLASSES
from wsi_patches.executors import SerialExecutor
from wsi_patches.geometry import Box, Size
from wsi_patches.infer import ModelChoice
from wsi_patches.infer.slide_patches import BATCH
from wsi_patches.models.card import CounterCard
from wsi_patches.models.count_network import CellCountNet
from wsi_patches.models.finder_network import RED_CELL_PX
from wsi_patches.models.weights import save_weights
from wsi_patches.pipeline import run_jobs
from wsi_patches.slides import open_slide
from wsi_patches.synthetic import SmearSettings, write_slide
from wsi_patches.workflows import infer_cell_parts, infer_patch_parts
from wsi_patches.workflows import infer_jobs as dealt
from wsi_patches.workflows.infer_task import InferTask, infer_slide

MODEL = "painted-cells-lbp"
SIZE = Size(2600, 2200)
COUNTER = CounterCard(
    name="tiny", title="A test's counter", architecture="cell_counter", settings={"width": 8}, classes=ALL_IDB_CLASSES,
    trained_on="nothing", limits="knows nothing", licence="Apache-2.0", red_cell_px=RED_CELL_PX, split="none",
)  # fmt: skip


def test_small_slides_go_together_and_stay_in_order():
    tasks = [InferTask(f"{number}.png", str(number), "out", pixels=5_000_000) for number in range(24)]
    jobs = dealt.infer_jobs(tasks, workers=2, told=None, spread=True)
    assert [task for job in jobs for task in job.task] == tasks
    assert {len(job.task) for job in jobs} == {3}


def test_few_slides_are_still_dealt_out_to_all_workers():
    tasks = [InferTask(f"{number}.png", str(number), "out", pixels=1_000) for number in range(8)]
    assert len(dealt.infer_jobs(tasks, workers=2, told=None, spread=True)) == 8


def test_slides_of_another_device_are_another_task():
    models = [ModelChoice(device=one) for one in ("cpu", "cpu", "cuda:1")]
    tasks = [InferTask("a", str(n), "o", models=one, pixels=1) for n, one in enumerate(models * 40)]
    for job in dealt.infer_jobs(tasks, workers=1, told=None, spread=True):
        assert len({task.models.device for task in job.task}) == 1
        assert job.stage.needs(job.task) == ({} if job.task[0].models.device == "cpu" else {"GPU": 1})


def test_without_other_processes_each_slide_is_told_of_as_it_ends():
    tasks = [InferTask("a", str(n), "o", pixels=10**9) for n in range(3)]
    assert [job.task for job in dealt.infer_jobs(tasks, 2, None, spread=False)] == [(task,) for task in tasks]


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(dealt, "LARGE_PX", 1_000_000)
    monkeypatch.setattr(infer_cell_parts, "WINDOWS", 2)
    monkeypatch.setattr(infer_cell_parts, "CELLS", 5)
    monkeypatch.setattr(infer_patch_parts, "PATCHES_TOGETHER", BATCH)


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    path = tmp_path_factory.mktemp("slides") / "large.tif"
    settings = SmearSettings.random(4, blasts=9, others=8, cell_diameter_px=48.0)
    write_slide(path, SIZE, settings, mpp=0.25)
    cv2.imwrite(str(path.with_name("unscaled.png")), open_slide(path).read(Box(0, 0, *SIZE))[..., ::-1])
    return path


def in_parts(task):
    reports, names = [], []

    jobs = dealt.infer_jobs([task], 2, reports.append, spread=True)
    run_jobs(jobs, SerialExecutor(), lambda job, _: names.append(job.stage.name))
    return reports, names


def files_of(folder, table="cells.csv"):
    report = json.loads((folder / "report.json").read_text())
    report["extra"].pop("seconds")
    return report, (folder / table).read_text().splitlines()


@pytest.mark.parametrize(
    "models",
    [ModelChoice(), ModelChoice(model=MODEL, batch_size=8), ModelChoice(method="detector")],
    ids=("cells", "blasts", "boxes"),
)
def test_a_slide_in_parts_is_what_it_is_as_a_whole(slide, tmp_path, small_parts, models):
    task = InferTask(str(slide), "large", str(tmp_path / "whole"), models=models, pixels=SIZE.width * SIZE.height)
    whole = infer_slide(task)
    (report,), names = in_parts(replace(task, out=str(tmp_path / "parts")))

    assert report.white_cells == whole.white_cells
    assert report.blasts == whole.blasts
    assert files_of(tmp_path / "parts") == files_of(tmp_path / "whole")
    assert names.count("search") > 2
    assert (names.count("classify") > 2) == (models.model is not None)


@pytest.fixture
def counter_file(tmp_path):
    torch.manual_seed(3)
    save_weights(tmp_path / "tiny.safetensors", CellCountNet(width=8), COUNTER)
    return str(tmp_path / "tiny.safetensors")


@pytest.mark.parametrize(
    ("kind", "overlap", "has_scale"), [("counter", 0.3, True), ("counter", None, False), ("classifier", None, True)]
)
def test_patches_that_several_workers_asked_of_are_the_same(
    slide, counter_file, tmp_path, small_parts, kind, overlap, has_scale
):
    models = ModelChoice("patches", counter_file if kind == "counter" else MODEL, overlap=overlap, batch_size=8)
    path = slide if has_scale else slide.with_name("unscaled.png")
    task = InferTask(str(path), "large", str(tmp_path / "whole"), models=models, pixels=5_000_000)
    whole = infer_slide(task)
    (report,), names = in_parts(replace(task, out=str(tmp_path / "parts")))
    assert names.count("patches") > 2
    assert (report.white_cells, report.blasts, report.patches) == (whole.white_cells, whole.blasts, whole.patches)
    assert report.warnings == whole.warnings
    assert files_of(tmp_path / "parts", "patches.csv") == files_of(tmp_path / "whole", "patches.csv")


def test_a_slide_that_vanishes_on_the_way_fails_once(slide, tmp_path, small_parts):
    task = InferTask(str(tmp_path / "gone.tif"), "gone", str(tmp_path / "out"), pixels=SIZE.width * SIZE.height)
    (report,), names = in_parts(task)
    assert (report.slide_id, report.status, names) == ("gone", "failed", ["prepare"])
    assert "does not exist" in report.error


def test_places_that_a_part_cannot_read_are_in_the_report_once(slide, tmp_path, small_parts):
    damaged = tmp_path / "damaged.tif"
    data = bytearray(slide.read_bytes())
    with tifffile.TiffFile(slide) as tiff:
        page = tiff.pages[0]
        for number in (14, 15):
            offset, count = page.dataoffsets[number], page.databytecounts[number]
            data[offset : offset + count] = bytes(count)
    damaged.write_bytes(data)
    task = InferTask(str(damaged), "damaged", str(tmp_path / "whole"), pixels=SIZE.width * SIZE.height)
    whole = infer_slide(task)
    (report,), _ = in_parts(replace(task, out=str(tmp_path / "parts")))
    assert (report.status, report.patches_failed, report.coverage) == ("partial", 2, whole.coverage)
    assert report.warnings == whole.warnings
