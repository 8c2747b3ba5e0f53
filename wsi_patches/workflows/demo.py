"""The demo's own steps: slides with known cells, and what was found on them against what is there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from wsi_patches.cells import Cells
from wsi_patches.geometry import Size
from wsi_patches.outcome import Interval, SlideReport
from wsi_patches.synthetic import LARGE_FIELD, SMALL_FIELD, AllIdbField, SmearSettings, write_all_idb1, write_slide
from wsi_patches.workflows.extract import ExtractResult
from wsi_patches.workflows.infer import InferResult
from wsi_patches.workflows.output import Existing, check_output, make_folder

__all__ = ["paint_demo_slides", "start_demo", "tell_demo"]

MARK = "demo.json"
SLIDE_MPP = 0.25
CELL_UM = 12.0
SCANNED = "painted_slide"


def start_demo(out: Path, *, overwrite: bool) -> None:
    """Make the demo's folder, in the place of an earlier demo's if asked.

    Raises
    ------
    UsageError
        The folder holds something else, or an earlier demo and ``overwrite`` is not set.
    """
    existing, ours = Existing(overwrite=overwrite), (out / MARK).is_file()
    if check_output(out, existing, ours=ours, what="the output of the demo", resumable=False):
        shutil.rmtree(out)
    make_folder(out)
    (out / MARK).write_text(json.dumps({"made_by": "wsi-patches demo"}), encoding="utf-8")


def paint_demo_slides(folder: Path, seed: int, slide_px: int, threads: int = 2) -> dict[str, Cells]:
    """Paint one scanned slide, one leukemic and one healthy ALL-IDB1 field, and their annotations.

    Parameters
    ----------
    folder
        Holds afterwards ``painted_slide.svs``, ``annotations/`` and ``all_idb1/``.
    seed
        Everything that is drawn by chance follows from it.
    slide_px
        Side of the scanned slide.
    threads
        How many bands are painted at a time.

    Returns
    -------
    The true cells of each slide by its id, in level-0 pixels.
    """
    (folder / "annotations").mkdir(parents=True)
    scanned = SmearSettings.random(seed, cell_diameter_px=CELL_UM / SLIDE_MPP, blasts_per_mpx=2.0, others_per_mpx=2.0)
    truth = {
        SCANNED: write_slide(
            folder / f"{SCANNED}.svs", Size(slide_px, slide_px), scanned, mpp=SLIDE_MPP, threads=threads
        )
    }
    annotations = folder / "annotations" / f"{SCANNED}.geojson"
    annotations.write_text(json.dumps(truth[SCANNED].to_geojson()), encoding="utf-8")
    leukemic = AllIdbField(1, True, SmearSettings.random(seed + 1, blasts=9, others=4), SMALL_FIELD)
    healthy = AllIdbField(34, False, SmearSettings.random(seed + 2, blasts=0, others=14), LARGE_FIELD)
    return truth | write_all_idb1(folder / "all_idb1", [leukemic, healthy])


def tell_demo(
    stored: ExtractResult, counted: InferResult, truth: Mapping[str, Cells], tell: Callable[[str], None]
) -> None:
    """Tell what was found against what is there, and where the pictures to look at are."""
    for line in ("", *_against_truth(counted.reports, truth), ""):
        tell(line)
    tell(f"patches: {stored.patches} in {stored.out}")
    tell(f"counts:  {counted.counts}")
    tell("look at:")
    for report in counted.reports:
        folder = counted.out / report.slide_id
        tell(f"  {folder / 'overlay.png'}  and  {folder / 'report.html'}")
    tell("For research use only, never a diagnosis.")


def _against_truth(reports: Sequence[SlideReport], truth: Mapping[str, Cells]) -> Iterator[str]:
    """Yield the lines of a table: what was found on each slide against what was painted there."""
    yield f"{'slide':<16}{'white cells':>12}{'found':>8}{'(95 %)':>14}{'blasts':>10}{'found':>8}{'(95 %)':>14}"
    for report in reports:
        cells = truth[report.slide_id]
        found = _found(report.white_cells) + f"{cells.count('blast'):>10}" + _found(report.blasts)
        yield f"{report.slide_id:<16}{len(cells):>12}{found}"


def _found(interval: Interval | None) -> str:
    if interval is None:
        return f"{'-':>8}{'':>14}"
    return f"{interval.value:>8.0f}{f'{interval.low:.0f} to {interval.high:.0f}':>14}"
