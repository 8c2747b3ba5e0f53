"""``wsi-patches merge``: several stores into one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from wsi_patches.datasets.ids import safe_id
from wsi_patches.errors import StoreError, UsageError
from wsi_patches.executors import make_executor
from wsi_patches.locations import Location
from wsi_patches.pipeline import Progress, Stage, run
from wsi_patches.stores import Store, StoreSettings, create_store, is_store, open_store, sweep_unfinished
from wsi_patches.stores.arrays import METADATA
from wsi_patches.stores.format import PARTS
from wsi_patches.stores.merge import CopyTask, copy_part, copy_pictures, derived_of
from wsi_patches.workflows.extract import PREVIEWS
from wsi_patches.workflows.output import Existing, check_output, clear_output
from wsi_patches.workflows.output_lock import lock_output

__all__ = ["MergeResult", "MergeSettings", "merge"]

NAMED = 5
"""Slides of a clash that are named."""


@dataclass(frozen=True)
class MergeSettings:
    """What ``merge`` is asked to do."""

    stores: tuple[Location, ...]
    out: Location
    prefix: bool = False
    """Put each store's name before the ids of its slides."""
    workers: int | None = None
    resume: bool = False
    overwrite: bool = False
    fsync: bool = True

    def __post_init__(self) -> None:
        Existing(self.resume, self.overwrite)
        places = [store.resolve() for store in self.stores]
        if len(places) < 2:
            msg = f"merge takes two stores or more, found {len(places)}"
            raise UsageError(msg)
        twice = next((self.stores[at] for at, place in enumerate(places) if place in places[:at]), None)
        if twice is not None:
            msg = f"{twice} was named twice: name each store once"
            raise UsageError(msg)
        if self.out.resolve() in places:
            msg = f"-o {self.out} is one of the stores that are merged: give another path"
            raise UsageError(msg)


@dataclass(frozen=True)
class MergeResult:
    """What was done."""

    patches: int
    slides: int
    derived: tuple[str, ...]
    """The derived groups that came along."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Derived groups that did not, and why."""


def merge(settings: MergeSettings, progress: Progress | None = None) -> MergeResult:
    """Copy the parts of several stores into one, as they are.

    Derived groups come along where every part of every store has them with equal settings.

    Raises
    ------
    UsageError
        The stores do not fit each other, or share ids of slides; nothing was written.
    OutputBusy
        Another run writes the output.
    StoreError
        A store cannot be read, or a part cannot be copied.
    """
    out = settings.out
    stores = [open_store(path) for path in settings.stores]
    check_output(out, Existing(settings.resume, settings.overwrite), ours=is_store(out), what="a store of patches")
    _check_fit(stores)
    prefixes = _prefixes(settings)
    _check_ids(stores, prefixes)
    derived, left_out = _derived(stores)
    with lock_output(out, "merge", settings):
        if settings.overwrite:
            clear_output(out)
        create_store(out, stores[0].settings, durable=settings.fsync)
        tasks = [
            CopyTask(str(store.path), part.id, str(out), prefix, derived, part.count, settings.fsync)
            for store, prefix in zip(stores, prefixes, strict=True)
            for part in store.parts
        ]
        _check_begun(open_store(out), stores[0].settings, tasks)
        sweep_unfinished(out, open_store(out).unfinished)
        left = [task for task in tasks if not (out / PARTS / task.name / METADATA).exists()]
        stage = Stage("merge", copy_part, _stop, lambda task: task.patches)
        run(stage, left, make_executor(settings.workers), progress)
        for store, prefix in zip(stores, prefixes, strict=True):
            copy_pictures(store.path / PREVIEWS, out / PREVIEWS, prefix, durable=settings.fsync)
    merged = open_store(out)
    return MergeResult(len(merged), len(merged.slides), derived, left_out)


def _check_fit(stores: Sequence[Store]) -> None:
    """Refuse stores whose patches or labels were made in other ways, and unfinished ones."""
    first = stores[0]
    for store in stores:
        different = first.settings.differences(store.settings, store.path.name)
        if different:
            told = ", ".join(different)
            msg = f"{store.path} cannot be merged with {first.path}, which has {told}: extract one of them anew"
            raise UsageError(msg)
        if store.unfinished:
            msg = f"{store.path} has parts that were never completed: run extract again with --resume, then merge"
            raise UsageError(msg)


def _prefixes(settings: MergeSettings) -> list[str]:
    if not settings.prefix:
        return [""] * len(settings.stores)
    names = [safe_id(store.name.removesuffix(".zarr")) for store in settings.stores]
    if len({name.casefold() for name in names}) < len(names):
        msg = (
            f"--prefix puts the stores' names before their slides' ids, and they are not different: {', '.join(names)}"
        )
        raise UsageError(msg)
    return [f"{name}_" for name in names]


def _check_ids(stores: Sequence[Store], prefixes: Sequence[str]) -> None:
    """Refuse stores that have an id in common, in whatever case: ids are names of files too."""
    ids = [
        {f"{prefix}{record.id}".casefold(): record.id for record in store.slides}
        for store, prefix in zip(stores, prefixes, strict=True)
    ]
    for one, other in combinations(range(len(stores)), 2):
        both = sorted(ids[one][name] for name in ids[one].keys() & ids[other].keys())
        if both:
            more = f" and {len(both) - NAMED} more" if len(both) > NAMED else ""
            msg = (
                f"{stores[one].path} and {stores[other].path} both have slides {', '.join(both[:NAMED])}{more}: remove "
                "them from one store, or give --prefix, which puts each store's name before its slides' ids"
            )
            raise UsageError(msg)


def _derived(stores: Sequence[Store]) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the derived groups that come along, and of the others why they do not."""
    holding = [store for store in stores if store.parts]
    found = [derived_of(store) for store in holding]
    kept, left_out = list[str](), dict[str, str]()
    for name in sorted({name for groups in found for name in groups}):
        lacking = [str(store.path) for store, groups in zip(holding, found, strict=True) if name not in groups]
        settings = [one for groups in found for one in groups.get(name, ())]
        if lacking:
            left_out[name] = f"{lacking[0]} has not got it for all of its patches"
        elif any(one != settings[0] for one in settings):
            left_out[name] = "it was made with different settings"
        else:
            kept.append(name)
    return tuple(kept), left_out


def _check_begun(there: Store, asked: StoreSettings, tasks: Sequence[CopyTask]) -> None:
    """Refuse to go on with a store that was not begun as a merge of these."""
    others = {part.id for part in there.parts} - {task.name for task in tasks}
    if others or there.settings.differences(asked):
        msg = f"{there.path} is no merge of these stores that could be resumed: give another -o, or --overwrite"
        raise UsageError(msg)


def _stop(task: CopyTask, error: BaseException) -> int:
    """Give up: half a store is no store. The parts that are complete stay for ``--resume``."""
    msg = f"part {task.part_id} of {task.store} cannot be copied: {error}"
    raise StoreError(msg) from error
