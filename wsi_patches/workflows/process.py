"""Slides into patches and counts in one go: each part passes from stage to stage while others are still cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from threadpoolctl import threadpool_limits

from wsi_patches.executors import Executor, make_executor
from wsi_patches.infer.processors import shared_processors
from wsi_patches.outcome import FAILED
from wsi_patches.pipeline import Job
from wsi_patches.preprocess import PreprocessTask
from wsi_patches.report import remove_slide_reports
from wsi_patches.workflows.chain import Chain
from wsi_patches.workflows.extract import ExtractResult, ExtractSettings, extract
from wsi_patches.workflows.infer import InferResult, InferSettings, begin_log, infer, kept_up_to_date
from wsi_patches.workflows.infer_jobs import infer_jobs
from wsi_patches.workflows.infer_plan import plan_infer, weights_of
from wsi_patches.workflows.leading import SILENT, Watch, opened
from wsi_patches.workflows.output_lock import lock_output
from wsi_patches.workflows.preprocess import PreprocessResult, PreprocessSettings, asked_of, preprocess
from wsi_patches.workflows.tune import GIVEN

__all__ = ["Processed", "process", "tell_processed"]


@dataclass(frozen=True)
class Processed:
    """What was done."""

    extracted: ExtractResult
    preprocessed: PreprocessResult | None
    counted: InferResult


def process(
    extracting: ExtractSettings,
    preprocessing: PreprocessSettings | None,
    inferring: InferSettings,
    watch: Watch = SILENT,
) -> Processed:
    """Extract, preprocess and count slides on one cluster.

    What was killed goes on where it stopped, with ``resume`` in all three settings.

    Parameters
    ----------
    extracting, preprocessing, inferring
        What each stage is asked; nothing is preprocessed if that is None. Where the work runs is what the first says.
    watch
        Who is told how the run gets on.

    Raises
    ------
    UsageError
        What was asked cannot be done.
    OutputBusy
        Another run writes one of the outputs.
    """
    executor = make_executor(extracting.workers, extracting.cluster, extracting.site)
    inferring = replace(inferring, workers=extracting.workers, cluster=extracting.cluster, site=extracting.site)
    with opened(executor, watch):
        with _chained(preprocessing, inferring, executor, watch) as chain:
            extracted = extract(extracting, Watch(watch.progress), executor, chain.begin)
        # What is left, the tables and the pictures: of what the chain has done there is nothing to do again.
        done = None if preprocessing is None else preprocess(preprocessing, executor=executor)
        counted = infer(replace(inferring, resume=True, overwrite=False), executor=executor)
    return Processed(extracted, done, counted)


@contextmanager
def _chained(
    preprocessing: PreprocessSettings | None, inferring: InferSettings, executor: Executor, watch: Watch
) -> Iterator[Chain]:
    """Hold the output of the counts while parts pass through the chain, and tell of each slide that is counted."""
    spread = inferring.cluster is not None
    with lock_output(inferring.out, "infer", inferring) as lock:
        plan = plan_infer(inferring, weights_of(inferring))
        if inferring.overwrite:
            remove_slide_reports(inferring.out)
        tasks = {task.slide_id: task for task in plan.tasks}
        with (
            begin_log(inferring, plan) as log,
            kept_up_to_date(inferring, plan, watch, log, lock) as (_, finished),
            shared_processors(1 if spread else executor.workers),
            threadpool_limits(1, user_api="blas"),  # as `preprocess` has it: scores depend on it in the last digit
        ):

            def count(slide_ids: Sequence[str]) -> list[Job]:
                some = [tasks[one] for one in slide_ids if one in tasks]
                return infer_jobs(some, executor.workers, finished, spread=spread)

            yield Chain(_asked(preprocessing), count)


def _asked(settings: PreprocessSettings | None) -> PreprocessTask | None:
    """Return what is asked of each part; None where that is learnt from all patches, or from all of a slide's."""
    if settings is None or settings.colour is not None or isinstance(settings.sharpen, str):
        return None
    return asked_of(settings, settings.sharpen, {} if settings.sharpen is None else GIVEN)


def tell_processed(done: Processed, tell: Callable[[str], None]) -> int:
    """Say what was done, and return the exit code: 1 if a slide failed in any stage.

    Parameters
    ----------
    done
        What `process` returned.
    tell
        Takes a line.
    """
    failed = {one.slide_id: one for one in (*done.extracted.outcomes, *done.counted.outcomes) if one.status == FAILED}
    slides = len({one.slide_id for one in (*done.extracted.outcomes, *done.counted.outcomes)})
    tell(f"slides: {slides - len(failed)} of {slides} done, {done.extracted.patches} patches in {done.extracted.out}")
    for note in dict.fromkeys((*done.extracted.notes, *done.counted.notes)):
        tell(f"note: {note}")
    if done.preprocessed is not None and done.preprocessed.pictures is not None:
        tell(f"focus: {done.preprocessed.pictures}")
    tell(f"counts: {done.counted.counts}")
    for one in failed.values():
        tell(f"failed: {one.slide_id}: {one.error}")
    return 1 if failed else 0
