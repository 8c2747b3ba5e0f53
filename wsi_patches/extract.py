"""What a task of ``extract`` does: open its slides, cut and label their patches, write one part of a store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsi_patches.annotations import label_patches, read_annotations
from wsi_patches.cells import Cells
from wsi_patches.datasets import SlideItem
from wsi_patches.errors import NoPatches, SlideError, WsiPatchesError
from wsi_patches.geometry import Size, round_half_up
from wsi_patches.grid import PatchGrid, PatchSpec
from wsi_patches.outcome import DONE, PARTIAL, Outcome
from wsi_patches.patch import GridSource, SlideRecord
from wsi_patches.slide import AS_IT_IS, ReadOptions, Slide, SlideInfo, downsample_of
from wsi_patches.slides import open_as
from wsi_patches.stores import PartWriter, StoreSettings
from wsi_patches.stores.writer import PatchRows

__all__ = ["ExtractTask", "SlideJob", "extract_part", "grid_for"]

BATCH_PATCHES = 32


@dataclass(frozen=True)
class SlideJob:
    """A run of one slide's grid."""

    item: SlideItem
    slide_id: str
    start: int
    stop: int
    options: ReadOptions = AS_IT_IS
    """How to open the slide."""


@dataclass(frozen=True)
class ExtractTask:
    """One part of a store: names and numbers, no pixels and no handles."""

    store: str
    part_id: str
    settings: StoreSettings
    codec: str
    jobs: tuple[SlideJob, ...]

    @property
    def patches(self) -> int:
        """How many patches the part will hold if every slide can be read."""
        return sum(job.stop - job.start for job in self.jobs)


def grid_for(info: SlideInfo, spec: PatchSpec) -> PatchGrid:
    """Lay a grid over a slide.

    Raises
    ------
    NoPatches
        The slide is smaller than a patch, and the edge rule does not pad.
    ResolutionUnknown
        The spec asks for a resolution and the slide does not state its own.
    UsageError
        The spec asks for a level that is not there, or for more than the slide resolves.
    """
    downsample = downsample_of(info, spec.resolution)
    of_level = next((level.size for level in info.levels if level.downsample == downsample), None)
    size = of_level or Size(*(max(1, round_half_up(side / downsample)) for side in info.size))
    grid = PatchGrid(size, spec, downsample)
    if not len(grid):
        msg = (
            f"{info.path} is {size.width} x {size.height} px at the resolution asked for, smaller than a patch of "
            f"{spec.size_px} px: use a smaller --patch-size, or --edge pad"
        )
        raise NoPatches(msg)
    return grid


def extract_part(task: ExtractTask) -> list[Outcome]:
    """Write one part and return the outcome of each of its slides; a slide that fails leaves no patch behind."""
    writer = PartWriter(Path(task.store), task.part_id, task.settings, task.patches, task.codec)
    outcomes: list[Outcome] = []
    records: list[SlideRecord] = []
    for job in task.jobs:
        try:
            record, patches = _extract_slide(job, task.settings, writer, len(records))
        except WsiPatchesError as error:
            outcomes.append(Outcome.failed(job.slide_id, job.item.path, error))
            continue
        records.append(record)
        status = PARTIAL if record.unreadable else DONE
        outcomes.append(
            Outcome(job.slide_id, job.item.path, status, patches, len(record.unreadable), warnings=record.warnings)
        )
    if records:
        writer.complete(records)
    else:
        writer.abandon()
    return outcomes


def _extract_slide(job: SlideJob, settings: StoreSettings, writer: PartWriter, row: int) -> tuple[SlideRecord, int]:
    """Append one slide's patches to a part."""
    with ExitStack() as stack:
        slide: Slide = stack.enter_context(open_as(job.item.path, job.options))
        whole = grid_for(slide.info, settings.spec)
        grid = whole[job.start : job.stop]
        cells = read_annotations(job.item.annotations, settings.rule.class_names)
        labels = label_patches(grid.xy(), grid.side, cells, settings.rule)
        record = _record(job, slide.info, whole, _label_warnings(job, whole, cells, settings))
        source = GridSource(slide, grid, record, labels.counts)
        unreadable: list[int] = []
        for positions, images, failed in _readable(source):
            members = tuple(labels.cells[labels.indptr[i] : labels.indptr[i + 1]] for i in positions.tolist())
            indices = grid.index_array()[positions]
            unreadable += indices[failed].tolist()
            writer.add(row, PatchRows(indices, grid.xy()[positions], images, labels.counts[positions], members))
        writer.add_cells(cells)
    return replace(record, unreadable=tuple(unreadable)), len(grid)


def _record(job: SlideJob, info: SlideInfo, grid: PatchGrid, warnings: tuple[str, ...]) -> SlideRecord:
    levels = [level.downsample for level in info.levels]
    return SlideRecord(
        id=job.slide_id,
        path=job.item.path,
        fingerprint=info.fingerprint,
        size=(info.size.width, info.size.height),
        levels=tuple((level.size.width, level.size.height, level.downsample) for level in info.levels),
        mpp=info.mpp,
        mpp_stated=job.options.mpp is not None,
        vendor=info.vendor,
        level=levels.index(grid.downsample) if grid.downsample in levels else None,
        downsample=grid.downsample,
        group=job.item.group,
        label=job.item.label,
        licence=job.item.licence,
        annotated=bool(job.item.annotations),
        grid_start=job.start,
        grid_stop=job.stop,
        grid_total=grid.total,
        warnings=warnings,
    )


def _label_warnings(job: SlideJob, grid: PatchGrid, cells: Cells, settings: StoreSettings) -> tuple[str, ...]:
    """Return a sentence for cells that no patch of the whole grid holds."""
    warnings = list(job.item.warnings)
    held = np.unique(label_patches(grid.xy(), grid.side, cells, settings.rule).cells)
    lost = len(cells) - len(held)
    if lost:
        warnings.append(f"{lost} of {len(cells)} annotated cells lie in no patch (edge {settings.spec.edge})")
    return tuple(warnings)


def _readable(source: GridSource) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint8], NDArray[np.bool_]]]:
    """Yield positions, pixels and which of them could not be read, in order.

    Nothing is yielded before one patch was read, so a slide of which nothing can be read leaves nothing behind.

    Raises
    ------
    SlideError
        No patch at all could be read.
    """
    held: list[NDArray[np.int64]] = []
    readable = False
    first_error: SlideError | None = None
    for start in range(0, len(source), BATCH_PATCHES):
        positions = np.arange(start, min(start + BATCH_PATCHES, len(source)))
        images, failed, error = _read_batch(source, positions)
        first_error = first_error or error
        if failed.all() and not readable:
            held.append(positions)
            continue
        readable = True
        for waiting in held:
            yield waiting, _background(source, len(waiting)), np.ones(len(waiting), bool)
        held.clear()
        yield positions, images, failed
    if not readable and first_error is not None:
        raise first_error


def _read_batch(
    source: GridSource, positions: NDArray[np.int64]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_], SlideError | None]:
    """Read a batch, or, if that fails, patch by patch so that one bad place costs one patch."""
    failed = np.zeros(len(positions), bool)
    try:
        return source.read(positions), failed, None
    except SlideError as error:
        first_error = error
    images = _background(source, len(positions))
    for row, position in enumerate(positions):
        try:
            images[row] = source.read([position])[0]
        except SlideError:
            failed[row] = True
    return images, failed, first_error


def _background(source: GridSource, count: int) -> NDArray[np.uint8]:
    side = source.grid.spec.size_px
    return np.full((count, side, side, 3), source.slide.background, np.uint8)
