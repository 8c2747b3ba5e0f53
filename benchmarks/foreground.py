"""What `--foreground auto` keeps and drops: on annotated smears, on painted slides half glass, on a large file.

    python benchmarks/foreground.py --data FOLDER [--side 4096] [--large 16384] [--previews DIR]

FOLDER holds bccd, wbc_fov, txl_pbc and slides as their authors published them.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import tifffile
from finder import SETS, annotated

from wsi_patches.geometry import Box, Size
from wsi_patches.grid import PatchGrid, PatchSpec
from wsi_patches.imaging.foreground import ForegroundSettings, find_foreground
from wsi_patches.imaging.foreground_scan import ScanSettings
from wsi_patches.slides import ArraySlide, open_slide
from wsi_patches.synthetic import Smear, SmearSettings

GRIDS = (PatchSpec(256), PatchSpec(256, overlap=0.25), PatchSpec(128), PatchSpec(64))
HELD = 0.25
"""A patch that holds this share of a box, or its centre, holds the cell."""
LOOKS = {
    "plain": {},
    "pale": {"stain_strength": 0.4},
    "uneven": {"uneven_light": 0.6},
    "noisy": {"noise_sigma": 5.0},
    "blurred": {"blur_px": 5.0},
    "yellow": {"lamp_rgb": (240.0, 225.0, 160.0)},
    "dim": {"lamp_rgb": (120.0, 115.0, 125.0)},
    "sparse": {"red_coverage": 0.03},
    "thick": {"red_coverage": 0.9, "rouleaux": 0.4},
}
GLASS = ("own", "flat", "feather", "dusty")
SLIDES = ("aperio_cmu-1-small-region.svs", "aperio_tcga-cr-7395_jp2k_2level.svs")


def holding(xy: np.ndarray, side: int, boxes: np.ndarray) -> np.ndarray:
    """Which patches hold a boxed cell."""
    held = np.zeros(len(xy), bool)
    for left, top, right, bottom in boxes:
        centre = np.array([left + right, top + bottom]) / 2
        shared = np.minimum((right, bottom), xy + side) - np.maximum((left, top), xy)
        area = np.prod(np.clip(shared, 0, None), axis=1)
        held |= ((xy <= centre) & (centre < xy + side)).all(axis=1)
        held |= area >= HELD * (right - left) * (bottom - top)
    return held


def annotated_rows(folder: Path, name: str) -> Iterator[str]:
    """A row for each grid over a data set."""
    counts = np.zeros((len(GRIDS), 4), int)
    for _, image, boxes in annotated(folder, name):
        foreground = find_foreground(ArraySlide(image))
        for row, spec in enumerate(GRIDS):
            grid = PatchGrid(Size(image.shape[1], image.shape[0]), spec)
            kept, cells = foreground.keep(grid), holding(grid.xy(), grid.side, boxes)
            counts[row] += (len(grid), (~kept).sum(), cells.sum(), (cells & ~kept).sum())
    for spec, (patches, dropped, cells, lost) in zip(GRIDS, counts.tolist(), strict=True):
        cut = f"{spec.size_px}/{spec.step_px}"
        yield f"{name:8} {cut:>8} {patches:9d} {dropped / max(1, patches):9.3f} {cells:12d} {lost:9d}"


def half_glass(smear: Smear, glass: str) -> np.ndarray:
    """Paint a smear whose right half is bare."""
    width, height = smear.size
    edge = width // 2
    settings = replace(smear.settings, red_coverage=0.0, blasts=0, others=0, platelets_per_red=0.0, debris_per_mpx=0.0)
    bare = Smear(smear.size, replace(settings, debris_per_mpx=1.0) if glass == "dusty" else settings)
    pixels = smear.paint_window(Box(0, 0, width, height))
    if glass == "feather":
        ramp = np.clip((edge - np.arange(edge)) / (edge / 4), 0, 1)[None, :, None]
        ground = bare.paint_window(Box(0, 0, edge, height)).astype(float)
        pixels[:, :edge] = np.clip(ground * ((pixels[:, :edge] + 1) / (ground + 1)) ** ramp, 0, 255)
    pixels[:, edge:] = 240 if glass == "flat" else bare.paint_window(Box(edge, 0, width - edge, height))
    return pixels


def painted_row(look: str, glass: str, side: int) -> str:
    """A row of the table of painted slides."""
    settings = SmearSettings(seed=7, **LOOKS[look])
    smear = Smear(Size(side, side), settings)
    slide = ArraySlide(half_glass(smear, glass), mpp=12 / settings.cell_diameter_px)
    began = time.perf_counter()
    foreground = find_foreground(slide)
    seconds = time.perf_counter() - began
    grid = PatchGrid(smear.size, PatchSpec(256))
    kept, blank = foreground.keep(grid), grid.xy()[:, 0] >= side // 2
    cells = [(~blank) & centred(grid, points) for points in (smear.cells.xy, smear.red.xy)]
    shares = [(~kept[blank]).mean(), *(kept[held].mean() for held in cells)]
    return f"{look:8} {glass:8} " + " ".join(
        f"{share:9.4f}" for share in (*shares, 1e3 * seconds / (side * side / 1e6))
    )


def centred(grid: PatchGrid, points: np.ndarray) -> np.ndarray:
    """Which places of a grid without overlap hold the centre of a cell."""
    columns = len(grid.columns_px)
    column, row = np.minimum(np.asarray(points) // grid.side, (columns - 1, len(grid.rows_px) - 1)).T.astype(int)
    return np.isin(grid.index_array(), row * columns + column)


def write_one_level(path: Path, side: int) -> None:
    """Write a tiled JPEG TIFF of one level: a painted smear again and again, and glass."""
    settings = SmearSettings(seed=7)
    smear = half_glass(Smear(Size(2048, 2048), settings), "own")
    cells, glass = smear[:, :1024], smear[:, 1024:]
    tiles = (
        (cells if x < side // 2 else glass)[y % 2048 : y % 2048 + 256, x % 1024 : x % 1024 + 256]
        for y in range(0, side, 256)
        for x in range(0, side, 256)
    )
    form = {"photometric": "rgb", "compression": "jpeg", "compressionargs": {"level": 90}, "tile": (256, 256)}
    tifffile.imwrite(path, tiles, shape=(side, side, 3), dtype=np.uint8, metadata=None, **form)


def peak_mb() -> float:
    """The most memory that this process has held; Linux only."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


def large_row(path: str) -> str:
    """Seconds and memory for one large file, beside reading the same windows and doing nothing with them."""
    cv2.setNumThreads(1)
    with open_slide(path) as slide:
        find_foreground(ArraySlide(np.full((64, 64, 3), 240, np.uint8)))
        width, height = slide.info.size
        slide.read(Box(0, 0, 2048, 2048))
        before, began = peak_mb(), time.perf_counter()
        for y in range(0, height, 2048):
            for x in range(0, width, 2048):
                slide.read(Box(x, y, 2048, 2048).clipped(slide.info.size))
        reading, read_mb = time.perf_counter() - began, peak_mb()
        began = time.perf_counter()
        foreground = find_foreground(slide)
        found = time.perf_counter() - began
        figures = f"reading alone {reading:.2f} s, foreground {found:.2f} s, foreground's share {foreground.share:.3f}"
        memory = f"before {before:.0f} MB, reading +{read_mb - before:.0f} MB, foreground +{peak_mb() - read_mb:.0f} MB"
        return f"one level, {width} x {height} px ({slide.info.reader}): {figures}; peak memory {memory}"


def lone_cells(side: int, um: float, stain: float) -> str:
    """White cells on bare glass that are lost at a coarse working pixel, as on the largest slides."""
    settings = SmearSettings(seed=3, blasts=60, others=60, touching=0.0, red_coverage=0.0, stain_strength=stain)
    smear = Smear(Size(side, side), replace(settings, platelets_per_red=0.0))
    slide = ArraySlide(smear.paint_window(Box(0, 0, side, side)), mpp=0.25)
    foreground = find_foreground(slide, ForegroundSettings(ScanSettings(pixel_um=um, least_px=1)))
    kept = foreground.keep(np.hstack([smear.cells.xy, np.ones_like(smear.cells.xy)]))
    return f"{um:g} um a working pixel, stain {stain:g}: {(~kept).sum()} of {len(kept)} lone white cells lost"


def write_preview(path: Path, to: Path) -> None:
    """Write what is kept of a slide as a picture."""
    with open_slide(path) as slide:
        picture = find_foreground(slide).preview(PatchGrid(slide.info.size, PatchSpec(128)))
    to.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(to / f"{path.stem}.png"), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    shared = os.environ.get("WSI_PATCHES_SHARED")
    parser.add_argument("--data", type=Path, default=None if shared is None else Path(shared) / "data")
    parser.add_argument("--side", type=int, default=4096, help="of the painted slides, in pixels")
    parser.add_argument("--large", type=int, default=16384, help="side of the large slide; 0 for none")
    parser.add_argument("--previews", type=Path, default=None, help="folder for pictures of the tissue slides")
    options = parser.parse_args()
    if options.data is None or not options.data.is_dir():
        parser.error(f"no folder of data at {options.data}: give --data FOLDER, or set WSI_PATCHES_SHARED")
    cv2.setNumThreads(1)
    print(f"{'data':8} {'px/step':>8} {'patches':>9} {'dropped':>9} {'with a cell':>12} {'lost':>9}")
    for name in SETS:
        print(*annotated_rows(options.data, name), sep="\n", flush=True)
    heads = ("blank out", "white in", "red in", "ms/Mpx")
    print(f"\n{'painted':8} {'glass':8} " + " ".join(f"{head:>9}" for head in heads))
    for look in LOOKS:
        print(*(painted_row(look, glass, options.side) for glass in GLASS), sep="\n", flush=True)
    print(*(lone_cells(options.side, um, stain) for um in (2, 4, 8) for stain in (1.0, 0.3)), sep="\n", flush=True)
    if options.large:
        with tempfile.TemporaryDirectory() as folder, get_context("spawn").Pool(1) as pool:
            path = Path(folder) / "large.tif"
            write_one_level(path, options.large)
            print(pool.apply(large_row, (str(path),)))
    if options.previews is not None:
        for name in SLIDES:
            write_preview(options.data / "slides" / name, options.previews)


if __name__ == "__main__":
    main()
