"""Extraction against the plain loop, side by side in one run: patches a second, CPU, peak memory, bytes, ratios.

    python benchmarks/extract.py [SLIDE ...] [--work DIR] [--repeat 3] [--plain-patches 3000] [--save FILE.md]

Without a slide two are painted, 8192 and 30208 px of 256 px JPEG tiles. Every case is a process of its own on a warm
page cache; the best of ``--repeat`` turns counts, and the turns of all cases are interleaved, so that a busy machine is
busy for all. The plain loop is openslide-python's ``read_region`` into zarr-python's defaults, a patch at a time.
tiatoolbox and cuCIM join where they are installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import extract_cases
import psutil

CASES = Path(extract_cases.__file__)
POLL_S = 0.01
PAINTED_PX = (8192, 30208)


@dataclass(frozen=True)
class Case:
    """One way of doing the work, on one slide."""

    name: str
    slide: Path
    how: str
    """The function of extract_cases that does it."""
    stride: int = 256
    codec: str = ""
    workers: int = 1
    fsync: bool = False
    limit: int = 0

    def command(self, out: Path) -> list[str]:
        """Return the process that does it."""
        asked = {"slide": str(self.slide), "stride": self.stride, "codec": self.codec, "workers": self.workers}
        asked |= {"fsync": self.fsync, "limit": self.limit, "out": str(out)}
        return [sys.executable, str(CASES), self.how, json.dumps(asked)]


def cases(slide: Path, plain_patches: int) -> Iterator[Case]:
    """Yield what is compared on one slide."""
    for stride in (256, 192):
        yield Case("plain loop", slide, "plain", stride, limit=plain_patches)
        for codec in ("zstd", "lz4", "none", *(["jpeg"] if stride == 256 else [])):
            for workers in (1, 2):
                for fsync in (False, True):
                    yield Case("wsi-patches", slide, "ours", stride, codec, workers, fsync)
        yield Case("read: openslide-python", slide, "read_openslide", stride, limit=plain_patches)
        yield Case("read: wsi-patches", slide, "read_ours", stride, limit=plain_patches)
        for name in ("cucim", "tiatoolbox"):
            if importlib.util.find_spec(name):
                yield Case(f"read: {name}", slide, f"read_{name}", stride, limit=plain_patches)


def measure(case: Case, work: Path) -> dict[str, float]:
    """Run a case in a process of its own, and watch the memory of that process and of all below it."""
    out = work / "out.zarr"
    shutil.rmtree(out, ignore_errors=True)
    os.sync()  # what the case before it wrote must not be written while this one is timed
    with psutil.Popen(case.command(out), stdout=subprocess.PIPE, text=True) as process:
        peak = 0
        while process.poll() is None:
            peak = max(peak, resident(process))
            time.sleep(POLL_S)
        result: dict[str, float] = json.loads(process.stdout.read())
    result["peak_mb"] = peak / 1e6
    result["mb"] = sum(path.stat().st_size for path in out.rglob("*") if path.is_file()) / 1e6
    return result


def resident(process: psutil.Process) -> int:
    """Return the bytes that a process and its children hold."""
    total = 0
    for one in (process, *children(process)):
        try:
            total += one.memory_info().rss
        except psutil.NoSuchProcess:  # it ended since it was listed
            continue
    return total


def children(process: psutil.Process) -> list[psutil.Process]:
    """Return the processes below one that may have ended."""
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def first_shard_s(slide: Path, work: Path, codec: str) -> float:
    """Return how long after the command's start the first whole shard lies on disk."""
    out = work / "first.zarr"
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, "-m", "wsi_patches", "extract", str(slide), "-o", str(out), "--codec", codec, "-q"]
    began = time.perf_counter()
    with subprocess.Popen(command) as process:
        while not any(path.is_file() and path.suffix != ".partial" for path in out.glob("parts/*/images/c/**/*")):
            if process.poll() is not None:
                break
            time.sleep(POLL_S)
        return time.perf_counter() - began


def best(results: list[dict[str, float]]) -> dict[str, float]:
    """Return the fastest turn, with the largest memory of all turns."""
    fastest = min(results, key=lambda one: one["wall_s"] / one["patches"])
    return {**fastest, "peak_mb": max(one["peak_mb"] for one in results)}


def rows(slide: Path, found: dict[Case, dict[str, float]]) -> Iterator[str]:
    """Yield a table's lines for one slide; each ratio is to the plain case of the same stride."""
    yield "| what | stride | codec | workers | fsync | patches/s | CPU ms/patch | peak MB | MB on disk | times plain |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for case, one in found.items():
        if case.slide != slide:
            continue
        base = "read_openslide" if case.how.startswith("read") else "plain"
        plain = next(
            other for key, other in found.items() if (key.slide, key.how, key.stride) == (slide, base, case.stride)
        )
        rate, plain_rate = (value["patches"] / value["wall_s"] for value in (one, plain))
        cells = [case.name, case.stride, case.codec or "-", case.workers, "yes" if case.fsync else "no"]
        cells += [f"{rate:,.0f}", f"{1e3 * one['cpu_s'] / one['patches']:.3f}", f"{one['peak_mb']:.0f}"]
        cells += [f"{one['mb']:.1f}", f"{rate / plain_rate:.1f}"]
        yield "| " + " | ".join(map(str, cells)) + " |"


def paint(work: Path) -> list[Path]:
    """Paint the two slides, once."""
    from wsi_patches.geometry import Size
    from wsi_patches.synthetic import SmearSettings, write_slide

    settings = SmearSettings.random(3, cell_diameter_px=48.0, blasts_per_mpx=1.0, others_per_mpx=1.0)
    paths = [work / f"painted_{side}.tif" for side in PAINTED_PX]
    for path, side in zip(paths, PAINTED_PX, strict=True):
        if not path.exists():
            write_slide(path, Size(side, side), settings, mpp=0.25)
    return paths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("slides", nargs="*", type=Path)
    parser.add_argument("--work", type=Path, default=Path("bench-work"), help="where slides and stores are made")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--plain-patches", type=int, default=2000, help="how many patches the plain loop does")
    parser.add_argument("--save", type=Path, help="a Markdown file to write the table to")
    asked = parser.parse_args()
    asked.work.mkdir(parents=True, exist_ok=True)
    slides = asked.slides or paint(asked.work)
    found: dict[Case, list[dict[str, float]]] = {}
    for turn in range(asked.repeat):
        for slide in slides:
            slide.read_bytes()  # into the page cache
            for case in cases(slide, asked.plain_patches):
                print(f"turn {turn + 1}: {slide.name} {case}", file=sys.stderr)
                found.setdefault(case, []).append(measure(case, asked.work))
    text = "\n".join(report(slides, {case: best(turns) for case, turns in found.items()}, asked.work))
    print(text)
    if asked.save:
        asked.save.write_text(text + "\n")


def report(slides: list[Path], found: dict[Case, dict[str, float]], work: Path) -> Iterator[str]:
    """Yield the whole report in Markdown."""
    yield f"# Extraction, {datetime.now(UTC):%Y-%m-%d}"
    yield f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}."
    for slide in slides:
        yield f"\n## {slide.name}, {slide.stat().st_size / 1e6:.1f} MB\n"
        yield from rows(slide, found)
        for codec in ("zstd", "auto"):
            seconds = min(first_shard_s(slide, work, codec) for _ in range(3))
            yield f"\nFrom the command's start to the first whole shard, codec {codec}: {seconds:.2f} s."


if __name__ == "__main__":
    main()
