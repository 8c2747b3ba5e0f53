"""What a scheduler costs: a task of the real shape with nothing in it, and two workers against one.

    python benchmarks/scale.py tasks [--tasks 10000 100000] [--workers 2]
    python benchmarks/scale.py workers [--fields 64] [--work DIR] [--repeat 3]

`tasks` sends empty tasks of `extract`'s shape through the executor, and tells the time of each and the memory of the
process that holds the scheduler. `workers` runs extract and infer over painted fields on one local Dask worker and on
two.
"""

from __future__ import annotations

import argparse
import os
import pickle
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from wsi_patches.annotations import AnnotationFile
from wsi_patches.cells import ALL_IDB_RULE
from wsi_patches.datasets import SlideItem
from wsi_patches.executors import make_executor
from wsi_patches.extract import ExtractTask, SlideJob
from wsi_patches.geometry import Size
from wsi_patches.grid import PatchSpec
from wsi_patches.outcome import DONE, Outcome
from wsi_patches.stores import StoreSettings
from wsi_patches.synthetic import SmearSettings, paint_smear

FIELD = Size(2592, 1944)
"""As the larger fields of ALL-IDB1."""
TASK_S = 10.0
"""The least that a task is cut to take, in seconds."""


def empty_task(number: int, settings: StoreSettings) -> ExtractTask:
    """Return a task of one slide, as `extract` makes it."""
    name = f"slide_{number:07d}"
    annotations = (AnnotationFile(f"/data/hospital/annotations/{name}.geojson"),)
    item = SlideItem(f"/data/hospital/2026/slides/{name}.svs", annotations, group=f"patient_{number:07d}")
    return ExtractTask("/data/out.zarr", f"part_{number:07d}", settings, "zstd", (SlideJob(item, name, 0, 4096),))


def nothing(task: ExtractTask) -> list[Outcome]:
    """Return what `extract` returns for a part."""
    return [Outcome(job.slide_id, job.item.path, DONE, job.patches) for job in task.jobs]


def time_tasks(count: int, workers: int) -> dict[str, float]:
    """Send empty tasks through local workers."""
    settings = StoreSettings(PatchSpec(256), ALL_IDB_RULE)
    process = psutil.Process()

    def tasks() -> Iterator[ExtractTask]:
        return (empty_task(number, settings) for number in range(count))

    with make_executor(workers, "local") as executor:
        list(executor.map(nothing, [empty_task(0, settings)] * 100))
        before, most = process.memory_info().rss, 0
        began, cpu = time.perf_counter(), process.cpu_times()
        for done, finished in enumerate(executor.map(nothing, tasks()), start=1):
            assert finished.error is None, finished.error
            if done % 500 == 0:
                most = max(most, process.memory_info().rss)
        seconds, after = time.perf_counter() - began, process.cpu_times()
    return {
        "tasks": count,
        "bytes of a task": len(pickle.dumps(empty_task(0, settings))),
        "ms a task": 1e3 * seconds / count,
        "ms of processor a task": 1e3 * (after.user + after.system - cpu.user - cpu.system) / count,
        "MB before": before / 1e6,
        "MB at most": most / 1e6,
    }


def paint(folder: Path, count: int) -> Path:
    """Paint fields, once."""
    import cv2

    if len(list(folder.glob("*.png"))) == count:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for number in range(count):
        image, _ = paint_smear(FIELD, SmearSettings.random(number))
        cv2.imwrite(str(folder / f"field_{number:03d}.png"), image[..., ::-1])
    return folder


def time_commands(fields: Path, work: Path, workers: int) -> dict[str, float]:
    """Run extract and infer in processes of their own, and return the seconds of each.

    Compiled Python is kept from one to the next, as an installation keeps it.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONPYCACHEPREFIX": str(work.absolute() / "compiled")}
    where = ["--cluster", "local", "--workers", str(workers), "--overwrite", "-q"]
    seconds = {}
    for name, out in (("extract", "patches.zarr"), ("infer", "counts")):
        command = [sys.executable, "-m", "wsi_patches", name, str(fields), "-o", str(work / out), *where]
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
        seconds[name] = time.perf_counter() - began
    return seconds


def compare_workers(fields: Path, work: Path, repeat: int) -> None:
    """Print one worker and two side by side, turn about, so that a busy machine spoils neither."""
    time_commands(paint(work / "fields_2", 2), work, 1)  # compiles
    best: dict[tuple[str, int], float] = {}
    for _ in range(repeat):
        for workers in (1, 2):
            for name, seconds in time_commands(fields, work, workers).items():
                best[name, workers] = min(seconds, best.get((name, workers), seconds))
    print("| command | 1 worker, s | 2 workers, s | ratio |\n|---|---|---|---|")
    for name in ("extract", "infer"):
        one, two = best[name, 1], best[name, 2]
        print(f"| {name} | {one:.1f} | {two:.1f} | {one / two:.2f} |")
    one, two = (sum(best[name, workers] for name in ("extract", "infer")) for workers in (1, 2))
    print(f"| both | {one:.1f} | {two:.1f} | {one / two:.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["tasks", "workers"])
    parser.add_argument("--tasks", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--fields", type=int, default=64)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--work", type=Path, default=Path("bench-work"))
    asked = parser.parse_args()
    if asked.what == "workers":
        compare_workers(paint(asked.work / f"fields_{asked.fields}", asked.fields), asked.work, asked.repeat)
        return
    rows = [time_tasks(count, asked.workers) for count in asked.tasks]
    print(f"| {' | '.join(rows[0])} | share of a task of {TASK_S:g} s |\n|{'---|' * (len(rows[0]) + 1)}")
    for row in rows:
        share = row["ms a task"] / (1e3 * TASK_S)
        print(f"| {' | '.join(f'{value:,.4g}' for value in row.values())} | {share:.2%} |")


if __name__ == "__main__":
    main()
