"""What a user reads of each broken file: in a table, with seconds and memory.

    python benchmarks/broken.py FILE|FOLDER... [--limit-s 10] [--limit-mb 1024] [--save FILE.md]

Each file is opened, read level by level and extracted in a fresh interpreter, which is killed beyond either limit:
one that crashes, hangs or says something of its own is a row, too. Memory is what the process holds at most, the
libraries' own 100 to 150 MB included, looked at every few milliseconds.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import psutil

from wsi_patches.errors import SlideError
from wsi_patches.geometry import Box
from wsi_patches.slide import SlideBase
from wsi_patches.slides import is_slide_folder, open_slide
from wsi_patches.stores import verify_store
from wsi_patches.workflows.extract import ExtractSettings, extract

MOST_PIXELS = 64_000_000
WINDOW_PX, PATCH_PX = 512, 64
POLL_S = 0.005


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    file: str
    what_the_user_reads: str
    seconds: str
    peak_mb: str
    process: str
    """How it ended."""


def look(path: Path) -> str:
    """Return what opening, reading and extracting a file come to."""
    try:
        with open_slide(path) as slide:
            info = slide.info
            lost = sum(read_level(slide, level) for level in range(len(info.levels)))
    except SlideError as error:
        return f"refused on opening: {error}"
    told = f"{info.size.width} x {info.size.height}, {len(info.levels)} levels, {lost} unreadable windows"
    return "; ".join((f"opens: {told}; extract: {extracted(path)}", *info.notes))


def read_level(slide: SlideBase, level: int) -> int:
    """Read a level in windows, up to so many pixels, and return how many cannot be read."""
    of_level, lost = slide.info.levels[level], 0
    for window in windows(*of_level.size):
        pixels = (round(value * of_level.downsample) for value in window)
        try:
            slide.read(Box(*pixels), level)
        except SlideError:
            lost += 1
    return lost


def windows(width: int, height: int) -> Iterator[Box]:
    """Yield windows row by row."""
    left = MOST_PIXELS
    for y in range(0, height, WINDOW_PX):
        for x in range(0, width, WINDOW_PX):
            if left <= 0:
                return
            left -= WINDOW_PX**2
            yield Box(x, y, min(WINDOW_PX, width - x), min(WINDOW_PX, height - y))


def extracted(path: Path) -> str:
    """Return the outcome of ``extract``."""
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "a.zarr"
        result = extract(ExtractSettings((path,), store, patch_size=PATCH_PX, edge="pad", workers=1, fsync=False))
        torn = verify_store(store) if result.patches else []
    (outcome,) = result.outcomes
    told = (
        f"failed: {outcome.error}"
        if outcome.error
        else f"{outcome.status}, {outcome.unreadable} of {outcome.patches} places unreadable"
    )
    return f"{told}; STORE TORN: {torn}" if torn else told


def looked_at(path: Path, name: str, limit_s: float, limit_mb: float) -> Row:
    """Return a file's row, made in a process that may die or hang."""
    command, began, peak, ended = [sys.executable, __file__, "--one", str(path)], time.perf_counter(), 0, ""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = psutil.Popen(command, stdout=out, stderr=err, stdin=subprocess.DEVNULL)
        while process.poll() is None and not ended:
            peak = max(peak, resident(process))
            if time.perf_counter() - began > limit_s:
                ended = f"KILLED after {limit_s:g} s"
            elif peak > limit_mb * 1e6:
                ended = f"KILLED over {limit_mb:g} MB"
            time.sleep(POLL_S)
        if ended:
            process.kill()
        ended = ended or ("" if process.wait() == 0 else f"DIED with {process.returncode}")
        process.wait()
        seconds = time.perf_counter() - began
        texts = [(stream.seek(0), stream.read().decode(errors="replace"))[1] for stream in (out, err)]
    ended = f"{ended or 'ended well'}{'; SAID: ' + ' '.join(texts[1].split())[-300:] if texts[1] else ''}"
    told = json.loads(texts[0]) if texts[0] else ""
    return Row(name, told.replace(str(path), "it"), f"{seconds:.1f}", f"{peak / 1e6:.0f}", ended)


def resident(process: psutil.Process) -> int:
    """Return the bytes that a process holds; 0 for one that has just ended."""
    try:
        return int(process.memory_info().rss)
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return 0


def files_of(path: Path) -> list[tuple[Path, str]]:
    """Return the files of a folder, or the one that is named, with their names."""
    if not path.is_dir() or is_slide_folder(path):
        return [(path, path.name)]
    found = (one for one in sorted(path.rglob("*")) if not one.is_dir() and one.suffix != ".csv")
    return [(one, one.relative_to(path).as_posix()) for one in found]


def table(rows: list[Row]) -> str:
    """Return the rows as a Markdown table."""
    names = [field.name.replace("_", " ") for field in fields(Row)]
    lines = [names, ["---"] * len(names), *([cell.replace("|", "/") for cell in astuple(row)] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", type=Path, nargs="*")
    parser.add_argument("--limit-s", type=float, default=10.0)
    parser.add_argument("--limit-mb", type=float, default=1024.0)
    parser.add_argument("--save", type=Path)
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one is not None:
        print(json.dumps(look(asked.one)))
        return
    rows = [
        looked_at(path, name, asked.limit_s, asked.limit_mb) for given in asked.paths for path, name in files_of(given)
    ]
    print(table(rows))
    if asked.save:
        asked.save.write_text(f"{table(rows)}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
