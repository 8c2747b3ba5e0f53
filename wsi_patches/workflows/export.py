"""``wsi-patches export``: patches of a store in the format of another trainer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsi_patches._version import __version__
from wsi_patches.errors import UsageError
from wsi_patches.executors.choose import available_cpus
from wsi_patches.export import ExportJob, ExportPatches, ImageSettings, check_format, find_format
from wsi_patches.export.attributes import AttributeTable
from wsi_patches.export.base import OWN_PICTURES
from wsi_patches.export.captions import untold
from wsi_patches.export.card import CARD, CardNotes, dataset_card
from wsi_patches.export.columns import BY_CELLS, BY_SLIDE, has_derived, label_kind, patch_labels, store_columns
from wsi_patches.export.where import select
from wsi_patches.outcome import DONE, PARTIAL, Outcome
from wsi_patches.pipeline import Progress
from wsi_patches.stores import Store, open_store
from wsi_patches.stores.files import write_json, write_whole
from wsi_patches.workflows.export_counts import export_counts
from wsi_patches.workflows.export_settings import LEUKEMIA_ATTRI, ExportSettings
from wsi_patches.workflows.export_split import SplitWish, split_patches
from wsi_patches.workflows.output import Existing, check_output, clear_output
from wsi_patches.workflows.output_lock import lock_output
from wsi_patches.workflows.run_log import RunLog

__all__ = ["MANIFEST", "ExportResult", "ExportSettings", "export"]

MANIFEST = "export.json"
"""What makes a folder an export, and says of what and with which settings."""


@dataclass(frozen=True)
class ExportResult:
    """What was written."""

    out: Path
    patches: int
    left_out: tuple[tuple[int, str], ...]
    """How many patches of the store were left out, and why."""
    splits: Mapping[str, Mapping[str, int]]
    """Patches of each class in each split; of one split ``all`` where there are none."""
    warnings: tuple[str, ...] = ()
    unreadable: int = 0
    """How many of those left out lie where the slide could not be read."""


def export(settings: ExportSettings, progress: Progress | None = None) -> ExportResult:
    """Write patches of a store in another format, with a card that says what they are; or what ``infer`` counted.

    Raises
    ------
    UsageError
        What was asked cannot be done; nothing was written.
    OutputExists
        The output is there, and neither resuming nor overwriting was asked for.
    OutputBusy
        Another run writes the same output.
    StoreError
        The store cannot be read.
    """
    if settings.format == LEUKEMIA_ATTRI:
        splits, written = export_counts(settings, progress)
        return ExportResult(settings.out, written, (), splits)
    out, write = settings.out, find_format(settings.format)
    check_output(out, _existing(settings), ours=(out / MANIFEST).is_file(), what="an export")
    store = open_store(settings.store)
    chosen = _choose(store, settings)
    job = ExportJob(
        out,
        chosen.patches,
        ImageSettings(settings.image, settings.quality),
        settings.workers or available_cpus(),
        settings.shard_patches,
        settings.features,
        settings.box_px,
        None if settings.attributes is None else AttributeTable.read(settings.attributes),
        progress or (lambda _done, _total: None),
    )
    check_format(settings.format, job)
    told = chosen.outcomes
    with (
        lock_output(out, "export", settings),
        RunLog.open(out, "export", settings, slides=len(told), tasks=1) as log,
    ):
        _begin(settings, chosen.patches)
        chosen.write_split(out)
        files = write(job)
        for outcome in told:
            log.slide(outcome)
        result = _result(settings, chosen)
        write_whole(out / CARD, _card(settings, job, chosen, files).encode("utf-8", "surrogateescape"))
        write_json(out / MANIFEST, {**_manifest(settings, chosen.patches), "complete": True})
    lost = untold(job) if settings.format == "captions" else 0
    return _without(result, lost, "of which nothing is known") if lost else result


def _without(result: ExportResult, count: int, why: str) -> ExportResult:
    """Return what was written less the patches of which a format says nothing."""
    return replace(result, patches=result.patches - count, left_out=(*result.left_out, (count, why)))


@dataclass(frozen=True)
class _Chosen:
    """What is exported, and how it was chosen."""

    patches: ExportPatches
    left_out: tuple[tuple[int, str], ...]
    splits: str
    """How the splits were made, a sentence."""
    warnings: tuple[str, ...]
    unreadable: int
    write_split: Callable[[Path], None]

    @property
    def outcomes(self) -> list[Outcome]:
        """What becomes of each slide, once all is written; partial are those with places that could not be read."""
        rows, counts = np.unique(self.patches.slide_rows, return_counts=True)
        lost, slides = self.patches.store.unreadable, self.patches.store.slides
        return [
            Outcome(slide.id, slide.path, PARTIAL if lost[slide.id] else DONE, count, len(lost[slide.id]))
            for slide, count in zip((slides[row] for row in rows.tolist()), counts.tolist(), strict=True)
        ]


def _choose(store: Store, settings: ExportSettings) -> _Chosen:
    label, names = patch_labels(store, settings.label_by)
    readable = _readable(store)
    kept = readable.copy()
    if settings.where is not None:
        kept &= select(settings.where, store_columns(store, label, names))
    split = split_patches(store, np.flatnonzero(kept), SplitWish(settings.split, settings.group_by, settings.seed))
    positions = split.positions
    left_out = (
        (int(np.count_nonzero(~readable)), "whose place on the slide could not be read"),
        (int(np.count_nonzero(readable & ~kept)), f"not selected by {settings.where}"),
        (int(np.count_nonzero(kept)) - len(positions), "in no split"),
    )
    if not len(positions):
        told = "; ".join(f"{count} {why}" for count, why in left_out if count) or "the store is empty"
        msg = f"{store.path}: no patch is left of {len(store)} ({told})"
        raise UsageError(msg)
    focus = store.derived("focus", "score")[positions] if has_derived(store, "focus") else None
    patches = ExportPatches(store, positions, label[positions], names, split.codes, split.names, focus)
    found = tuple(one for one in left_out if one[0])
    return _Chosen(patches, found, split.told, split.warnings, left_out[0][0], split.write)


def _readable(store: Store) -> NDArray[np.bool_]:
    """Return which patches show what was on the slide, shape ``(n,)``."""
    readable = np.ones(len(store), bool)
    for slide_id, lost in store.unreadable.items():
        if lost:
            positions = store.positions_of(slide_id)
            readable[positions[np.isin(store.grid_index[positions], sorted(lost))]] = False
    return readable


def _existing(settings: ExportSettings) -> Existing:
    return Existing(settings.resume, settings.overwrite)


def _manifest(settings: ExportSettings, patches: ExportPatches) -> dict[str, Any]:
    """Return what is exported and how; what was begun with another one cannot be gone on with."""
    told = sha256()
    for column in (patches.slide_rows, patches.index, patches.label, patches.split, patches.counts):
        told.update(np.ascontiguousarray(column, np.int64).tobytes())
    slides = [(one.id, one.fingerprint) for one in patches.store.slides]
    told.update(json.dumps([slides, patches.label_names, patches.split_names]).encode())
    return {"settings": settings.shaping(), "patches": len(patches), "digest": told.hexdigest(), "version": __version__}


def _begin(settings: ExportSettings, patches: ExportPatches) -> None:
    """Clear what is to be replaced, or see that what is there is of the same export; say what will be written."""
    path, manifest = settings.out / MANIFEST, _manifest(settings, patches)
    if settings.overwrite:
        clear_output(settings.out)
    if settings.resume and path.is_file():
        kept = json.loads(path.read_text(encoding="utf-8"))
        if any(kept.get(name) != manifest[name] for name in ("settings", "digest")):
            asked, was = manifest["settings"], kept.get("settings", {})
            other = ", ".join(name for name in asked if asked[name] != was.get(name)) or "the store's patches"
            msg = f"{settings.out} was begun with something else ({other}): give the same options, or --overwrite"
            raise UsageError(msg)
    write_json(path, {**manifest, "complete": False})


def _result(settings: ExportSettings, chosen: _Chosen) -> ExportResult:
    patches, splits = chosen.patches, dict[str, dict[str, int]]()
    for code, name in enumerate(patches.split_names) if patches.split_names else [(-1, "all")]:
        labels = patches.label[patches.split == code]
        counts = {one: int(np.count_nonzero(labels == number)) for number, one in enumerate(patches.label_names)}
        unknown = int(np.count_nonzero(labels < 0))
        splits[name] = counts | ({"": unknown} if unknown else {})
    return ExportResult(settings.out, len(patches), chosen.left_out, splits, chosen.warnings, chosen.unreadable)


def _card(settings: ExportSettings, job: ExportJob, chosen: _Chosen, files: str) -> str:
    notes = CardNotes(
        settings.command(),
        files,
        _label_sentence(chosen.patches, settings.label_by),
        chosen.splits,
        OWN_PICTURES.get(settings.format, str(job.image)),
        chosen.left_out,
        chosen.warnings,
    )
    return dataset_card(chosen.patches, notes)


def _label_sentence(patches: ExportPatches, label_by: str | None) -> str:
    kind = label_kind(patches.store, label_by)
    if kind == BY_SLIDE:
        return "A patch's class is the label of its whole slide."
    if kind != BY_CELLS:
        return f"A patch's class says whether a cell of the class {kind} is marked in it."
    several = int(np.count_nonzero((patches.counts > 0).sum(axis=1) > 1))
    return (
        f"A patch's class is the first of {', '.join(patches.class_names)} that a cell in it is marked as, or none. "
        f"{several} patches hold cells of several classes."
    )
