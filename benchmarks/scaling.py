"""Whether cost grows with the work and no faster: patches, fields, files; and reading a store at random.

    python benchmarks/scaling.py [--work DIR] [--patches 100000] [--fields 10000] [--reads 2000]

Paints a small and a large slide that are cut at the same stride, and a folder of 640 x 480 px fields. Needs 20 GB.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import psutil

from wsi_patches import open_store
from wsi_patches.geometry import Size
from wsi_patches.synthetic import SmearSettings, paint_smear, write_slide
from wsi_patches.workflows.extract import ExtractSettings, extract

SIDE, STRIDE, FEW = 256, 96, 1000
FIELD = Size(640, 480)
PAINTED_FIELDS = 40
SMEAR = SmearSettings.random(3, cell_diameter_px=48.0)
MEMORY = """
import sys, psutil, numpy as np
from wsi_patches import open_store
store = open_store(sys.argv[1])
store.labels
before = psutil.Process().memory_info().rss
store.read(np.random.default_rng(1).integers(0, len(store), 256))
print(psutil.Process().memory_info().rss / 1e6, before / 1e6)
"""


def timed(inputs: Path, out: Path, **options: object) -> tuple[int, float]:
    """Extract, and return how many patches there are and the seconds it took."""
    shutil.rmtree(out, ignore_errors=True)
    began = time.perf_counter()
    result = extract(ExtractSettings((inputs,), out, codec="zstd", workers=1, fsync=False, **options))
    return result.patches, time.perf_counter() - began


def slide_of(patches: int, work: Path) -> Path:
    """Paint a slide that gives about so many patches."""
    side = SIDE + STRIDE * (math.ceil(math.sqrt(patches)) - 1)
    path = work / f"painted_{side}.tif"
    if not path.exists():
        write_slide(path, Size(side, side), SMEAR, mpp=0.25)
    return path


def fields(count: int, work: Path) -> Path:
    """Paint some fields and link them under many names."""
    folder = work / f"fields_{count}"
    if folder.exists():
        return folder
    folder.mkdir(parents=True)
    for number in range(count):
        path = folder / f"field_{number:06d}.jpg"
        if number < PAINTED_FIELDS:
            pixels, _ = paint_smear(FIELD, SmearSettings.random(number, cell_diameter_px=60.0))
            cv2.imwrite(str(path), pixels[..., ::-1])
        else:
            os.link(folder / f"field_{number % PAINTED_FIELDS:06d}.jpg", path)
    return folder


def grows(name: str, few: tuple[int, float], many: tuple[int, float]) -> None:
    """Print what one thing costs when there are few and when there are many."""
    one, other = (1e3 * seconds / count for count, seconds in (few, many))
    print(f"| {name} | {few[0]} at {one:.3f} ms | {many[0]} at {other:.3f} ms | {other / one:.2f} |", flush=True)


def reads(path: Path, count: int) -> None:
    """Print how long reading patches at random takes, and what 256 of them take of memory."""
    store, draw = open_store(path), np.random.default_rng(2)
    seconds = []
    for position in draw.integers(0, len(store), count):
        began = time.perf_counter()
        store.read([position])
        seconds.append(time.perf_counter() - began)
    p50, p95 = (1e3 * float(np.percentile(seconds, at)) for at in (50, 95))
    print(f"random reads of one patch of {len(store)}: p50 {p50:.2f} ms, p95 {p95:.2f} ms")
    for threads in (1, 2, 4):
        reader = open_store(path, threads=threads)
        for name, positions in (("random", draw.integers(0, len(store), count)), ("in order", np.arange(count))):
            began = time.perf_counter()
            for start in range(0, count, 64):
                reader.read(positions[start : start + 64])
            rate = count / (time.perf_counter() - began)
            print(f"batches of 64, {name}, {threads} threads: {rate:,.0f} patches/s")
    found = subprocess.run([sys.executable, "-c", MEMORY, str(path)], capture_output=True, text=True, check=True)
    after, before = map(float, found.stdout.split())
    print(f"256 random patches: {after:.0f} MB resident after, {before:.0f} MB before")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("bench-work"))
    parser.add_argument("--patches", type=int, default=100_000)
    parser.add_argument("--fields", type=int, default=10_000)
    parser.add_argument("--reads", type=int, default=2000)
    asked = parser.parse_args()
    asked.work.mkdir(parents=True, exist_ok=True)
    few_slide, many_slide = slide_of(FEW, asked.work), slide_of(asked.patches, asked.work)
    timed(few_slide, asked.work / "few.zarr", stride=STRIDE)  # what is loaded at first use is loaded now
    print("| what | few | many | ratio |\n|---|---|---|---|")
    few, store = timed(few_slide, asked.work / "few.zarr", stride=STRIDE), asked.work / "many.zarr"
    grows("ms a patch", few, timed(many_slide, store, stride=STRIDE))
    some, all_fields = fields(FEW, asked.work), fields(asked.fields, asked.work)
    few = (FEW, timed(some, asked.work / "few.zarr")[1])
    out = asked.work / "fields.zarr"
    grows("ms a field", few, (asked.fields, timed(all_fields, out)[1]))
    files = sum(path.is_file() for path in out.rglob("*"))
    print(f"\nfiles in the store of {asked.fields} fields: {files}, 1 for {asked.fields / files:.1f} fields")
    reads(store, asked.reads)
    print(f"peak memory of all this: {psutil.Process().memory_info().rss / 1e6:.0f} MB resident at the end")


if __name__ == "__main__":
    main()
