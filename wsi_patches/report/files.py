"""The files of one slide under the output folder."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_patches.cells import Cells
from wsi_patches.counting.cores import PatchCounts
from wsi_patches.locations import patiently, read_all, remove_tree
from wsi_patches.outcome import ATTRIBUTES, SlideReport
from wsi_patches.report.album import Gallery
from wsi_patches.report.cohort import COHORT
from wsi_patches.report.focus_map import focus_map
from wsi_patches.report.overlay import draw_overlay
from wsi_patches.report.page import render_page
from wsi_patches.report.patches import draw_heat, write_patches
from wsi_patches.report.words import described, summary_of
from wsi_patches.stores.files import replacing

__all__ = ["DICOM_CELLS", "REPORT", "read_report", "read_reports", "remove_slide_reports", "write_slide_report"]

OF_CELLS, OF_PATCHES = ("cells.csv", "cells.geojson"), ("patches.csv",)
DICOM_CELLS = "cells.dcm"
"""Of slides in DICOM, where it is asked for; written by whoever knows the slide's files."""
FILES = (*OF_CELLS, DICOM_CELLS, *OF_PATCHES, "overlay.png", "report.html", "report.json")
CELL_COLUMNS = (
    "entropy", "disagreement", "left_px", "top_px", "right_px", "bottom_px", "type", "type_score", "variance",
    "nucleus_seen",
)  # fmt: skip
"""Further columns of ``cells.csv``, where cells have them."""
DESCRIBED = "described"
"""The column that says a cell's attributes in a sentence."""
REPORT = FILES[-1]
"""Written last: a slide's folder counts as done when this file is there."""


def write_slide_report(
    folder: Path,
    report: SlideReport,
    cells: Cells,
    picture: NDArray[np.uint8],
    downsample: float,
    patches: PatchCounts | None = None,
    galleries: Sequence[Gallery] = (),
) -> None:
    """Write ``cells.csv``, ``cells.geojson``, ``overlay.png``, ``report.html`` and, last, ``report.json``.

    Where patches were counted and no cells found, ``patches.csv`` stands for the cells, and the picture is a heat map.

    Parameters
    ----------
    folder
        The slide's own folder; made if it is not there.
    report, cells
        What the slide came to, cells in level-0 pixels.
    picture, downsample
        The slide's overview, as `overview` returns it.
    patches
        What each patch counted in its core, by the method ``patches``.
    galleries
        Crops for the page, as `cut_galleries` returns them.
    """
    patiently(lambda: _write_files(folder, report, cells, picture, downsample, patches, galleries))


def _write_files(
    folder: Path,
    report: SlideReport,
    cells: Cells,
    picture: NDArray[np.uint8],
    downsample: float,
    patches: PatchCounts | None,
    galleries: Sequence[Gallery],
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for stale in (REPORT, *OF_PATCHES) if patches is None else (REPORT, *OF_CELLS):
        (folder / stale).unlink(missing_ok=True)
    if patches is None:
        _write_cells(folder / "cells.csv", cells, report.extra.get(ATTRIBUTES, ()))
        _write_text(folder / "cells.geojson", json.dumps(cells.to_geojson()))
        drawn = draw_overlay(picture, downsample, cells)
    else:
        write_patches(folder / "patches.csv", patches)
        drawn = draw_heat(picture, downsample, patches)
    _, png = cv2.imencode(".png", cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR))
    with replacing(folder / "overlay.png") as partial:
        partial.write_bytes(png.tobytes())
    page = render_page(report, drawn, focus_map(report, picture, downsample), galleries, summary_of(cells))
    _write_text(folder / "report.html", page)
    _write_text(folder / REPORT, json.dumps(report.to_dict(), indent=1))


def remove_slide_reports(out: Path) -> None:
    """Remove every slide's folder of an earlier run, but none that holds anything else than such a run writes.

    The page of all slides goes too, since its links would lead nowhere.
    """
    (out / COHORT).unlink(missing_ok=True)
    for folder in [entry for entry in out.iterdir() if entry.is_dir() and not entry.is_symlink()]:
        if all(entry.name.removesuffix(".partial") in FILES for entry in folder.iterdir()):
            remove_tree(folder)


def read_report(folder: Path) -> SlideReport | None:
    """Return the report of a slide's folder, or None where the slide was never done."""
    return next(iter(read_reports([folder])), None)


def read_reports(folders: Sequence[Path]) -> list[SlideReport]:
    """Return the reports of some slides' folders, without those of slides that were never done."""
    contents = read_all([folder / REPORT for folder in folders])
    return [SlideReport.from_dict(json.loads(content)) for content in contents if content is not None]


def _write_text(path: Path, text: str) -> None:
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def _write_cells(path: Path, cells: Cells, attributes: Iterable[str] = ()) -> None:
    columns = {
        name: cells.attributes[name].tolist() for name in (*CELL_COLUMNS, *attributes) if name in cells.attributes
    }
    words = described(cells)
    columns |= {DESCRIBED: words} if any(words) else {}
    told = zip(*columns.values(), strict=True) if columns else [()] * len(cells)
    rows = zip(cells.x.tolist(), cells.y.tolist(), cells.class_index.tolist(), cells.score.tolist(), told, strict=True)
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("x", "y", "class", "score", *columns))
        for x, y, index, score, rest in rows:
            figures = (f"{score:.4f}", *(one if isinstance(one, str) else f"{one:.4f}" for one in rest))
            writer.writerow((f"{x:.1f}", f"{y:.1f}", cells.class_names[index], *figures))
