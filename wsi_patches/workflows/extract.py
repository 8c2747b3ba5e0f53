"""``wsi-patches extract``: slides into one store of labelled patches."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from wsi_patches.datasets import find_inputs, with_groups
from wsi_patches.errors import NoPatches, UsageError
from wsi_patches.executors import Executor, make_executor
from wsi_patches.extract import ExtractTask, SlideJob, extract_part
from wsi_patches.grid import PatchSpec
from wsi_patches.jpeg_tile import JpegTiles
from wsi_patches.locations import path_of, remove_tree
from wsi_patches.outcome import DONE, PARTIAL, Outcome, merge_outcomes
from wsi_patches.patch import SlideRecord
from wsi_patches.pipeline import Progress, Stage, run
from wsi_patches.slides.pool import close_idle_slides
from wsi_patches.stores import (
    Store,
    StoreSettings,
    create_group,
    create_store,
    is_store,
    open_store,
    sweep_unfinished,
)
from wsi_patches.stores.format import PARTS
from wsi_patches.workflows.cutting import cut_parts, part_id, part_patches
from wsi_patches.workflows.extract_settings import ExtractSettings
from wsi_patches.workflows.foreground import keep_foreground
from wsi_patches.workflows.look import Looked, look_at
from wsi_patches.workflows.output import Existing, check_output, make_folder

__all__ = ["ExtractPlan", "ExtractResult", "ExtractSettings", "extract", "plan_extract"]

PREVIEWS = "foreground"
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


@dataclass(frozen=True)
class ExtractResult:
    """What was done."""

    out: Path
    outcomes: tuple[Outcome, ...]
    """One for each slide, failed ones included."""
    patches: int
    """How many patches the store holds."""
    notes: tuple[str, ...] = ()
    """What is wrong with the datasets that were named, beside their slides."""

    @property
    def previews(self) -> Path:
        """The folder of pictures of what was kept, where only foreground was asked for."""
        return self.out / PREVIEWS


def extract(settings: ExtractSettings, progress: Progress | None = None) -> ExtractResult:
    """Cut slides into labelled patches and keep them in one store.

    Raises
    ------
    UsageError
        What was asked cannot be done; nothing was written.
    StoreError
        The store cannot be written, or the one that is there cannot be read.
    """
    executor = make_executor(settings.workers, settings.cluster)
    survey = _survey(settings)
    if survey.waiting:
        _prepare(settings, survey)
    plan = _plan(settings, survey, executor, settings.out / PREVIEWS)
    stage = Stage("extract", extract_part, _lost, lambda task: task.patches)
    try:
        done = run(stage, plan.tasks, executor, progress)
    finally:
        close_idle_slides()
    outcomes = merge_outcomes(chain(plan.kept, chain.from_iterable(done), plan.failed))
    patches = len(open_store(settings.out)) if is_store(settings.out) else 0
    return ExtractResult(settings.out, tuple(outcomes), patches, survey.problems)


def plan_extract(settings: ExtractSettings) -> ExtractPlan:
    """Look at every slide and cut the work into parts, without writing anything.

    Raises
    ------
    UsageError
        What was asked cannot be done.
    """
    try:
        return _plan(settings, _survey(settings), make_executor(settings.workers, settings.cluster))
    finally:
        close_idle_slides()


@dataclass(frozen=True)
class _Survey:
    """The slides that were named, and what of them is already there."""

    asked: StoreSettings
    looked: tuple[Looked, ...]
    records: dict[str, list[SlideRecord]]
    """Of each slide, what the store's complete parts hold."""
    unfinished: tuple[str, ...]
    """Parts that a killed run left, to be removed."""
    problems: tuple[str, ...] = ()
    """What is wrong with the datasets that were named."""

    @property
    def waiting(self) -> list[Looked]:
        """Slides that can be opened and of which something is missing."""
        return [one for one in self.looked if one.error is None and not self.is_whole(one)]

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


def _survey(settings: ExtractSettings) -> _Survey:
    existing = Existing(settings.resume, settings.overwrite)
    there = check_output(settings.out, existing, ours=is_store(settings.out), what="a store of patches")
    found_inputs = find_inputs(settings.inputs, settings.annotations)
    items = with_groups(found_inputs.items, settings.group_rule())
    asked = settings.store_settings(items)
    store = open_store(settings.out) if there and settings.resume else None
    if store is not None:
        _same_settings(store, asked)
    known = {one.id: (one.path, one.fingerprint) for one in store.slides} if store is not None else {}
    looked = look_at(items, spec=asked.spec, options=settings.read_options(), known=known)
    if settings.codec == "jpeg":
        looked = [_only_tiles(one, asked.spec) for one in looked]
    records: dict[str, list[SlideRecord]] = {}
    for _, record in store.records() if store is not None else ():
        records.setdefault(record.id, []).append(record)
    unfinished = tuple(store.unfinished) if store is not None else ()
    return _Survey(asked, tuple(looked), records, unfinished, found_inputs.problems)


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


def _prepare(settings: ExtractSettings, survey: _Survey) -> None:
    """Make the store, or clear what a killed run left in it."""
    out = settings.out
    if settings.overwrite and out.exists():
        remove_tree(out)
    make_folder(out)
    create_store(out, survey.asked, durable=settings.fsync)
    sweep_unfinished(out, survey.unfinished)


def _plan(settings: ExtractSettings, survey: _Survey, executor: Executor, previews: Path | None = None) -> ExtractPlan:
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


def _lost(task: ExtractTask, error: BaseException) -> list[Outcome]:
    """Fail every slide of a part that could not be written, and leave nothing of the part."""
    remove_tree(path_of(task.store) / PARTS / task.part_id, ignore_errors=True)
    return [Outcome.failed(job.slide_id, job.item.path, error) for job in task.jobs]


def _same_settings(store: Store, asked: StoreSettings) -> None:
    have, want = (_flat(settings) for settings in (store.settings, asked))
    different = [f"{name} {have[name]} (asked: {want[name]})" for name in want if have[name] != want[name]]
    if different:
        msg = (
            f"{store.path} holds patches of other settings: {', '.join(different)}; "
            "give the same options to --resume, or another -o"
        )
        raise UsageError(msg)


def _flat(settings: StoreSettings) -> dict[str, Any]:
    return {**settings.spec.to_dict(), **settings.rule.to_dict(), "foreground": settings.foreground}
