"""What a task of ``extract`` does: open its slides, cut and label their patches, write one part of a store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from wsi_patches.annotations import label_patches, read_annotations
from wsi_patches.cells import Cells
from wsi_patches.datasets import SlideItem
from wsi_patches.errors import NoPatches, WsiPatchesError
from wsi_patches.geometry import Size, round_half_up
from wsi_patches.grid import Kept, PatchGrid, PatchSpec
from wsi_patches.jpeg_tile import JpegTiles
from wsi_patches.locations import path_of, patiently
from wsi_patches.outcome import DONE, PARTIAL, Outcome
from wsi_patches.patch import GridSource, SlideRecord, jpeg_tiles_of
from wsi_patches.reading import read_batches
from wsi_patches.slide import AS_IT_IS, ReadOptions, SlideInfo, downsample_of
from wsi_patches.slides.pool import borrow_slide
from wsi_patches.stores import PartWriter, StoreSettings
from wsi_patches.stores.format import PARTS
from wsi_patches.stores.parts import read_parts
from wsi_patches.stores.writer import PatchRows

__all__ = ["ExtractTask", "SlideJob", "extract_part", "grid_for"]

ELSEWHERE = 64
"""Places that are tried before a slide is given up of which a whole run cannot be read."""
BAND_COLUMNS = 32
"""Two rows of tiles below this many patches of 256 px are 12 MB, which a slide's cache holds for each worker."""


@dataclass(frozen=True)
class SlideJob:
    """A run of one slide's grid."""

    item: SlideItem
    slide_id: str
    start: int
    stop: int
    options: ReadOptions = AS_IT_IS
    """How to open the slide."""
    kept: Kept | None = None
    """The places of the run that hold foreground; all of them if None."""
    notes: tuple[str, ...] = ()
    """What a user should know of how they were found."""

    @property
    def patches(self) -> int:
        """How many patches the run will give if the slide can be read."""
        return self.stop - self.start if self.kept is None else self.kept.count


@dataclass(frozen=True)
class ExtractTask:
    """One part of a store: names and numbers, no pixels and no handles."""

    store: str
    part_id: str
    settings: StoreSettings
    codec: str
    jobs: tuple[SlideJob, ...]
    tiles: JpegTiles | None = None
    """For the codec ``jpeg``: what the JPEG tiles of all the part's slides have in common."""
    durable: bool = True
    """Wait until the disk has every file."""

    @property
    def patches(self) -> int:
        """How many patches the part will hold if every slide can be read."""
        return sum(job.patches for job in self.jobs)


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
    level = info.level_at(downsample)
    shrunk = Size(*(max(1, round_half_up(side / downsample)) for side in info.size))
    size = shrunk if level is None else info.levels[level].size
    grid = PatchGrid(size, spec, downsample)
    if not len(grid):
        msg = (
            f"{info.path} is {size.width} x {size.height} px at the resolution asked for, smaller than a patch of "
            f"{spec.size_px} px: use a smaller --patch-size, or --edge pad"
        )
        raise NoPatches(msg)
    return grid


def extract_part(task: ExtractTask) -> list[Outcome]:
    """Write one part and return the outcome of each of its slides; a slide that fails leaves no patch behind.

    A part that is there already was written by a worker that died before it could say so. Where the store's file server
    is gone for a while, the part is written again from its beginning.
    """
    return patiently(lambda: _write_part(task))


def _write_part(task: ExtractTask) -> list[Outcome]:
    there = read_parts([path_of(task.store) / PARTS / task.part_id])
    if there:
        return _outcomes_of(task, there[0].slides)
    writer = PartWriter(
        path_of(task.store), task.part_id, task.settings, task.patches, task.codec, task.tiles, durable=task.durable
    )
    outcomes: list[Outcome] = []
    records: list[SlideRecord] = []
    try:
        for job in task.jobs:
            try:
                record, patches = _extract_slide(job, task, writer, len(records))
            except WsiPatchesError as error:
                outcomes.append(Outcome.failed(job.slide_id, job.item.path, error))
                continue
            records.append(record)
            outcomes.append(_outcome(record, patches))
        if records:
            writer.complete(records)
    finally:
        if not writer.is_complete:
            writer.abandon()
    return outcomes


def _outcomes_of(task: ExtractTask, records: Sequence[SlideRecord]) -> list[Outcome]:
    known = {record.id: _outcome(record, record.grid_stop - record.grid_start - record.blank) for record in records}
    lost = "its patches could not be cut, and the worker that knows why died: run again with --resume"
    return [known.get(job.slide_id) or Outcome.failed(job.slide_id, job.item.path, lost) for job in task.jobs]


def _outcome(record: SlideRecord, patches: int) -> Outcome:
    return Outcome(
        record.id,
        record.path,
        PARTIAL if record.unreadable else DONE,
        patches,
        len(record.unreadable),
        warnings=record.warnings,
        blank=record.blank,
    )


def _extract_slide(job: SlideJob, task: ExtractTask, writer: PartWriter, row: int) -> tuple[SlideRecord, int]:
    """Append one slide's patches to a part."""
    settings = task.settings
    with borrow_slide(job.item.path, job.options) as slide:
        whole = grid_for(slide.info, settings.spec)
        grid = _visiting_order(whole, job)
        cells = read_annotations(job.item.annotations, settings.rule.class_names, slide.info.size)
        labels = label_patches(grid.xy(), grid.side, cells, settings.rule)
        record = _record(job, slide.info, whole, _warnings(job, slide.info, whole, cells, settings))
        source = GridSource(slide, grid, record, labels.counts)
        # What was looked at may have changed since: other tiles than the part's are kept as pixels.
        as_tiles = task.tiles is not None and jpeg_tiles_of(slide, whole) == task.tiles
        indices, xy, unreadable = grid.index_array(), grid.xy(), []
        spread = sorted(set(np.linspace(0, len(whole) - 1, ELSEWHERE).astype(int).tolist()))
        elsewhere = GridSource(slide, whole.take(spread), record)
        for batch in read_batches(source, elsewhere, as_tiles=as_tiles):
            positions = batch.positions
            members = tuple(labels.cells[labels.indptr[i] : labels.indptr[i + 1]] for i in positions.tolist())
            unreadable += indices[positions[batch.failed]].tolist()
            counts = labels.counts[positions]
            writer.add(row, PatchRows(indices[positions], xy[positions], batch.images, counts, members))
        writer.add_cells(cells)
    return replace(record, unreadable=tuple(unreadable)), len(grid)


def _visiting_order(whole: PatchGrid, job: SlideJob) -> PatchGrid:
    """Return the places of a run in the order in which they are read.

    They are visited in bands of some columns, so that a tile is still at hand when the row below needs it, however wide
    the slide is.
    """
    positions = np.arange(job.start, job.stop)
    if job.kept is not None:
        positions = positions[job.kept.mask()]
    row, column = np.divmod(positions, len(whole.columns_px))
    return whole.take(positions[np.lexsort((column, row, column // BAND_COLUMNS))])


def _record(job: SlideJob, info: SlideInfo, grid: PatchGrid, warnings: tuple[str, ...]) -> SlideRecord:
    return SlideRecord(
        id=job.slide_id,
        path=job.item.path,
        fingerprint=info.fingerprint,
        size=(info.size.width, info.size.height),
        levels=tuple((level.size.width, level.size.height, level.downsample) for level in info.levels),
        mpp=info.mpp,
        mpp_stated=job.options.mpp is not None,
        vendor=info.vendor,
        level=info.level_at(grid.downsample),
        downsample=grid.downsample,
        group=job.item.group,
        group_kind=job.item.group_kind,
        unit=job.item.unit,
        label=job.item.label,
        split=job.item.split,
        licence=job.item.licence,
        annotated=bool(job.item.annotations),
        attributes=dict(job.item.attributes),
        grid_start=job.start,
        grid_stop=job.stop,
        grid_total=grid.total,
        blank=job.stop - job.start - job.patches,
        reader=info.reader,
        warnings=warnings,
    )


def _warnings(
    job: SlideJob, info: SlideInfo, grid: PatchGrid, cells: Cells, settings: StoreSettings
) -> tuple[str, ...]:
    """Return what a user of the slide's patches should know, and of cells that no patch of the whole grid holds."""
    warnings = [*job.item.warnings, *info.notes, *job.notes]
    if job.start == 0 and len(cells):  # once a slide: it looks at the whole grid
        lost = len(cells) - len(set(label_patches(grid.xy(), grid.side, cells, settings.rule).cells.tolist()))
        if lost:
            warnings.append(f"{lost} of {len(cells)} annotated cells lie in no patch (edge {settings.spec.edge})")
    return tuple(warnings)
