"""Which slides ``extract`` has to cut, which of them the store holds already, and into which parts the rest goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from wsi_patches.datasets import find_inputs, with_groups
from wsi_patches.errors import NoPatches, UsageError
from wsi_patches.executors import Executor, make_executor
from wsi_patches.extract import ExtractTask, SlideJob
from wsi_patches.grid import PatchSpec
from wsi_patches.jpeg_tile import JpegTiles
from wsi_patches.outcome import DONE, PARTIAL, Outcome
from wsi_patches.patch import SlideRecord
from wsi_patches.slides.pool import close_idle_slides
from wsi_patches.stores import Store, StoreSettings, create_group, is_store, open_store
from wsi_patches.workflows.cutting import cut_parts, part_id, part_name, part_patches
from wsi_patches.workflows.extract_settings import ExtractSettings
from wsi_patches.workflows.foreground import keep_foreground
from wsi_patches.workflows.look import Looked, look_at
from wsi_patches.workflows.output import check_output
from wsi_patches.workflows.shards import ids_of_shard, take_shard

__all__ = ["ExtractPlan", "Survey", "cut_into_parts", "plan_extract", "survey_slides"]

COMPRESSED = {"zstd": 0.6, "lz4": 0.85, "none": 1.0, "jpeg": 0.06}
"""Roughly what is left of a patch's bytes, for --dry-run."""


@dataclass(frozen=True)
class ExtractPlan:
    """What would be done."""

    settings: StoreSettings
    tasks: tuple[ExtractTask, ...]
    failed: tuple[Outcome, ...]
    """Slides that cannot be done, found before any work."""
    kept: tuple[Outcome, ...]
    """Slides that the store already holds whole."""

    @property
    def patches(self) -> int:
        """How many patches will be written."""
        return sum(task.patches for task in self.tasks)

    def bytes_needed(self) -> int:
        """Return roughly how many bytes will be written."""
        pixels = self.settings.spec.size_px**2 * 3
        return int(sum(task.patches * pixels * COMPRESSED[task.codec] for task in self.tasks))


def plan_extract(settings: ExtractSettings) -> ExtractPlan:
    """Look at every slide and cut the work into parts, without writing anything.

    Raises
    ------
    UsageError
        What was asked cannot be done.
    """
    try:
        return cut_into_parts(settings, survey_slides(settings), make_executor(settings.workers))
    finally:
        close_idle_slides()


@dataclass(frozen=True)
class Survey:
    """The slides that were named, and what of them is already there."""

    asked: StoreSettings
    looked: tuple[Looked, ...]
    records: dict[str, list[SlideRecord]]
    """Of each slide, what the store's complete parts hold."""
    unfinished: tuple[str, ...]
    """Parts that a killed run left, to be removed."""
    slides_in_all: int
    """How many slides were named, other shards' too."""
    problems: tuple[str, ...] = ()
    """What is wrong with the datasets that were named."""

    @property
    def waiting(self) -> list[Looked]:
        """Slides that can be opened and of which something is missing."""
        return [one for one in self.looked if one.error is None and not self.is_whole(one)]

    def to_sweep(self, unfinished: Sequence[str], *, shard: bool) -> list[str]:
        """Return which unfinished parts may be removed: of a shard those of its own slides, as others are at work."""
        mine = {part_name(one.slide_id) for one in self.looked}
        return [name for name in unfinished if not shard or name.split(".")[0] in mine]

    @property
    def present(self) -> dict[str, set[tuple[int, int]]]:
        """The runs of each slide's grid that complete parts answer for."""
        return {name: {(one.grid_start, one.grid_stop) for one in parts} for name, parts in self.records.items()}

    def is_whole(self, one: Looked) -> bool:
        """Say whether complete parts hold all of a slide."""
        return sum(part.grid_stop - part.grid_start for part in self.records.get(one.slide_id, ())) == one.total

    def kept(self) -> tuple[Outcome, ...]:
        """Return the outcomes of the slides that the store holds whole."""
        return tuple(self._kept(one) for one in self.looked if one.error is None and self.is_whole(one))

    def _kept(self, one: Looked) -> Outcome:
        parts = self.records[one.slide_id]
        unreadable, blank = sum(len(part.unreadable) for part in parts), sum(part.blank for part in parts)
        status = PARTIAL if unreadable else DONE
        return Outcome(one.slide_id, one.item.path, status, one.total - blank, unreadable, blank=blank)


def survey_slides(settings: ExtractSettings) -> Survey:
    """Look at every slide and at what the store holds of it, without writing anything.

    Raises
    ------
    UsageError
        What was asked cannot be done.
    """
    existing = settings.existing()
    there = check_output(settings.out, existing, ours=is_store(settings.out), what="a store of patches")
    found_inputs = find_inputs(settings.inputs, settings.annotations)
    items = with_groups(found_inputs.items, settings.group_rule())
    asked = settings.store_settings(items)
    store = open_store(settings.out) if there and existing.resume else None
    if store is not None:
        _same_settings(store, asked)
    known = {one.id: (one.path, one.fingerprint) for one in store.slides} if store is not None else {}
    shard = settings.shard
    mine = take_shard(items, shard)
    ids = None if shard is None else ids_of_shard([item.path for item in items], shard)
    looked = look_at(mine, spec=asked.spec, options=settings.read_options(), known=known, ids=ids)
    if settings.codec == "jpeg":
        looked = [_only_tiles(one, asked.spec) for one in looked]
    records: dict[str, list[SlideRecord]] = {}
    for _, record in store.records() if store is not None else ():
        records.setdefault(record.id, []).append(record)
    unfinished = tuple(store.unfinished) if store is not None else ()
    return Survey(asked, tuple(looked), records, unfinished, len(items), found_inputs.problems)


def _only_tiles(one: Looked, spec: PatchSpec) -> Looked:
    """Refuse a slide whose patches are not its own JPEG tiles."""
    if one.error is not None or one.tiles is not None:
        return one
    level = one.info.levels[0] if one.info is not None else None
    found = "none" if level is None or level.tile is None else f"{level.tile.width} x {level.tile.height} px"
    msg = (
        f"{one.item.path} cannot be kept as jpeg: that takes patches that are the JPEG tiles of one of its levels, "
        f"without overlap; its tiles are {found} ({(level.compression if level else '') or 'compression unknown'}), "
        f"asked were {spec.size_px} px every {spec.step_px} px: change --patch-size, or use --codec auto"
    )
    return replace(one, error=NoPatches(msg))


def cut_into_parts(
    settings: ExtractSettings, survey: Survey, executor: Executor, previews: Path | None = None
) -> ExtractPlan:
    """Return the tasks that are left to do; foreground is looked for first, if it was asked for.

    Parameters
    ----------
    settings, survey
        What was asked, and what is there.
    executor
        What looks for foreground.
    previews
        A folder for one picture of it a slide; none are written if not given.
    """
    asked, waiting = survey.asked, survey.waiting
    if asked.foreground == "auto":
        if previews is not None and waiting:
            create_group(previews, durable=settings.fsync)
        waiting = keep_foreground(waiting, asked.spec, settings.read_options(), executor, previews)
    total = sum(one.total for one in survey.looked)
    as_tiles = settings.codec in ("auto", "jpeg")
    readable = [one if as_tiles else replace(one, tiles=None) for one in waiting if one.error is None]
    size_of = partial(part_patches, asked.spec.size_px, total)
    parts = cut_parts(readable, survey.present, size_of, settings.read_options())
    tasks = tuple(_task(settings, asked, jobs, tiles) for jobs, tiles in parts)
    failed = tuple(one.outcome for one in (*survey.looked, *waiting) if one.error is not None)
    return ExtractPlan(asked, tasks, failed, survey.kept())


def _task(
    settings: ExtractSettings, asked: StoreSettings, jobs: tuple[SlideJob, ...], tiles: JpegTiles | None
) -> ExtractTask:
    """Return a part's task; ``auto`` keeps tiles as they are where patches are tiles, and is ``zstd`` elsewhere."""
    codec = "jpeg" if tiles is not None else "zstd" if settings.codec == "auto" else settings.codec
    return ExtractTask(str(settings.out), part_id(jobs), asked, codec, jobs, tiles, settings.fsync)


def _same_settings(store: Store, asked: StoreSettings) -> None:
    different = store.settings.differences(asked)
    if different:
        msg = (
            f"{store.path} holds patches of other settings: {', '.join(different)}; "
            "give the same options to --resume, or another -o"
        )
        raise UsageError(msg)
