"""Finders of white cells on painted smears made hard on purpose: a row a case, any number of finders side by side.

    python benchmarks/hard_cases.py [--finder classical] [--finder learned] [--finder FILE] [--only CASE ...] [-o DIR]

The truth is exact. A cell counts where its centre lies in the field and can be read; of one whose centre does not, what
is seen may be found or not. A found point is right within the cell's own radius, one point a cell. Everything about a
smear's look that a case does not fix (stain, lamp, crowding, noise) is drawn anew for each field. With ``-o`` a gallery
of each finder's errors is written for each case.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from safetensors.torch import load_file

from wsi_patches.counting import assign_points_to_points, find_cells
from wsi_patches.errors import SlideError
from wsi_patches.evaluate.detection import FieldDetections
from wsi_patches.evaluate.gallery import detection_errors, detection_gallery
from wsi_patches.geometry import Box, Size
from wsi_patches.imaging import WhiteCellFinder
from wsi_patches.models.cell_finder import LearnedCellFinder
from wsi_patches.models.finder_network import CellFinderNet
from wsi_patches.slide import SlideBase
from wsi_patches.slides import ArraySlide, ForgivingSlide
from wsi_patches.synthetic import Smear, SmearSettings

FIRST_SEED = 9000
"""No training paints smears of these seeds."""
CELL_PX, CELL_UM = 48, 12.0
MAGNIFICATIONS = (16, 24, 36, 48, 72, 110, 160, 240)
"""White cell diameters in pixels."""
FIELD, SLIDE, STRIP = Size(960, 720), Size(2400, 1800), (800, 900)
"""Sizes of fields and of slides of several windows; rows of such a slide that cannot be read."""
NO_RED: dict[str, Any] = {"red_coverage": 0.0, "platelets_per_red": 0.0}
NO_WHITE: dict[str, Any] = {"blasts": 0, "others": 0}


@dataclass(frozen=True)
class Field:
    """A slide and its white cells."""

    slide: SlideBase
    xy: np.ndarray
    """Centres in the slide's pixels, shape ``(n, 2)``; some may lie outside."""
    radius_px: np.ndarray
    window_px: int = 2048

    def counts(self) -> np.ndarray:
        """Return which cells count: their centres lie in the slide and in none of the holes found so far."""
        box = Box(0, 0, *self.slide.info.size)
        lost = [_inside(self.xy, hole) for hole in getattr(self.slide, "holes", [])]
        return _inside(self.xy, box) & ~np.any([np.zeros(len(self.xy), bool), *lost], axis=0)


class TornSlide(ArraySlide):
    """A slide of which a strip cannot be read."""

    def _read_level(self, box_px: Box, level: int) -> np.ndarray:
        if box_px.y < STRIP[1] and box_px.bottom > STRIP[0]:
            msg = f"rows {STRIP[0]} to {STRIP[1]} are damaged"
            raise SlideError(msg)
        return super()._read_level(box_px, level)


def _inside(xy: np.ndarray, box: Box) -> np.ndarray:
    return np.asarray(((xy >= (box.x, box.y)) & (xy < (box.right, box.bottom))).all(axis=1))


def smear_of(seed: int, size: Size, look: dict[str, Any]) -> Smear:
    """Return a smear whose white cells the border does not cut unless the look says so."""
    usual = {"cell_diameter_px": float(CELL_PX), "margin_diameters": 0.7}
    return Smear(size, SmearSettings.random(FIRST_SEED + seed, **{**usual, **look}))


def field(seed: int, size: Size = FIELD, window_px: int = 2048, mpp: float | None = None, **look: Any) -> Field:
    """Paint one field."""
    smear = smear_of(seed, size, look)
    slide = ArraySlide(smear.paint_window(Box(0, 0, *size)), mpp)
    return Field(slide, smear.cells.xy, smear.cells.attributes["radius_px"], window_px)


def magnified(seed: int, diameter_px: float, stated: bool) -> Field:
    """Paint the same piece of a smear at some magnification."""
    size, mpp = Size(round(14 * diameter_px), round(10.5 * diameter_px)), CELL_UM / diameter_px
    blur_px = 0.3 + 0.015 * diameter_px
    look = {"blasts": 3, "others": 3, "cell_diameter_px": float(diameter_px), "blur_px": blur_px}
    return field(seed, size, mpp=mpp if stated else None, **look)


def torn(seed: int) -> Field:
    """Paint a slide with a strip that cannot be read."""
    whole = field(seed, SLIDE, window_px=500)
    slide = TornSlide(whole.slide.read(Box(0, 0, *SLIDE)))
    return Field(ForgivingSlide(slide), whole.xy, whole.radius_px, whole.window_px)


def cut_by_border(seed: int, width: int = 480, height: int = 360) -> Field:
    """Paint a field whose border, left, right, above and below in turn, cuts a cell; its centre is still seen."""
    look = {"blasts": 3, "others": 3, "margin_diameters": width / CELL_PX}
    smear = smear_of(seed, Size(3 * width, 2 * width + height), look)
    rng, radius_px = np.random.default_rng(seed), smear.cells.attributes["radius_px"]
    near, x, y = rng.uniform(0, 0.9) * radius_px[0], rng.uniform(0.1, 0.9) * width, rng.uniform(0.1, 0.9) * height
    at = [(near, y), (width - 1 - near, y), (x, near), (x, height - 1 - near)][seed % 4]
    left, top = np.round(smear.cells.xy[0] - at).astype(int).tolist()
    slide = ArraySlide(smear.paint_window(Box(left, top, width, height)))
    return Field(slide, smear.cells.xy - (left, top), radius_px)


def restained(seed: int) -> Field:
    """Paint a field and change its hue by up to a sixth of the circle and each channel by a power."""
    plain, rng = field(seed), np.random.default_rng(seed)
    hsv = cv2.cvtColor(plain.slide.read(Box(0, 0, *plain.slide.info.size)), cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0].astype(int) + int(rng.integers(-30, 31))) % 180
    light = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB) / 255
    pixels = np.round(255 * light ** rng.uniform(0.6, 1.6, 3)).astype(np.uint8)
    return Field(ArraySlide(pixels), plain.xy, plain.radius_px)


def cases() -> dict[str, tuple[Callable[[int], Field], float]]:
    """Return how each case is painted, and its number of fields as a share of the usual number."""
    one = {"size": Size(480, 360), "blasts": 0, "others": 1, **NO_RED}
    fields: dict[str, tuple[dict[str, Any], float]] = {
        "plain": ({}, 1),
        "touching": ({"blasts_per_mpx": 30.0, "others_per_mpx": 30.0, "touching": 0.9}, 0.5),
        "slide of 20 windows": ({"size": SLIDE, "window_px": 500}, 0.25),
        "smudge cells": ({"smudges_per_mpx": 12.0}, 1),
        "precipitate": ({"precipitate_per_mpx": 20.0}, 1),
        "dirt": ({"dirt_per_mpx": 20.0, "debris_per_mpx": 10.0}, 1),
        "platelet traps": ({"platelets_on_red": 0.1, "platelet_clumps_per_mpx": 15.0}, 1),
        "vignetting": ({"uneven_light": 0.8}, 1),
        **{f"blur {sigma} px": ({"blur_px": sigma}, 1) for sigma in (1.5, 2.5, 4.0)},
        "hardly any red cell": ({"red_coverage": 0.01}, 1),
        "one cell, no red cell": (one, 1),
        "no white cell": ({**NO_WHITE}, 1),
        "no white cell, artefacts": ({**NO_WHITE, "smudges_per_mpx": 6.0, "precipitate_per_mpx": 10.0}, 1),
        "glass and dirt": ({**NO_WHITE, **NO_RED, "dirt_per_mpx": 20.0, "debris_per_mpx": 40.0}, 1),
    }
    painted = {name: (partial(field, **look), share) for name, (look, share) in fields.items()}
    others = {"cut by the border": (cut_by_border, 2), "strip unreadable": (torn, 0.25), "re-stained": (restained, 1)}
    for stated in (False, True):
        for px in MAGNIFICATIONS:
            name = f"cells of {px} px" + (", um known" if stated else "")
            others[name] = (partial(magnified, diameter_px=px, stated=stated), 0.5 if px > 100 else 1)
    return {**painted, **others}


def load(name: str) -> Any:
    """Return a finder: ``classical``, ``learned`` for the one that ships, or weights as finder_folds.py writes them."""
    if name == "classical":
        return WhiteCellFinder()
    if name == "learned":
        return LearnedCellFinder.load()
    network = CellFinderNet()
    network.load_state_dict(load_file(name))
    return LearnedCellFinder.of(network, torch.device("cpu"))


def detections(one: Field, number: int, finder: Any) -> FieldDetections:
    """Find the cells of a field and match them; points on a cell that does not count are neither right nor wrong."""
    found = find_cells(one.slide, finder, window_px=one.window_px)
    counts, score = one.counts(), found.score.astype(np.float64)
    assigned = assign_points_to_points(found.xy, score, one.xy[counts], one.radius_px[counts])
    spared = assign_points_to_points(found.xy, score, one.xy[~counts], one.radius_px[~counts]) >= 0
    kept = (assigned >= 0) | ~spared
    name = f"field {number}"
    return FieldDetections(name, name, found.xy[kept], score[kept], assigned[kept], one.xy[counts])


def figures(found: Sequence[FieldDetections], area_px: float) -> str:
    """Return recall, precision, F1, mean error of a field's count, and false alarms for each million pixels."""
    right = sum(int((one.assigned >= 0).sum()) for one in found)
    points, cells = sum(len(one.scores) for one in found), sum(one.truth_count for one in found)
    shares = (right / cells, right / points if points else float("nan"), 2 * right / (points + cells)) if cells else ()
    error = np.mean([abs(len(one.scores) - one.truth_count) for one in found])
    columns = [f"{share:6.3f}" for share in shares] or ["     -"] * 3
    return " ".join([*columns, f"{error:6.2f}", f"{(points - right) / area_px * 1e6:6.2f}"])


def write_gallery(fields: Sequence[Field], found: Sequence[FieldDetections], path: Path) -> None:
    """Write a picture of what was made up and what was missed."""
    errors, crops = detection_errors(found), []
    for error in errors:
        one = fields[error.field]
        side = round(6 * float(np.median(one.radius_px))) if len(one.radius_px) else 4 * CELL_PX
        crops.append(one.slide.read(Box(round(error.x) - side // 2, round(error.y) - side // 2, side, side)))
    picture = detection_gallery(crops, errors)
    if picture is not None:
        cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))


def row(case: str, usual: int, finders: dict[str, Any], out: Path | None) -> str:
    """Paint a case, let every finder find its cells, and return a row of the table."""
    paint, share = cases()[case]
    fields, columns = [paint(seed) for seed in range(max(2, round(usual * share)))], []
    area = float(sum(one.slide.info.size.width * one.slide.info.size.height for one in fields))
    for name, finder in finders.items():
        found = [detections(one, number, finder) for number, one in enumerate(fields)]
        columns.append(figures(found, area))
        if out is not None:
            file = re.sub(r"\W+", "_", f"{case} {Path(name).with_suffix('')}")
            write_gallery(fields, found, out / f"{file}.png")
    cells = sum(one.truth_count for one in found)
    return f"{case:26} {len(fields):6} {cells:5} | " + " | ".join(columns)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--finder", action="append", help="classical, learned or a file of weights; may be repeated")
    parser.add_argument("--only", nargs="*", choices=list(cases()), default=list(cases()), metavar="CASE")
    parser.add_argument("--fields", type=int, default=12, help="of most cases; those of many cells have fewer")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("-o", "--out", type=Path, help="folder for galleries of the errors")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(options.threads)
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
    finders = {name: load(name) for name in options.finder or ("classical", "learned")}
    heads = " ".join(f"{head:>6}" for head in ("recall", "prec.", "F1", "MAE", "FA/Mpx"))
    print(" " * 41 + "| ".join(f"{name[-34:]:35}" for name in finders))
    print(f"{'case':26} fields cells | " + " | ".join([heads] * len(finders)))
    for case in options.only:
        print(row(case, options.fields, finders, options.out), flush=True)


if __name__ == "__main__":
    main()
