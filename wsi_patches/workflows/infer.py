"""``wsi-patches infer``: slides into counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wsi_patches.executors import Executor, make_executor
from wsi_patches.infer import DETECTED, FOUND
from wsi_patches.infer.processors import shared_processors
from wsi_patches.outcome import Outcome, SlideReport
from wsi_patches.pipeline import Job, run_jobs
from wsi_patches.report import CountsFile, group_counts, remove_slide_reports, write_counts, write_groups
from wsi_patches.workflows.infer_jobs import INFER, infer_jobs, slides_of
from wsi_patches.workflows.infer_plan import COUNTS, InferPlan, plan_infer, weights_of
from wsi_patches.workflows.infer_settings import InferSettings
from wsi_patches.workflows.infer_task import failed_report
from wsi_patches.workflows.leading import SILENT, Watch, opened, tells_splits
from wsi_patches.workflows.merge import collect_reports, is_last
from wsi_patches.workflows.output_lock import lock_output
from wsi_patches.workflows.run_log import RunLog

__all__ = ["InferPlan", "InferResult", "InferSettings", "infer", "plan_infer"]

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
        with opened(planned, watch, is_open=executor is not None):
            reports = _count(settings, plan, planned, watch)
        with lock.alone():
            reports, notes = _of_all_shards(settings, plan, reports)
            groups = _write_groups(settings, reports)
    notes = (*plan.notes, *notes, *(() if settings.model else (NO_MODEL.format(kind=KINDS[settings.method]),)))
    return InferResult(settings.out, _table(settings), tuple(reports), notes, groups)


def _table(settings: InferSettings) -> Path:
    """Return where this run's counts go: a shard has a table of its own until the last one ends."""
    shard = settings.shard
    return settings.out / (COUNTS if shard is None else f"counts.{shard.name}.csv")


def _count(settings: InferSettings, plan: InferPlan, executor: Executor, watch: Watch) -> list[SlideReport]:
    """Count what is left, and keep table and log up to date."""
    failed = [failed_report(outcome) for outcome in plan.failed]
    counts = {"slides": len(plan.mine), "tasks": len(plan.tasks), "kept": len(plan.kept)}
    log = RunLog.open(
        settings.out,
        "infer",
        settings,
        **counts,
        slides_in_all=len(plan.order),
        shard=settings.shard,
        cluster=settings.cluster,
    )
    with log, CountsFile(_table(settings), [*plan.kept, *failed], plan.order) as table:
        for report in (*plan.kept, *failed):
            log.slide(report, kept=report in plan.kept)
            watch.slide(report)

        def finished(report: SlideReport) -> None:
            table.add(report)
            log.slide(report)
            watch.slide(report)

        def ended(job: Job, result: Any) -> None:
            for report in result if job.stage is INFER else ():
                finished(report)

        spread = settings.cluster is not None
        jobs = infer_jobs(plan.tasks, executor.workers, finished, spread=spread)
        with shared_processors(1 if spread else max(1, min(executor.workers, len(plan.tasks)))):
            run_jobs(jobs, executor, ended, watch.progress, tells_splits(log, slides_of))
    return table.reports


def _of_all_shards(
    settings: InferSettings, plan: InferPlan, reports: list[SlideReport]
) -> tuple[list[SlideReport], tuple[str, ...]]:
    """Return the reports that tables are made of; the last shard puts those of all together."""
    shard = settings.shard
    if shard is None:
        return reports, ()
    if not is_last(settings.out, shard):
        return reports, (f"this is shard {shard}: {COUNTS} is written when the last shard has ended",)
    collected = collect_reports(settings.out, plan.order)
    write_counts(settings.out / COUNTS, collected.reports)
    notes = tuple(f"slide {slide_id} was counted by no shard: run it again" for slide_id in collected.missing[:NAMED])
    return list(collected.reports), notes


def _write_groups(settings: InferSettings, reports: Sequence[SlideReport]) -> Path | None:
    """Write the table of groups, if there are any of the kind that was asked for."""
    wanted = {"auto": ("patient", "slide"), "none": ()}.get(settings.group_by, (settings.group_by,))
    groups = [one for one in group_counts(reports) if one.group_kind in wanted]
    path = settings.out / GROUPS
    if not groups:
        path.unlink(missing_ok=True)
        return None
    write_groups(path, groups)
    return path
