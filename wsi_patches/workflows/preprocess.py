"""``wsi-patches preprocess``: focus, sharpening and colour of a store's patches, kept beside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from wsi_patches.errors import StoreError, UsageError
from wsi_patches.executors import Executor, make_executor
from wsi_patches.executors.site import Site
from wsi_patches.grid import Kept
from wsi_patches.imaging.sharpen import SharpenSettings
from wsi_patches.locations import Location
from wsi_patches.outcome import DONE, OUT_OF_FOCUS, Outcome
from wsi_patches.pipeline import Job, Stage, run_jobs
from wsi_patches.preprocess import LEFT, PreprocessTask, preprocess_part
from wsi_patches.report.focus import SlideFocus, write_focus
from wsi_patches.stores import Store, create_group, derived_settings, open_store
from wsi_patches.workflows.colour import colour_method, fit_colour
from wsi_patches.workflows.leading import SILENT, SlideTally, Watch, opened
from wsi_patches.workflows.output_lock import lock_output
from wsi_patches.workflows.run_log import RunLog
from wsi_patches.workflows.store_foreground import store_foreground
from wsi_patches.workflows.tune import tune_threshold

__all__ = ["PreprocessResult", "PreprocessSettings", "preprocess"]

FOCUS = "focus"
FOREGROUND_SETTINGS = {"method": "contrast and light unlike the glass"}


@dataclass(frozen=True)
class PreprocessSettings:
    """What ``preprocess`` is asked to do; the keys of a recipe, and the command's options."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    store: Location
    focus: bool = False
    """Score every patch; always done before sharpening."""
    sharpen: float | str | None = None
    """The focus score above which a patch is sharpened, or ``auto`` to find it from the store's labels."""
    keep: Literal["last", "best"] = "last"
    """Which try is kept: the last, as published, or the best."""
    amount: float = 0.8
    colour: str | None = None
    """The name of a colour method."""
    colour_reference: Path | None = None
    """A picture whose colours the slides are to have; each slide by itself if not given."""
    out_of_focus: float = OUT_OF_FOCUS
    """The score above which a patch counts as out of focus in reports."""
    workers: int | None = None
    cluster: str | None = None
    site: Site | None = None
    """What the cluster's site asks of jobs."""
    overwrite: bool = False
    fsync: bool = True

    def __post_init__(self) -> None:
        if not (self.focus or self.sharpen is not None or self.colour is not None):
            msg = "nothing was asked for: give --focus, --sharpen or --colour"
            raise UsageError(msg)
        if isinstance(self.sharpen, str) and self.sharpen != "auto":
            msg = f"--sharpen takes a focus score or auto, found {self.sharpen!r}"
            raise UsageError(msg)
        if self.colour_reference is not None and self.colour is None:
            msg = "--colour-reference needs --colour METHOD"
            raise UsageError(msg)
        if isinstance(self.sharpen, int | float):
            self.sharpen_settings(float(self.sharpen))

    def sharpen_settings(self, threshold: float) -> SharpenSettings:
        """Return how soft patches are sharpened."""
        return SharpenSettings(threshold, amount=self.amount, keep=self.keep)


@dataclass(frozen=True)
class PreprocessResult:
    """What was done."""

    store: Path
    patches: int
    slides: tuple[SlideFocus, ...]
    """How sharp each slide is; empty where focus was not scored."""
    threshold: float | None = None
    """Above which patches were sharpened."""
    uncoloured: tuple[str, ...] = ()
    """Slides whose colours were left as they are, since they show no stain."""
    pictures: Path | None = None


def preprocess(
    settings: PreprocessSettings, watch: Watch = SILENT, executor: Executor | None = None
) -> PreprocessResult:
    """Add focus scores, sharpened and recoloured patches to a store; what is there already is not done again.

    Parameters
    ----------
    settings
        What was asked.
    watch
        Who is told how the run gets on.
    executor
        An open one to work on; what the settings say if not given.

    Raises
    ------
    UsageError
        What was asked cannot be done; nothing was written.
    OutputBusy
        Another run writes the same store.
    StoreError
        The store cannot be read, or holds the same derived under other settings.
    """
    open_store(settings.store)  # says so if there is none, before a lock makes its folder
    planned = executor or make_executor(settings.workers, settings.cluster, settings.site)
    with lock_output(settings.store, "preprocess", settings):
        store = open_store(settings.store)
        threshold, notes = tune_threshold(store, settings.sharpen, settings.sharpen_settings(0.0))
        asked = asked_of(settings, threshold, notes)
        with opened(planned, watch, is_open=executor is not None):
            left = _work(settings, asked, store, planned, watch)
        result = PreprocessResult(store.path, len(store), (), threshold, left)
        return _with_pictures(result, store, settings) if asked.focus else result


def asked_of(settings: PreprocessSettings, threshold: float | None, notes: Mapping[str, Any]) -> PreprocessTask:
    """Return what is asked of every part, of no part in particular.

    Parameters
    ----------
    settings
        What was asked.
    threshold
        The focus score above which a patch is sharpened; None where none is.
    notes
        How it was found.
    """
    sharpen = None if threshold is None else settings.sharpen_settings(threshold)
    return PreprocessTask(
        str(settings.store),
        "",
        foreground_settings=FOREGROUND_SETTINGS,
        focus=settings.focus or sharpen is not None,
        sharpen=sharpen,
        sharpen_notes=notes,
        durable=settings.fsync,
    )


def _work(
    settings: PreprocessSettings, asked: PreprocessTask, store: Store, executor: Executor, watch: Watch
) -> tuple[str, ...]:
    """Do all parts; return the slides whose colours were left as they are."""
    method = colour_method(settings.colour, settings.colour_reference)
    kept = _kept(store, executor)
    colour = {} if method is None else fit_colour(store, method, kept, executor)
    tasks = list(_of_parts(asked, store, kept, colour))
    if not settings.overwrite:
        _refuse_other_settings(tasks)
    slides, where = len(store.slides), settings.cluster
    with RunLog.open(settings.store, "preprocess", settings, slides=slides, tasks=len(tasks), cluster=where) as log:
        tally = SlideTally(record.id for part in store.parts for record in part.slides)
        of_part = {part.id: [Outcome(one.id, one.path, DONE) for one in part.slides] for part in store.parts}

        def ended(job: Job, _: Any) -> None:
            for outcome in tally.add(of_part[job.task.part_id]):
                log.slide(outcome)
                watch.slide(outcome)

        with threadpool_limits(1):  # the workers share the processors out already
            run_jobs([Job(PREPROCESS, task) for task in tasks], executor, ended, watch.progress)
    return tuple(name for name, fitted in colour.items() if LEFT in fitted)


def _of_parts(
    asked: PreprocessTask, store: Store, kept: NDArray[np.bool_], colour: dict[str, dict[str, Any]]
) -> Iterator[PreprocessTask]:
    """Yield what is asked for, part by part."""
    for part, start in zip(store.parts, store.offsets.tolist(), strict=False):
        yield replace(
            asked,
            part_id=part.id,
            foreground=Kept.of(kept[start : start + part.count]),
            colour=[colour[record.id] for record in part.slides] if colour else (),
        )


def _with_pictures(result: PreprocessResult, store: Store, settings: PreprocessSettings) -> PreprocessResult:
    """Write how sharp each slide is, for people."""
    folder = store.path / FOCUS
    create_group(folder, durable=settings.fsync)
    slides = tuple(write_focus(folder, store, settings.out_of_focus))
    return replace(result, slides=slides, pictures=folder)


def _kept(store: Store, executor: Executor) -> NDArray[np.bool_]:
    """Return which patches hold cells or tissue: as an earlier run found, or looked for now."""
    if store.parts and all(derived_settings(part.folder, "foreground") == FOREGROUND_SETTINGS for part in store.parts):
        return store.derived("foreground", "keep").astype(bool)
    return store_foreground(store, executor)


def _refuse_other_settings(tasks: Sequence[PreprocessTask]) -> None:
    """Find out before any work that something would have to be replaced."""
    for task in tasks:
        for name, wanted in task.wanted().items():
            have = derived_settings(task.folder, name)
            if have is not None and have != wanted:
                different = sorted(key for key in {*have, *wanted} if have.get(key) != wanted.get(key))
                msg = (
                    f"{task.store} holds derived {name} made with another {', '.join(different)}: "
                    "replace it with --overwrite, or leave it out"
                )
                raise UsageError(msg)


def _stop(task: PreprocessTask, error: BaseException) -> int:
    """Give up; the parts that are done stay done."""
    msg = f"part {task.part_id} of {task.store} cannot be preprocessed: {error}"
    raise StoreError(msg) from error


PREPROCESS: Stage[PreprocessTask, int] = Stage(
    "preprocess", preprocess_part, _stop, size=lambda task: task.foreground.length
)
"""Adds to a part of a store."""
