"""``wsi-patches remove``: slides out of a store."""

from __future__ import annotations

from dataclasses import dataclass

from wsi_patches.errors import UsageError
from wsi_patches.locations import Location, is_remote
from wsi_patches.outcome import DONE, Outcome
from wsi_patches.pipeline import Progress
from wsi_patches.stores import Store, open_store
from wsi_patches.stores.parts import Part
from wsi_patches.stores.remove import clear_removed, forget_pictures, remove_from_part
from wsi_patches.workflows.output_lock import lock_output
from wsi_patches.workflows.run_log import RunLog

__all__ = ["RemoveResult", "RemoveSettings", "remove"]

NAMED = 10


@dataclass(frozen=True)
class RemoveSettings:
    """What ``remove`` is asked to do."""

    store: Location
    slides: tuple[str, ...]
    """Ids of the slides, as ``inspect`` lists them."""
    dry_run: bool = False
    """Say what would go, and change nothing."""
    fsync: bool = True

    def __post_init__(self) -> None:
        if not self.slides:
            msg = "no slide was named: give the ids of those that are to go; wsi-patches inspect lists them"
            raise UsageError(msg)
        if is_remote(self.store):
            msg = f"{self.store} is in an object store, where nothing is replaced in one step: remove from a copy here"
            raise UsageError(msg)


@dataclass(frozen=True)
class RemoveResult:
    """What went, or would go."""

    slides: tuple[str, ...]
    patches: int
    """How many patches went."""
    dropped: int
    """Parts that held nothing else."""
    rewritten: int
    """Parts that hold other slides too, which were written anew."""
    left: int
    """How many patches the store holds now."""


def remove(settings: RemoveSettings, progress: Progress | None = None) -> RemoveResult:
    """Take slides out of a store, with all that was derived of them and their pictures.

    Killed at any moment, each part is as it was or as it shall be; the same command goes on.

    Raises
    ------
    UsageError
        The store has no such slide, or lies in an object store; nothing was changed.
    OutputBusy
        Another run writes the store.
    StoreError
        Something that stays cannot be read; its part is left as it was.
    """
    store = open_store(settings.store)  # says so if there is none, before a lock makes its folder
    if settings.dry_run:
        return _result(store, settings, _parts_with(store, settings))
    with lock_output(settings.store, "remove", settings):
        clear_removed(open_store(settings.store))
        store = open_store(settings.store)
        parts, gone = _parts_with(store, settings), set(settings.slides)
        result = _result(store, settings, parts)
        paths = {record.id: record.path for record in store.slides}
        with RunLog.open(settings.store, "remove", settings, slides=len(gone), tasks=len(parts)) as log:
            forget_pictures(settings.store, gone)
            for done, part in enumerate(parts, start=1):
                remove_from_part(settings.store, part, gone, durable=settings.fsync)
                if progress is not None:
                    progress(done, len(parts))
            clear_removed(open_store(settings.store))
            for name in result.slides:
                log.slide(Outcome(name, paths[name], DONE))
    return result


def _parts_with(store: Store, settings: RemoveSettings) -> list[Part]:
    """Return the parts that hold patches of the slides.

    Raises
    ------
    UsageError
        The store has no such slide.
    """
    unknown = [name for name in settings.slides if name not in store.row_of]
    if unknown:
        has = ", ".join(record.id for record in store.slides[:NAMED])
        msg = f"{settings.store} has no slide {', '.join(unknown)}; it has {has}{' ...' * (len(store.slides) > NAMED)}"
        raise UsageError(msg)
    gone = set(settings.slides)
    return [part for part in store.parts if any(record.id in gone for record in part.slides)]


def _result(store: Store, settings: RemoveSettings, parts: list[Part]) -> RemoveResult:
    gone = tuple(dict.fromkeys(settings.slides))
    patches = sum(len(store.positions_of(name)) for name in gone)
    shared = sum(any(record.id not in gone for record in part.slides) for part in parts)
    return RemoveResult(gone, patches, len(parts) - shared, shared, len(store) - patches)
