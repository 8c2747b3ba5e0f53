"""``wsi-patches extract``: slides into one store of labelled patches."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

from wsi_patches.cells import ALL_IDB_RULE, LabelRule
from wsi_patches.datasets import SlideItem, find_slides
from wsi_patches.datasets.all_idb1 import LAYOUT as ALL_IDB1
from wsi_patches.errors import UsageError
from wsi_patches.executors import make_executor
from wsi_patches.extract import ExtractTask, SlideJob, extract_part
from wsi_patches.grid import PatchSpec
from wsi_patches.outcome import DONE, Outcome, merge_outcomes
from wsi_patches.pipeline import Progress, Stage, run
from wsi_patches.slide import ReadOptions
from wsi_patches.stores import CODECS, Store, StoreSettings, create_store, is_store, open_store, sweep_unfinished
from wsi_patches.stores.format import PARTS, patches_in_shard
from wsi_patches.workflows.look import Looked, look_at
from wsi_patches.workflows.output import Existing, check_output, make_folder

__all__ = ["ExtractPlan", "ExtractResult", "ExtractSettings", "extract", "plan_extract"]

PART_SHARDS = 4
"""A part of 512 patches of 256 px is seconds of work, little to lose and enough to share out."""
PART_SLIDES = 256
COMPRESSED = {"auto": 0.6, "zstd": 0.6, "lz4": 0.85, "none": 1.0}
"""Roughly what is left of a patch's bytes, for --dry-run."""


@dataclass(frozen=True)
class ExtractSettings:
    """What ``extract`` is asked to do; the keys of a recipe, and the command's options."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    inputs: tuple[Path, ...]
    """Slides, folders of slides, or dataset folders."""
    out: Path
    """The store to write."""
    patch_size: int | None = None
    """Side of a patch in patch pixels; 256 if not given."""
    overlap: float | None = None
    stride: int | None = None
    edge: str | None = None
    level: int | None = None
    mpp: float | None = None
    magnification: float | None = None
    tolerance: int | None = None
    """How far outside of a patch, in level-0 pixels, a cell's centre may lie and still count."""
    annotations: Path | None = None
    """A folder of annotation files that bear their slide's name."""
    slide_mpp: float | None = None
    """The slides' level-0 pixel size in um, where their files do not say."""
    backend: str | None = None
    """Which reader opens the slides; chosen by each file's content if not given."""
    channels: tuple[str, ...] = ()
    """Of pictures of several channels, the one to three that are meant, by name or 0-based number."""
    codec: str = "auto"
    workers: int | None = None
    cluster: str | None = None
    resume: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.codec not in CODECS:
            msg = f"codec must be one of {', '.join(CODECS)}, found {self.codec!r}"
            raise UsageError(msg)
        self.read_options()

    def read_options(self) -> ReadOptions:
        """Return how slides are to be opened."""
        return ReadOptions(self.slide_mpp, self.backend, self.channels)

    def store_settings(self, items: Sequence[SlideItem]) -> StoreSettings:
        """Return the patches and labels that were asked for; ALL-IDB1 folders get their published protocol."""
        published = bool(items) and all(item.layout == ALL_IDB1 for item in items)
        chosen: dict[str, Any] = {"edge": "drop", "overlap": 0.25} if published else {}
        if self.stride is not None:
            chosen.pop("overlap", None)
        named = {"size_px": self.patch_size, "stride_px": self.stride, "overlap": self.overlap, "edge": self.edge}
        named |= {"level": self.level, "mpp": self.mpp, "magnification": self.magnification}
        chosen |= {name: value for name, value in named.items() if value is not None}
        default = ALL_IDB_RULE.tolerance_px if published else 0
        rule = LabelRule(default if self.tolerance is None else self.tolerance)
        return StoreSettings(PatchSpec(**chosen), rule)


@dataclass(frozen=True)
class ExtractPlan:
    """What would be done."""

    settings: StoreSettings
    tasks: tuple[ExtractTask, ...]
    failed: tuple[Outcome, ...]
    """Slides that cannot be done, found before any work."""
    kept: tuple[Outcome, ...]
    """Slides that the store already holds whole."""
    unfinished: tuple[str, ...]
    """Parts that a killed run left, to be removed."""

    @property
    def patches(self) -> int:
        """How many patches will be written."""
        return sum(task.patches for task in self.tasks)

    def bytes_needed(self, codec: str) -> int:
        """Return roughly how many bytes will be written."""
        return int(self.patches * self.settings.spec.size_px**2 * 3 * COMPRESSED[codec])


@dataclass(frozen=True)
class ExtractResult:
    """What was done."""

    out: Path
    outcomes: tuple[Outcome, ...]
    """One for each slide, failed ones included."""
    patches: int
    """How many patches the store holds."""


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
    plan = plan_extract(settings)
    out = settings.out
    if plan.tasks:
        if settings.overwrite and out.exists():
            shutil.rmtree(out)
        make_folder(out)
        create_store(out, plan.settings)
        sweep_unfinished(out, plan.unfinished)
    stage = Stage("extract", extract_part, _lost, lambda task: task.patches)
    done = run(stage, plan.tasks, executor, progress)
    outcomes = merge_outcomes(chain(plan.kept, chain.from_iterable(done), plan.failed))
    return ExtractResult(out, tuple(outcomes), len(open_store(out)) if is_store(out) else 0)


def _lost(task: ExtractTask, error: BaseException) -> list[Outcome]:
    """Fail every slide of a part that could not be written, and leave nothing of the part."""
    shutil.rmtree(Path(task.store) / PARTS / task.part_id, ignore_errors=True)
    return [Outcome.failed(job.slide_id, job.item.path, error) for job in task.jobs]


def plan_extract(settings: ExtractSettings) -> ExtractPlan:
    """Look at every slide and cut the work into parts, without writing anything.

    Raises
    ------
    UsageError
        What was asked cannot be done.
    """
    existing = Existing(settings.resume, settings.overwrite)
    there = check_output(settings.out, existing, ours=is_store(settings.out), what="a store of patches")
    items = find_slides(settings.inputs, settings.annotations)
    asked = settings.store_settings(items)
    store = open_store(settings.out) if there and settings.resume else None
    if store is not None:
        _same_settings(store, asked)
    known = {one.id: (one.path, one.fingerprint) for one in store.slides} if store is not None else {}
    looked = look_at(items, spec=asked.spec, options=settings.read_options(), known=known)
    present = _present(store)
    failed = tuple(one.outcome for one in looked if one.error is not None)
    whole = [one for one in looked if one.info is not None and _is_whole(one, present)]
    kept = tuple(Outcome(one.slide_id, one.item.path, DONE, one.total) for one in whole)
    waiting = [one for one in looked if one.info is not None and one not in whole]
    tasks = tuple(
        ExtractTask(str(settings.out), _part_id(jobs), asked, settings.codec, jobs)
        for jobs in _cut(waiting, asked.spec, present, settings.read_options())
    )
    return ExtractPlan(asked, tasks, failed, kept, tuple(store.unfinished) if store is not None else ())


def _same_settings(store: Store, asked: StoreSettings) -> None:
    have = store.settings
    if (have.spec, have.rule) != (asked.spec, asked.rule):
        msg = (
            f"{store.path} holds patches of {have.spec} labelled by {have.rule}; asked were {asked.spec} labelled by "
            f"{asked.rule}: give the same options to --resume, or another -o"
        )
        raise UsageError(msg)


def _present(store: Store | None) -> dict[str, set[tuple[int, int]]]:
    """Return, for each slide of a store, the ranges of its grid that complete parts answer for."""
    present: dict[str, set[tuple[int, int]]] = {}
    for _, record in store.records() if store is not None else ():
        present.setdefault(record.id, set()).add((record.grid_start, record.grid_stop))
    return present


def _is_whole(one: Looked, present: dict[str, set[tuple[int, int]]]) -> bool:
    return sum(stop - start for start, stop in present.get(one.slide_id, ())) == one.total


def _cut(
    waiting: Sequence[Looked], spec: PatchSpec, present: dict[str, set[tuple[int, int]]], options: ReadOptions
) -> Iterator[tuple[SlideJob, ...]]:
    """Cut slides into parts, the same way whoever cuts them: large slides into runs, small ones together.

    A run that was killed and resumed must make the same parts, so a cut depends on nothing but the slides' order.
    """
    part = PART_SHARDS * patches_in_shard(spec.size_px**2 * 3)
    together: list[SlideJob] = []
    for one in waiting:
        if one.total > part:
            ranges = ((start, min(start + part, one.total)) for start in range(0, one.total, part))
            missing = (run for run in ranges if run not in present.get(one.slide_id, ()))
            yield from ((SlideJob(one.item, one.slide_id, *run, options),) for run in missing)
            continue
        together.append(SlideJob(one.item, one.slide_id, 0, one.total, options))
        if sum(job.stop for job in together) >= part or len(together) == PART_SLIDES:
            yield tuple(together)
            together = []
    if together:
        yield tuple(together)


def _part_id(jobs: tuple[SlideJob, ...]) -> str:
    """Name a part after its first slide, safely, and after all of its contents, uniquely."""
    contents = "\n".join(f"{job.slide_id}\0{job.item.path}\0{job.start}\0{job.stop}" for job in jobs)
    digest = hashlib.blake2b(contents.encode(), digest_size=6).hexdigest()
    name = re.sub(r"[^A-Za-z0-9_~-]", "_", jobs[0].slide_id)[:48]
    return f"{name}.{jobs[0].start:08d}.{digest}"
