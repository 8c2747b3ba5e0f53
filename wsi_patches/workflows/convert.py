"""``wsi-patches convert``: a store in another codec, the same pixels."""

from __future__ import annotations

from dataclasses import dataclass

from wsi_patches.errors import StoreError, UsageError
from wsi_patches.executors import make_executor
from wsi_patches.locations import Location, remove_tree
from wsi_patches.pipeline import Progress, Stage, run
from wsi_patches.stores import ConvertTask, convert_part, is_store, open_store, start_conversion
from wsi_patches.workflows.output import Existing, check_output, make_folder

__all__ = ["CONVERT_CODECS", "ConvertSettings", "convert"]

CONVERT_CODECS = ("zstd", "lz4", "none")
"""zarr's own codecs; tiles of a slide cannot be made of pixels."""


@dataclass(frozen=True)
class ConvertSettings:
    """What ``convert`` is asked to do."""

    store: Location
    out: Location
    codec: str = "zstd"
    workers: int | None = None
    resume: bool = False
    overwrite: bool = False
    fsync: bool = True

    def __post_init__(self) -> None:
        if self.codec not in CONVERT_CODECS:
            msg = f"codec must be one of {', '.join(CONVERT_CODECS)}, found {self.codec!r}"
            raise UsageError(msg)
        if self.out.resolve() == self.store.resolve():
            msg = f"-o {self.out} is the store itself: a store is never rewritten in place, give another path"
            raise UsageError(msg)


def convert(settings: ConvertSettings, progress: Progress | None = None) -> int:
    """Write a store anew in another codec and return how many patches it holds.

    Raises
    ------
    UsageError
        The output is already there, or is no store.
    StoreError
        The store cannot be read whole.
    """
    out = settings.out
    open_store(settings.store)
    existing = Existing(settings.resume, settings.overwrite)
    check_output(out, existing, ours=is_store(out), what="a store of patches")
    executor = make_executor(settings.workers)
    if settings.overwrite and out.exists():
        remove_tree(out)
    make_folder(out)
    tasks = start_conversion(settings.store, out, settings.codec, durable=settings.fsync)
    run(Stage("convert", convert_part, _stop, lambda task: task.patches), tasks, executor, progress)
    return len(open_store(out))


def _stop(task: ConvertTask, error: BaseException) -> int:
    """Give up: half a store is no store. The parts that are complete stay for ``--resume``."""
    msg = f"part {task.part_id} of {task.store} cannot be converted: {error}"
    raise StoreError(msg) from error
