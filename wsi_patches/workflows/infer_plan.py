"""Which slides ``infer`` has to count, and which it has counted already."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path

from wsi_patches.datasets import Found, annotations_of, find_inputs, safe_id, with_groups
from wsi_patches.datasets.sentences import some
from wsi_patches.errors import UsageError
from wsi_patches.infer import FOUND, MARKED
from wsi_patches.models.backends.devices import list_devices
from wsi_patches.outcome import SlideReport
from wsi_patches.report import read_reports
from wsi_patches.slides.pool import close_idle_slides
from wsi_patches.stores import is_store, open_store
from wsi_patches.workflows.infer_settings import InferSettings
from wsi_patches.workflows.infer_task import NO_CELLS, NO_DICOM, InferTask, failed_report
from wsi_patches.workflows.look import Looked, look_at
from wsi_patches.workflows.output import check_output
from wsi_patches.workflows.review import digest_of
from wsi_patches.workflows.shards import Shard, ids_of_shard, take_shard

__all__ = ["COUNTS", "InferPlan", "Weights", "plan_infer", "weights_of"]

COUNTS, TABLES = "counts.csv", "counts*.csv"
"""The table, and those of shards besides."""
ALL = Shard(1, 1)


@dataclass(frozen=True)
class Weights:
    """SHA-256 of the weights that a run counts with, empty where there are none, and how."""

    finder: str
    model: str
    method: str = FOUND
    tta: int = 1

    def are_those_of(self, report: SlideReport) -> bool:
        """Tell whether an earlier report was made with them; marked cells need no finder."""
        finder = report.extra.get("finder_sha256", "") if report.method == FOUND else self.finder
        same = report.method in (self.method, MARKED) and report.extra.get("tta", 1) == self.tta
        return same and (finder, report.weights_sha256) == (self.finder, self.model)


@dataclass(frozen=True)
class InferPlan:
    """What would be done."""

    tasks: tuple[InferTask, ...]
    failed: tuple[SlideReport, ...]
    """Slides that cannot be opened."""
    kept: tuple[SlideReport, ...]
    """Slides whose report is already there."""
    order: tuple[str, ...]
    """Ids of all slides in input order, other shards' too."""
    notes: tuple[str, ...] = ()
    """What is wrong with the datasets that were named, beside their slides."""

    @property
    def mine(self) -> frozenset[str]:
        """Ids of the slides that this run answers for."""
        ended = [*(one.slide_id for one in self.failed), *(one.slide_id for one in self.kept)]
        return frozenset([*ended, *(task.slide_id for task in self.tasks)])


def weights_of(settings: InferSettings) -> Weights:
    """Return the hashes of what was asked for, or say why it cannot be used."""
    models = settings.models()
    if settings.is_elsewhere:  # whoever leads the run needs no GPU
        models = replace(models, device="cpu", precision="auto")
    finder, model = models.weights_sha256()
    return Weights(finder, model, settings.method, settings.tta)


def plan_infer(settings: InferSettings, weights: Weights | None = None) -> InferPlan:
    """Look at every slide, without writing anything.

    Parameters
    ----------
    settings
        What was asked.
    weights
        A slide that an earlier run counted with others is counted again; by default what is asked for.

    Raises
    ------
    UsageError
        What was asked cannot be done.
    """
    existing, shard = settings.existing(), settings.shard
    ours = any(settings.out.glob(TABLES))
    there = check_output(settings.out, existing, ours=ours, what="the counts of wsi-patches infer")
    stores = [path for path in settings.inputs if path.is_dir() and is_store(path)]
    files = [path for path in settings.inputs if path not in stores]
    inputs = find_inputs(files) if files else Found(())
    items = with_groups(inputs.items, settings.group_rule())
    ids = None if shard is None else ids_of_shard([item.path for item in items], shard)
    done = _reports(settings.out, weights or weights_of(settings), ids) if there and existing.resume else {}
    known = {name: (report.path, report.fingerprint) for name, report in done.items()}
    looked = look_at(take_shard(items, shard), options=settings.read_options(), known=known, ids=ids)
    close_idle_slides()  # tasks open their own, forgiving ones
    names = [one.slide_id for one in looked] if shard is None else ids_of_shard([item.path for item in items], ALL)
    stored = _store_tasks(stores, settings, taken=set(names))
    tasks = [_task(one, settings) for one in looked if one.error is None]
    tasks += take_shard(stored, shard)
    lost = [one for one in looked if one.error is not None]
    failed = tuple(failed_report(one.outcome, one.item.group, one.item.group_kind) for one in lost)
    if settings.annotations is not None:
        tasks = [_marked(task, settings.annotations) for task in tasks]
    unchanged = _unchanged(tasks, done) - _lacks_dicom(tasks, done)
    done = {name: report for name, report in done.items() if name in unchanged}
    kept = tuple(done[task.slide_id] for task in tasks if task.slide_id in done)
    order = (*names, *(task.slide_id for task in stored))
    left = [task for task in tasks if task.slide_id not in done]
    dealt = tuple(left) if settings.is_elsewhere else _dealt(left, settings.device)
    return InferPlan(dealt, failed, kept, order, (*inputs.problems, *_without_dicom(tasks, done)))


def _dealt(tasks: Sequence[InferTask], device: str) -> tuple[InferTask, ...]:
    """Deal slides out to GPUs in turn, where there are several."""
    devices = list_devices(device)
    if len(devices) == 1:
        return tuple(tasks)
    turns = zip(tasks, cycle(devices), strict=False)
    return tuple(replace(task, models=replace(task.models, device=one)) for task, one in turns)


def _marked(task: InferTask, folder: Path) -> InferTask:
    marks = annotations_of(folder, task.slide_id, Path(task.path).stem, slide="" if task.in_store else task.path)
    if marks:
        return replace(task, marks=marks)
    warning = f"no annotation file named {task.slide_id} in {folder}: its cells were found, not marked by a person"
    return replace(task, warnings=(*task.warnings, warning))


def _unchanged(tasks: Sequence[InferTask], done: Mapping[str, SlideReport]) -> set[str]:
    """Return the slides of an earlier run whose marks are still the same."""
    known = {name: report.extra.get("marks_sha256", "") for name, report in done.items()}
    return {task.slide_id for task in tasks if known.get(task.slide_id) == digest_of(task.marks)}


def _lacks_dicom(tasks: Sequence[InferTask], done: Mapping[str, SlideReport]) -> set[str]:
    """Return the slides whose cells are asked for as DICOM annotations, which an earlier run was not asked for."""
    asked = [task for task in tasks if task.dicom and task.slide_id in done and not task.has_dicom]
    told = {name: {NO_DICOM, NO_CELLS} & {*report.warnings} for name, report in done.items()}
    return {task.slide_id for task in asked if not told[task.slide_id] and task.dicom_source is not None}


def _without_dicom(tasks: Sequence[InferTask], done: Mapping[str, SlideReport]) -> list[str]:
    """Return a sentence on the slides that are kept as they are, though DICOM annotations are asked for."""
    names = [task.slide_id for task in tasks if task.dicom and task.slide_id in done and not task.has_dicom]
    why = "have no DICOM annotations: they are no DICOM files here, or hold no cell"
    return [f"{len(names)} slides that were counted before {why} ({some(names)})"] if names else []


def _reports(out: Path, weights: Weights, ids: Sequence[str] | None) -> dict[str, SlideReport]:
    """Return the reports of an earlier run that used the same weights, of some slides or of all."""
    folders = sorted(out.iterdir()) if ids is None else [out / name for name in ids]
    return {one.slide_id: one for one in read_reports(folders) if weights.are_those_of(one)}


def _task(one: Looked, settings: InferSettings) -> InferTask:
    return InferTask(
        path=one.item.path,
        slide_id=one.slide_id,
        out=str(settings.out / one.slide_id),
        group=one.item.group,
        group_kind=one.item.group_kind,
        options=settings.read_options(),
        models=settings.models(),
        dicom=settings.annotations_format == "dicom",
        pixels=0 if one.info is None else one.info.size.width * one.info.size.height,
    )


def _store_tasks(stores: Sequence[Path], settings: InferSettings, taken: set[str]) -> list[InferTask]:
    tasks = []
    for path in stores:
        for record in open_store(path).slides:
            if safe_id(record.id) != record.id:
                msg = f"{path} calls a slide {record.id!r}, no name for a folder: it was not made by this program"
                raise UsageError(msg)
            if record.id in taken:
                msg = f"slide {record.id} of {path} has the id of another input: count stores and slides apart"
                raise UsageError(msg)
            taken.add(record.id)
            warnings = (f"counted on the patches of {path.name}, not on the slide itself",)
            out = str(settings.out / record.id)
            task = InferTask(str(path), record.id, out, in_store=True, warnings=warnings)
            task = replace(task, group=record.group, group_kind=record.group_kind, pixels=math.prod(record.size))
            tasks.append(replace(task, models=settings.models()))
    return tasks
