"""Every slide of a folder in a table: what it is, whether it opens, whether its pixels are OpenSlide's, how fast.

    python benchmarks/formats.py FOLDER [--channels A[,B[,C]]] [--limit-s 120] [--save FILE.md]

Each slide is looked at in a process of its own: one that dies or hangs is a row, too. Pixels are compared level by
level from the level's corner, since OpenSlide interpolates at other places of a level whose downsample is no whole
number. Times are of 256 px patches in turn at level 0, one thread, the file in the file system's cache.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from wsi_patches.datasets import find_slides
from wsi_patches.errors import WsiPatchesError
from wsi_patches.geometry import Box
from wsi_patches.slide import ReadOptions, SlideBase
from wsi_patches.slides import open_as

PATCH_PX, PATCHES = 256, 64
BAND_PX = 1024
MOST_PIXELS = 100_000_000
"""A level with a fractional downsample is compared in one piece, so only up to this."""


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    slide: str
    kind: str = ""
    reader: str = ""
    size: str = ""
    levels: str = ""
    mpp: str = ""
    vendor: str = ""
    opens: str = ""
    identical_to_openslide: str = ""
    ms_per_patch: str = ""


def look(path: str, name: str, channels: tuple[str, ...]) -> Row:
    """Return a slide's row."""
    try:
        options = ReadOptions(channels=channels)
        with open_as(path, options) as slide:
            row = described(slide, name)
            row = replace(row, ms_per_patch=f"{milliseconds(path, options):.2f}")
            return replace(row, identical_to_openslide=compared(slide, path))
    except WsiPatchesError as error:
        return Row(name, kind=Path(path).suffix, opens=f"no: {error}".replace(f"{path}", "it"))


def described(slide: SlideBase, name: str) -> Row:
    """Return what the slide says of itself."""
    info = slide.info
    return Row(
        name,
        kind=", ".join(part for part in (Path(info.path).suffix, info.levels[0].compression) if part),
        reader=info.reader,
        size=f"{info.size.width} x {info.size.height}",
        levels=str(len(info.levels)),
        mpp=f"{info.mpp:.4g}" if info.mpp else "unknown",
        vendor=info.vendor or "unknown",
        opens="; ".join(("yes", *info.notes)),
    )


def milliseconds(path: str, options: ReadOptions) -> float:
    """Return how long a patch takes: on places in turn, each decoded for the first time since the slide was opened."""
    for _ in range(2):  # the first turn warms the file system's cache alone
        with open_as(path, options) as slide:
            boxes = places(slide)
            began = time.perf_counter()
            for box in boxes:
                slide.read(box)
            taken_s = time.perf_counter() - began
    return taken_s / len(boxes) * 1000


def places(slide: SlideBase) -> list[Box]:
    """Return patches in reading order around the slide's middle."""
    columns, rows = (max(1, side // PATCH_PX) for side in slide.info.size)
    first = max(0, rows // 2 - PATCHES // (2 * columns)) * columns
    numbers = range(first, min(first + PATCHES, columns * rows))
    return [Box(n % columns * PATCH_PX, n // columns * PATCH_PX, PATCH_PX, PATCH_PX) for n in numbers]


def compared(slide: SlideBase, path: str) -> str:
    """Return on which levels the pixels are those of OpenSlide."""
    if slide.info.reader == "openslide":
        return "is OpenSlide"
    try:
        other = open_as(path, ReadOptions(reader="openslide"))
    except WsiPatchesError:
        return "OpenSlide does not read it"
    with other:
        both = [
            (own, theirs)
            for own, level in enumerate(slide.info.levels)
            for theirs, their_level in enumerate(other.info.levels)
            if level.size == their_level.size
        ]
        return ", ".join(f"level {own}: {verdict(slide, other, own, theirs)}" for own, theirs in both) or "no level"


def verdict(slide: SlideBase, other: SlideBase, own: int, theirs: int) -> str:
    """Return whether a level is the same through both."""
    width, height = slide.info.levels[own].size
    downsample = slide.info.levels[own].downsample
    whole_number = downsample == round(downsample)
    if not whole_number and width * height > MOST_PIXELS:
        return "too large"
    try:
        for band in bands(slide, own, BAND_PX if whole_number else height):
            if not np.array_equal(slide.read(band, own), other.read(band, theirs)):
                return "NO"
    except WsiPatchesError as error:
        return f"unreadable ({error})"
    return "yes"


def bands(slide: SlideBase, level: int, rows: int) -> Iterator[Box]:
    """Yield level-0 boxes that are bands of so many rows of a level."""
    (width, height), downsample = slide.info.levels[level].size, slide.info.levels[level].downsample
    for y in range(0, height, rows):
        part = (0, y, width, min(rows, height - y))
        yield Box(*(round(value * downsample) for value in part))


def look_in_child(sender: Connection, path: str, name: str, channels: tuple[str, ...]) -> None:
    """Send a slide's row."""
    sender.send(look(path, name, channels))


def looked_at(path: str, name: str, channels: tuple[str, ...], limit_s: float) -> Row:
    """Return a slide's row, made in a process that may die or hang."""
    context = get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=look_in_child, args=(sender, path, name, channels), daemon=True)
    child.start()
    sender.close()
    try:
        if receiver.poll(limit_s):
            return receiver.recv()
        child.kill()
        return Row(name, opens=f"NO ANSWER in {limit_s:g} s")
    except EOFError:
        child.join()
        return Row(name, opens=f"THE PROCESS DIED (exit code {child.exitcode})")
    finally:
        child.join()


def table(rows: list[Row]) -> str:
    """Return the rows as a Markdown table."""
    names = [field.name.replace("_", " ") for field in fields(Row)]
    lines = [names, ["---"] * len(names), *([str(cell).replace("|", "/") for cell in astuple(row)] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--channels", default="", help="of every slide; those in colours then refuse it")
    parser.add_argument("--limit-s", type=float, default=120.0)
    parser.add_argument("--save", type=Path)
    args = parser.parse_args()
    channels = tuple(name for name in args.channels.split(",") if name)
    rows = []
    for item in find_slides([args.folder]):
        path = Path(item.path)
        name = path.name if path == args.folder else path.relative_to(args.folder).as_posix()
        rows.append(looked_at(item.path, name, channels, args.limit_s))
        print(f"{name}: {rows[-1].opens}", flush=True)
    print(f"\n{table(rows)}")
    if args.save:
        args.save.write_text(f"{table(rows)}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
