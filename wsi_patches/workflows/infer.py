"""``wsi-patches infer``: slides into counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wsi_patches.executors import make_executor
from wsi_patches.infer import DETECTED, FOUND
from wsi_patches.infer.processors import shared_processors
from wsi_patches.outcome import Outcome, SlideReport
from wsi_patches.pipeline import Job, Progress, run_jobs
from wsi_patches.report import CountsFile, group_counts, remove_slide_reports, write_groups
from wsi_patches.workflows.infer_jobs import INFER, infer_jobs
from wsi_patches.workflows.infer_plan import COUNTS, InferPlan, plan_infer, weights_of
from wsi_patches.workflows.infer_settings import InferSettings
from wsi_patches.workflows.infer_task import failed_report
from wsi_patches.workflows.output import make_folder

__all__ = ["InferPlan", "InferResult", "InferSettings", "infer", "plan_infer"]

GROUPS = "groups.csv"
NO_MODEL = (
    "No model was given, so white cells are counted and blasts cannot be told: the blast columns stay empty. "
    "Give a cell {kind} with --model."
)
KINDS = {FOUND: "classifier", DETECTED: "detector"}
Told = Callable[[SlideReport], None]


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


def infer(settings: InferSettings, progress: Progress | None = None, told: Told | None = None) -> InferResult:
    """Count the white cells, and with a model the blasts, of every slide.

    Parameters
    ----------
    settings
        What was asked.
    progress
        Told how many slides are done, of how many.
    told
        Given each slide's report as soon as the slide is done, in no certain order; those that were kept come first.

    Raises
    ------
    UsageError
        What was asked cannot be done; nothing was written.
    ModelError
        The model cannot be used.
    KeyboardInterrupt
        The run was stopped; the slides that are done are in the table and in their folders.
    """
    executor = make_executor(settings.workers, settings.cluster)
    plan = plan_infer(settings, weights_of(settings))
    if settings.overwrite and settings.out.exists():
        remove_slide_reports(settings.out)
    make_folder(settings.out)
    counts = settings.out / COUNTS
    known = [*plan.kept, *map(failed_report, plan.failed)]
    tell: Told = told if told is not None else lambda _: None
    for report in known:
        tell(report)
    with CountsFile(counts, known, plan.order) as table:

        def finished(report: SlideReport) -> None:
            table.add(report)
            tell(report)

        def ended(job: Job, result: Any) -> None:
            for report in result if job.stage is INFER else ():
                finished(report)

        spread = settings.cluster is not None
        jobs = infer_jobs(plan.tasks, executor.workers, finished, spread=spread)
        with shared_processors(1 if spread else max(1, min(executor.workers, len(plan.tasks)))):
            run_jobs(jobs, executor, ended, progress)
    reports = table.reports
    groups = _write_groups(settings, reports)
    notes = (*plan.notes, *(() if settings.model else (NO_MODEL.format(kind=KINDS[settings.method]),)))
    return InferResult(settings.out, counts, tuple(reports), notes, groups)


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
