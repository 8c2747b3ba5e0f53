"""``wsi-patches split``: which patients are learnt from and which are measured on, and what is on both sides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from wsi_patches.datasets import GroupRule, SlideItem, find_inputs, with_groups
from wsi_patches.datasets.item import GroupKind
from wsi_patches.datasets.leakage import LeakReport, find_leaks
from wsi_patches.datasets.split_file import read_split, write_split
from wsi_patches.datasets.splits import By, Split, SplitRow, group_warning, make_split
from wsi_patches.datasets.thumbnails import Thumbnails, thumbnails_of_arrays, thumbnails_of_files
from wsi_patches.errors import UsageError
from wsi_patches.locations import Location
from wsi_patches.pipeline import Progress
from wsi_patches.stores import Store, is_store, open_store
from wsi_patches.stores.splits import NO_SPLIT, write_store_split
from wsi_patches.workflows.output import Existing, check_output, make_folder

__all__ = ["PUBLISHED", "SplitResult", "SplitSettings", "slide_rows", "split"]

PUBLISHED = "published"
"""Instead of a file: the split that the dataset's folders state."""
FOLDS = 5
BLAST = "blast"
BATCH_PATCHES = 64
PATCH_MARK = "#"
"""Between a slide's id and a patch's index in its grid, in the ids of patches."""


@dataclass(frozen=True)
class SplitSettings:
    """What ``split`` is asked to do."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    source: Location
    """A store, a dataset's folder, or a folder of slides."""
    out: Path
    """The folder for the split and what leaks through it."""
    folds: int | None = None
    """How many; 5 if neither these nor shares are given."""
    shares: Mapping[str, float] | None = None
    """Instead of folds: the share of each named split."""
    by: By = "patient"
    """What is kept together."""
    use: str | None = None
    """Instead of making one: the file of a split, or ``published``."""
    seed: int = 0
    copies: bool = True
    """Look for copies of images across splits."""
    group_pattern: str | None = None
    group_table: Path | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.folds is not None and self.shares is not None:
            msg = "a split has folds or shares: give one of them"
            raise UsageError(msg)
        if self.use is not None and (self.folds is not None or self.shares is not None):
            msg = f"the split {self.use} is there already: give no folds or shares with it"
            raise UsageError(msg)
        GroupRule(self.group_pattern, self.group_table)


@dataclass(frozen=True)
class SplitResult:
    """What was done."""

    out: Path
    table: Path
    split: Split
    leaks: LeakReport
    in_store: bool
    """Whether the store holds the split too."""


@dataclass(frozen=True)
class _Source:
    """What is split: rows, and their pictures."""

    rows: list[SplitRow]
    published: list[str | None]
    store: Store | None = None
    positions: NDArray[np.int64] | None = None
    """Of patches: where each row is in the store."""


def split(settings: SplitSettings, progress: Progress | None = None) -> SplitResult:
    """Split slides or patches, or take a split that is there, and say what is on both sides of it.

    Raises
    ------
    UsageError
        What was asked cannot be done.
    MissingExtra
        Copies are to be found, and the extra ``train`` is not installed.
    """
    ours = (settings.out / "split.csv").is_file()
    existing = Existing(overwrite=settings.overwrite)
    check_output(settings.out, existing, ours=ours, what="a split", resumable=False)
    source = _source(settings)
    made, source = _made(settings, source)
    known = {row.id: row for row in source.rows}
    rows = [known[row.id] for row in made.rows]
    made = replace(made, rows=tuple(rows))
    thumbnails = _thumbnails(source, rows, progress) if settings.copies else None
    leaks = find_leaks(rows, made.names, thumbnails, _boxes(source))
    if made.warnings:  # which say more of the groups than the leaks' own note
        leaks = replace(leaks, notes=tuple(note for note in leaks.notes if note != group_warning(rows)))
    left = len(source.rows) - len(rows)
    if left:
        leaks = replace(leaks, notes=(*leaks.notes, f"{left} of {len(source.rows)} are in no split"))
    make_folder(settings.out)
    table = write_split(made, settings.out, overwrite=settings.overwrite)
    leaks.write_leaks(settings.out)
    if source.store is not None:
        settings_kept = {"by": made.by, "seed": made.seed, "wish": made.wish, "rows": len(rows)}
        write_store_split(source.store, _of_each_patch(source.store, source, made), settings_kept)
    return SplitResult(settings.out, table, made, leaks, source.store is not None)


def slide_rows(store: Store) -> list[SplitRow]:
    """Return the slides of a store as rows to be split.

    A slide's label is its own, or else, where blasts were marked, whether there is one on it.
    """
    names = store.settings.rule.class_names
    holds = np.asarray(store.labels[:, names.index(BLAST)] > 0) if BLAST in names else np.zeros(len(store), bool)
    rows = []
    for record in store.slides:
        label = record.label
        if label is None and record.annotated and BLAST in names:
            label = BLAST if holds[store.positions_of(record.id)].any() else f"no {BLAST}"
        kind: GroupKind | None = None
        if record.group is not None:
            kind = "patient" if record.group_kind == "patient" else "slide"
        rows.append(SplitRow(record.id, record.path, record.group, kind, label, record.id))
    return rows


def _source(settings: SplitSettings) -> _Source:
    rule = GroupRule(settings.group_pattern, settings.group_table)
    if settings.source.is_dir() and is_store(settings.source):
        store = open_store(settings.source)
        if rule != GroupRule():
            msg = f"{settings.source} holds the groups of its slides: give --group-table or --group-pattern to extract"
            raise UsageError(msg)
        return _Source(slide_rows(store), [record.split for record in store.slides], store)
    items = with_groups(find_inputs([settings.source]).items, rule)
    return _Source([_row(item, settings.source) for item in items], [item.split for item in items])


def _row(item: SlideItem, folder: Path) -> SplitRow:
    path = Path(item.path)
    name = path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.as_posix()
    return SplitRow(name, item.path, item.group, item.group_kind, item.label, name)


def _made(settings: SplitSettings, source: _Source) -> tuple[Split, _Source]:
    """Return the split, and what it is of: of patches where a file names these and not slides."""
    if settings.use is None:
        wish = settings.shares or settings.folds or FOLDS
        return make_split(source.rows, settings.by, wish, settings.seed), source
    if settings.use == PUBLISHED:
        return _published(settings, source), source
    table, slides = Path(settings.use), {row.id for row in source.rows}
    made = read_split(table)
    if source.store is not None and not any(row.id in slides for row in made.rows):
        return made, _of_patches(source.store, source, made)
    return read_split(table, slides), source  # which refuses what is not among the slides


def _published(settings: SplitSettings, source: _Source) -> Split:
    stated = [(row, name) for row, name in zip(source.rows, source.published, strict=True) if name]
    if len({name for _, name in stated}) < 2:
        msg = f"{settings.source} publishes no split, or all of it is in one: make one with folds or shares"
        raise UsageError(msg)
    return Split(tuple(row for row, _ in stated), tuple(name for _, name in stated))


def _of_patches(store: Store, source: _Source, made: Split) -> _Source:
    """Return the patches that a split names by ``SLIDE#INDEX`` as rows."""
    of_slide = {row.id: row for row in source.rows}
    names = [record.id for record in store.slides]
    pairs = zip(store.slide_rows.tolist(), store.grid_index.tolist(), strict=True)
    position = {f"{names[row]}{PATCH_MARK}{index}": at for at, (row, index) in enumerate(pairs)}
    strange = [row.id for row in made.rows if row.id not in position]
    if strange:
        msg = f"the split names {strange[0]}, and {store.path} has no such slide or patch (SLIDE{PATCH_MARK}INDEX)"
        raise UsageError(msg)
    rows = []
    for row in made.rows:
        slide = of_slide[row.id.rpartition(PATCH_MARK)[0]]
        rows.append(SplitRow(row.id, slide.path, slide.group, slide.group_kind, row.label or slide.label, slide.id))
    positions = np.array([position[row.id] for row in made.rows], np.int64)
    return _Source(rows, [None] * len(rows), store, positions)


def _thumbnails(source: _Source, rows: list[SplitRow], progress: Progress | None) -> Thumbnails:
    """Return small pictures of the rows: of patches from the store, of slides from their files."""
    store = source.store
    if store is not None and source.positions is None and len(store) == len(store.slides):
        first = {store.slides[row].id: at for at, row in enumerate(store.slide_rows.tolist())}
        return thumbnails_of_arrays(_patches(store, rows, [first[row.id] for row in rows], progress))
    if store is not None and source.positions is not None:
        return thumbnails_of_arrays(_patches(store, rows, source.positions.tolist(), progress))
    return thumbnails_of_files(_counted([(row.id, row.path) for row in rows], progress))


def _patches(
    store: Store, rows: list[SplitRow], positions: list[int], progress: Progress | None
) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    for start in range(0, len(rows), BATCH_PATCHES):
        some = positions[start : start + BATCH_PATCHES]
        yield from zip((row.id for row in rows[start : start + BATCH_PATCHES]), store.read(some), strict=True)
        if progress is not None:
            progress(start + len(some), len(rows))


def _counted(images: list[tuple[str, str]], progress: Progress | None) -> Iterator[tuple[str, str]]:
    for done, image in enumerate(images):
        if progress is not None:
            progress(done, len(images))
        yield image


def _boxes(source: _Source) -> NDArray[np.int64] | None:
    """Return where each patch lies on its slide, shape ``(n, 4)``; None where rows are whole slides."""
    if source.store is None or source.positions is None:
        return None
    boxes = [source.store.place(position).box for position in source.positions.tolist()]
    return np.array([(box.x, box.y, box.width, box.height) for box in boxes], np.int64)


def _of_each_patch(store: Store, source: _Source, made: Split) -> list[str]:
    """Return the split of every patch of the store."""
    known = {row.id: name for row, name in zip(made.rows, made.names, strict=True)}
    if source.positions is None:
        return [known.get(store.slides[row].id, NO_SPLIT) for row in store.slide_rows.tolist()]
    names = [NO_SPLIT] * len(store)
    for position, row in zip(source.positions.tolist(), made.rows, strict=True):
        names[position] = known[row.id]
    return names
