"""``wsi-patches infer``: slides into counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from wsi_patches.executors import Executor, make_executor
from wsi_patches.infer import DETECTED, FOUND
from wsi_patches.infer.processors import shared_processors
from wsi_patches.outcome import Outcome, SlideReport
from wsi_patches.pipeline import run_jobs
from wsi_patches.report import (
    CountsFile,
    GroupCount,
    group_counts,
    remove_slide_reports,
    write_cohort,
    write_counts,
    write_groups,
    write_types,
)
from wsi_patches.workflows.infer_jobs import infer_jobs, slides_of
from wsi_patches.workflows.infer_plan import COUNTS, TABLES, InferPlan, plan_infer, weights_of
from wsi_patches.workflows.infer_settings import InferSettings
from wsi_patches.workflows.leading import SILENT, Watch, opened, tells_splits
from wsi_patches.workflows.merge import collect_reports, is_last
from wsi_patches.workflows.output_lock import OutputLock, lock_output
from wsi_patches.workflows.run_log import RunLog

__all__ = ["InferPlan", "InferResult", "InferSettings", "begin_log", "infer", "kept_up_to_date", "plan_infer"]

GROUPS = "groups.csv"
NO_MODEL = (
    "No model was given, so white cells are counted and blasts cannot be told: the blast columns stay empty. "
    "Give a cell {kind} with --model."
)
KINDS = {FOUND: "classifier", DETECTED: "detector"}
NAMED = 10


@dataclass(frozen=True)
class InferResult:
    """What was done."""

    out: Path
    counts: Path
    reports: tuple[SlideReport, ...]
    """One for each slide in input order, failed ones included."""
    notes: tuple[str, ...] = ()
    """Sentences about the whole run."""
    groups: Path | None = None
    """The table of patients, or of slides of several fields; None where no group is known."""

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """The reports as outcomes."""
        return tuple(report.outcome for report in self.reports)


def infer(settings: InferSettings, watch: Watch = SILENT, executor: Executor | None = None) -> InferResult:
    """Count the white cells, and with a model the blasts, of every slide.

    Parameters
    ----------
    settings
        What was asked.
    watch
        Who is told how the run gets on; of slides that were kept first, of the others in no certain order.
    executor
        An open one to work on; what the settings say if not given.

    Raises
    ------
    UsageError
        What was asked cannot be done; nothing was written.
    OutputBusy
        Another run writes the same output.
    ModelError
        The model cannot be used.
    KeyboardInterrupt
        The run was stopped; the slides that are done are in the table and in their folders.
    """
    planned = executor or make_executor(settings.workers, settings.cluster, settings.site)
    with lock_output(settings.out, "infer", settings, settings.shard) as lock:
        plan = plan_infer(settings, weights_of(settings))
        if settings.overwrite:
            remove_slide_reports(settings.out)
        with opened(planned, watch, is_open=executor is not None), begin_log(settings, plan) as log:
            reports = _count(settings, plan, planned, watch, log, lock)
            with lock.alone():
                result = _tables(settings, plan, reports)
                log.finished()
    told = () if settings.model else (NO_MODEL.format(kind=KINDS[settings.method]),)
    return replace(result, notes=(*plan.notes, *result.notes, *told))


def _count(
    settings: InferSettings, plan: InferPlan, executor: Executor, watch: Watch, log: RunLog, lock: OutputLock
) -> list[SlideReport]:
    """Count what is left."""
    spread = settings.cluster is not None
    with kept_up_to_date(settings, plan, watch, log, lock) as (table, finished):
        jobs = infer_jobs(plan.tasks, executor.workers, finished, spread=spread)
        with shared_processors(1 if spread else max(1, min(executor.workers, len(plan.tasks)))):
            run_jobs(jobs, executor, progress=watch.progress, split=tells_splits(log, slides_of))
    return table.reports


def begin_log(settings: InferSettings, plan: InferPlan) -> RunLog:
    """Begin the log of a run of ``infer``."""
    return RunLog.open(
        settings.out,
        "infer",
        settings,
        slides=len(plan.mine),
        tasks=len(plan.tasks),
        kept=len(plan.kept),
        slides_in_all=len(plan.order),
        shard=settings.shard,
        cluster=settings.cluster,
    )


@contextmanager
def kept_up_to_date(
    settings: InferSettings, plan: InferPlan, watch: Watch, log: RunLog, lock: OutputLock
) -> Iterator[tuple[CountsFile, Callable[[SlideReport], None]]]:
    """Keep log and table of a run up to date; yield the table, and what is to be told of each slide that has ended.

    Parameters
    ----------
    settings, plan
        What is counted.
    watch
        Who else is told.
    log, lock
        Of the run.
    """
    with CountsFile(_table(settings), [*plan.kept, *plan.failed], plan.order) as table:
        for report in plan.kept:
            log.slide(report, kept=True)
        for report in plan.failed:
            log.slide(report)
        for report in (*plan.kept, *plan.failed):
            watch.slide(report)

        def finished(report: SlideReport) -> None:
            lock.check()
            table.add(report)
            log.slide(report)
            watch.slide(report)

        yield table, finished


def _table(settings: InferSettings) -> Path:
    """Return where this run's counts go: a shard has a table of its own until the last one ends."""
    shard = settings.shard
    return settings.out / (COUNTS if shard is None else f"counts.{shard.name}.csv")


def _tables(settings: InferSettings, plan: InferPlan, reports: list[SlideReport]) -> InferResult:
    """Write the tables of all slides; of shards the last one does it, and its own tables go."""
    out, shard, notes = settings.out, settings.shard, list[str]()
    if shard is not None and not is_last(out, shard):
        note = f"this is shard {shard}: {COUNTS} is written when the last shard has ended"
        return InferResult(out, _table(settings), tuple(reports), (note,))
    if shard is not None:
        collected = collect_reports(out, plan.order)
        reports = list(collected.reports)
        write_counts(out / COUNTS, reports)
        notes = [f"slide {slide_id} was counted by no shard: run it again" for slide_id in collected.missing[:NAMED]]
    for table in out.glob(TABLES):
        if table.name != COUNTS:
            table.unlink()
    groups = _groups(settings, reports)
    write_types(out, reports, [one.group for one in groups])
    write_cohort(out, reports, groups)
    return InferResult(out, out / COUNTS, tuple(reports), tuple(notes), _write_groups(out / GROUPS, groups))


def _groups(settings: InferSettings, reports: Sequence[SlideReport]) -> list[GroupCount]:
    """Return the groups of the kind that was asked for."""
    wanted = {"auto": ("patient", "slide"), "none": ()}.get(settings.group_by, (settings.group_by,))
    return [one for one in group_counts(reports) if one.group_kind in wanted]


def _write_groups(path: Path, groups: Sequence[GroupCount]) -> Path | None:
    """Write the table of groups, if there are any."""
    if not groups:
        path.unlink(missing_ok=True)
        return None
    write_groups(path, groups)
    return path
