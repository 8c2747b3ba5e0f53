"""Painted patients: slides whose white cells are drawn from a known distribution for each of five painted diagnoses.

They stand in for a cohort of labelled patients (Hoefener and others, arXiv 2509.15895, had 246 children) where a test
must know the truth. The shares are chosen for painting: they are no figures of haematology, and the five overlap.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsi_patches.cells import Cells
from wsi_patches.errors import OutputExists, UsageError
from wsi_patches.geometry import Size
from wsi_patches.synthetic.kinds import KINDS
from wsi_patches.synthetic.pyramid import write_slide
from wsi_patches.synthetic.settings import SmearSettings

__all__ = ["EVEN", "PAINTED_DIAGNOSES", "PaintedSlide", "paint_patients", "write_patients"]

Shares = tuple[float, ...]
PAINTED_DIAGNOSES: dict[str, Shares] = {
    "painted_all": (0.42, 0.13, 0.22, 0.15, 0.04, 0.03, 0.01),
    "painted_aml": (0.14, 0.41, 0.20, 0.15, 0.06, 0.03, 0.01),
    "painted_cml": (0.04, 0.06, 0.14, 0.52, 0.06, 0.10, 0.08),
    "painted_reactive": (0.03, 0.05, 0.50, 0.26, 0.13, 0.02, 0.01),
    "painted_normal": (0.01, 0.02, 0.31, 0.54, 0.07, 0.04, 0.01),
}
"""Mean shares of the kinds, in the order of `KINDS`."""
EVEN: dict[str, Shares] = {"painted_even": (1 / len(KINDS),) * len(KINDS)}
"""All kinds alike: slides to teach a classifier of kinds with."""
SPREAD = 25.0
"""Concentration of the Dirichlet distribution that a patient's own shares are drawn from: lower is more overlap."""
MPP = 0.25
CELL_PX = 12 / MPP


@dataclass(frozen=True)
class PaintedSlide:
    """One slide of a painted patient."""

    slide_id: str
    patient: str
    diagnosis: str
    """A key of `PAINTED_DIAGNOSES`, or of what was given in its place."""
    settings: SmearSettings
    """What is on it; ``kinds`` says how many cells of each."""
    path: Path | None = None
    """The file, where it was written."""


def paint_patients(
    patients: int,
    seed: int = 0,
    *,
    slides_each: int = 2,
    cells: tuple[int, int] = (15, 45),
    diagnoses: Mapping[str, Shares] = PAINTED_DIAGNOSES,
) -> list[PaintedSlide]:
    """Draw what is on the slides of some patients; nothing is painted yet.

    A patient's shares are drawn around those of the diagnosis (Dirichlet), the counts of a slide from the patient's
    shares (multinomial); each slide has a stain and light of its own.

    Parameters
    ----------
    patients
        How many; diagnoses take turns.
    seed
        Equal seeds give equal patients; a patient depends on it and on the patient's number only.
    slides_each
        Slides of each patient.
    cells
        Fewest and most white cells of a slide, drawn evenly.
    diagnoses
        Mean shares of the kinds, in the order of `KINDS`, by name.

    Raises
    ------
    UsageError
        There is nothing to draw.
    """
    if patients < 1 or slides_each < 1 or not 0 < cells[0] <= cells[1] or not diagnoses:
        msg = f"one patient, slide, cell and diagnosis or more are needed, found {patients}, {slides_each} and {cells}"
        raise UsageError(msg)
    names = list(diagnoses)
    return [
        slide
        for number in range(patients)
        for name in (names[number % len(names)],)
        for slide in _patient(number, seed, name, diagnoses[name], slides_each, cells)
    ]


def _patient(
    number: int, seed: int, diagnosis: str, shares: Shares, slides_each: int, cells: tuple[int, int]
) -> list[PaintedSlide]:
    rng, patient = np.random.default_rng([seed, 7801, number]), f"P{number + 1:03d}"
    own = rng.dirichlet(SPREAD * np.array(shares))
    slides = []
    for slide in range(slides_each):
        counts = rng.multinomial(int(rng.integers(cells[0], cells[1] + 1)), own)
        kinds = tuple(zip(KINDS, counts.tolist(), strict=True))
        settings = SmearSettings.random(int(rng.integers(1 << 31)), kinds=kinds, cell_diameter_px=CELL_PX)
        slides.append(PaintedSlide(f"{patient}_{slide + 1}", patient, diagnosis, settings))
    return slides


def write_patients(
    folder: str | Path,
    patients: int | Sequence[PaintedSlide],
    seed: int = 0,
    *,
    side_px: int = 768,
) -> list[PaintedSlide]:
    """Paint the slides of some patients into a folder.

    ``slides/ID.svs`` holds a slide (0.25 um a pixel), ``cells/ID.geojson`` its white cells by their kinds;
    ``slides.csv`` says patient and diagnosis of each slide, ``patients.csv`` the diagnosis of each patient.

    Parameters
    ----------
    folder
        Created if absent.
    patients
        How many, as `paint_patients` draws them, or what it drew.
    seed
        Only used when ``patients`` is a number.
    side_px
        Width and height of a slide.

    Returns
    -------
    The slides with their paths; equal arguments give equal pixels.

    Raises
    ------
    OutputExists
        One of the slides exists.
    UsageError
        The cells do not fit on slides of this size.
    """
    root, drawn = Path(folder), paint_patients(patients, seed) if isinstance(patients, int) else list(patients)
    for name in ("slides", "cells"):
        (root / name).mkdir(parents=True, exist_ok=True)
    written = [_write(root, one, side_px) for one in drawn]
    _write_table(root / "slides.csv", [(one.slide_id, one.patient, one.diagnosis) for one in written])
    known = dict.fromkeys((one.patient, one.diagnosis) for one in written)
    _write_table(root / "patients.csv", list(known), ("patient", "diagnosis"))
    return written


def _write(root: Path, one: PaintedSlide, side_px: int) -> PaintedSlide:
    path = root / "slides" / f"{one.slide_id}.svs"
    if path.exists():
        msg = f"{path} exists: choose another folder or remove it"
        raise OutputExists(msg)
    cells = _by_kind(write_slide(path, Size(side_px, side_px), one.settings, MPP, threads=1))
    (root / "cells" / f"{one.slide_id}.geojson").write_text(json.dumps(cells.to_geojson()), encoding="utf-8")
    return replace(one, path=path)


def _by_kind(cells: Cells) -> Cells:
    """Return cells whose class is their kind."""
    kinds: NDArray[np.str_] = cells.attributes["kind"]
    rows = [list(KINDS).index(kind) for kind in kinds.tolist()]
    return Cells.at(cells.xy, tuple(KINDS), np.array(rows, np.int32), radius_px=cells.attributes["radius_px"])


def _write_table(
    path: Path, rows: Sequence[tuple[str, ...]], header: tuple[str, ...] = ("slide_id", "patient", "diagnosis")
) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *rows])
