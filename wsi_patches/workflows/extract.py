"""``wsi-patches extract``: slides into one store of labelled patches."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from wsi_patches.executors import Executor, make_executor
from wsi_patches.extract import ExtractTask, extract_part
from wsi_patches.outcome import Outcome, merge_outcomes
from wsi_patches.pipeline import Job, Stage, run
from wsi_patches.slides.pool import close_idle_slides
from wsi_patches.stores import create_store, is_store, open_store, sweep_unfinished
from wsi_patches.workflows.cutting import part_id
from wsi_patches.workflows.extract_plan import ExtractPlan, Survey, cut_into_parts, plan_extract, survey_slides
from wsi_patches.workflows.extract_settings import ExtractSettings
from wsi_patches.workflows.leading import SILENT, SlideTally, Watch, opened, tells_splits
from wsi_patches.workflows.output import clear_output
from wsi_patches.workflows.output_lock import OutputLock, lock_output
from wsi_patches.workflows.run_log import RunLog

__all__ = ["EXTRACT", "ExtractPlan", "ExtractResult", "ExtractSettings", "extract", "plan_extract"]

PREVIEWS = "foreground"
Then = Callable[[ExtractTask, list[Outcome]], Iterable[Job]]
"""What follows from a part that is done."""
Begin = Callable[[ExtractPlan], Then]
"""Told what will be done, says what is to follow."""


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


def extract(
    settings: ExtractSettings, watch: Watch = SILENT, executor: Executor | None = None, begin: Begin | None = None
) -> ExtractResult:
    """Cut slides into labelled patches and keep them in one store.

    Parameters
    ----------
    settings
        What was asked.
    watch
        Who is told how the run gets on.
    executor
        An open one to work on; what the settings say if not given.
    begin
        Told of the plan, says what follows from each part that is done; nothing if not given.

    Raises
    ------
    UsageError
        What was asked cannot be done; nothing was written.
    OutputBusy
        Another run writes the same store.
    StoreError
        The store cannot be written, or the one that is there cannot be read.
    """
    planned = executor or make_executor(settings.workers, settings.cluster, settings.site)
    with lock_output(settings.out, "extract", settings, settings.shard) as lock:
        survey = survey_slides(settings)
        if survey.waiting:
            with lock.alone():
                _prepare(settings, survey)
        with opened(planned, watch, is_open=executor is not None):
            plan = cut_into_parts(settings, survey, planned, settings.out / PREVIEWS)
            then = EXTRACT.then if begin is None else begin(plan)
            with _log(settings, survey, plan) as log:
                outcomes = _work(plan, planned, replace(EXTRACT, then=then), watch, log, lock)
        patches = _count_and_sweep(settings, survey) if is_store(settings.out) else 0
    return ExtractResult(settings.out, outcomes, patches, survey.problems)


def _count_and_sweep(settings: ExtractSettings, survey: Survey) -> int:
    """Return how many patches the store holds, and remove what workers that died have left beside its parts."""
    store = open_store(settings.out)
    left = survey.to_sweep(store.unfinished, shard=settings.shard is not None)
    if left:
        sweep_unfinished(settings.out, left)
    return len(store)


def _log(settings: ExtractSettings, survey: Survey, plan: ExtractPlan) -> RunLog:
    return RunLog.open(
        settings.out,
        "extract",
        settings,
        slides=len(survey.looked),
        tasks=len(plan.tasks),
        kept=len(plan.kept),
        slides_in_all=survey.slides_in_all,
        shard=settings.shard,
        cluster=settings.cluster,
    )


def _work(
    plan: ExtractPlan,
    executor: Executor,
    stage: Stage[ExtractTask, list[Outcome]],
    watch: Watch,
    log: RunLog,
    lock: OutputLock,
) -> tuple[Outcome, ...]:
    """Write the parts of a plan, and tell of each slide once."""
    for outcome in plan.kept:
        log.slide(outcome, kept=True)
    for outcome in plan.failed:
        log.slide(outcome)
    tally = SlideTally(job.slide_id for task in plan.tasks for job in task.jobs)

    def ended(outcomes: list[Outcome]) -> None:
        lock.check()
        for outcome in tally.add(outcomes):
            log.slide(outcome)
            watch.slide(outcome)

    try:
        done = run(stage, plan.tasks, executor, watch.progress, ended, tells_splits(log, _slides_of))
    finally:
        close_idle_slides()
    return tuple(merge_outcomes(chain(plan.kept, chain.from_iterable(done), plan.failed)))


def _prepare(settings: ExtractSettings, survey: Survey) -> None:
    """Make the store, or clear what a killed run left in it."""
    out = settings.out
    if settings.overwrite:
        clear_output(out)
    create_store(out, survey.asked, durable=settings.fsync)
    sweep_unfinished(out, survey.to_sweep(survey.unfinished, shard=settings.shard is not None))


def _lost(task: ExtractTask, error: BaseException) -> list[Outcome]:
    """Fail every slide of a part that could not be written; what is left of it is swept by the next run."""
    return [Outcome.failed(job.slide_id, job.item.path, error) for job in task.jobs]


def _one_by_one(task: ExtractTask) -> list[ExtractTask]:
    """Cut a part into parts of one slide each."""
    return [replace(task, part_id=part_id((job,)), jobs=(job,)) for job in task.jobs]


def _slides_of(task: ExtractTask) -> list[str]:
    return [job.slide_id for job in task.jobs]


EXTRACT: Stage[ExtractTask, list[Outcome]] = Stage(
    "extract", extract_part, _lost, size=lambda task: task.patches, split=_one_by_one
)
"""Writes a part of a store."""
