"""``wsi-patches import``: patches that lie as single pictures into a store."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

from wsi_patches.cells import LabelRule
from wsi_patches.datasets import GroupRule
from wsi_patches.datasets.patch_pictures import PictureSet, PictureSlide, exported_slides, single_slides
from wsi_patches.datasets.picture_folders import has_table, read_picture_folder, read_picture_table
from wsi_patches.datasets.picture_tars import read_picture_tars, tar_files
from wsi_patches.errors import SlideError, UsageError
from wsi_patches.executors import make_executor
from wsi_patches.grid import PatchSpec
from wsi_patches.locations import Location
from wsi_patches.outcome import Outcome, merge_outcomes
from wsi_patches.pipeline import Stage, run
from wsi_patches.slide import ReadOptions
from wsi_patches.stores import Store, StoreSettings, create_store, is_store, open_store, sweep_unfinished
from wsi_patches.stores.splits import NO_SPLIT
from wsi_patches.workflows.cutting import PART_SLIDES, part_name, part_patches
from wsi_patches.workflows.import_part import FOCUS, ImportTask, import_part, outcome_of, read_picture
from wsi_patches.workflows.leading import SILENT, SlideTally, Watch
from wsi_patches.workflows.output import Existing, check_output, clear_output
from wsi_patches.workflows.output_lock import lock_output
from wsi_patches.workflows.run_log import RunLog

__all__ = ["IMPORT_CODECS", "ImportResult", "ImportSettings", "import_patches"]

ImportLayout = Literal["auto", "imagefolder", "webdataset"]
IMPORT_CODECS = ("zstd", "lz4", "none")
TRIED = 16
"""Pictures that are opened to learn how large all are, before the rest."""


@dataclass(frozen=True)
class ImportSettings:
    """What ``import`` is asked to do; the keys of a recipe, and the command's options."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    folder: Path
    """Folders of classes, an export, a folder of tar files, or one tar file."""
    out: Location
    """The store to write."""
    layout: ImportLayout = "auto"
    patch_size: int | None = None
    """Side of the pictures in pixels; that of the first if not given."""
    slide_mpp: float | None = None
    """Their pixel size in um, where their files do not say."""
    group_pattern: str | None = None
    """A regular expression that takes the patient or slide out of a picture's name."""
    group_table: Path | None = None
    """A CSV file that names the patient of each picture."""
    codec: str = "zstd"
    fsync: bool = True
    workers: int | None = None
    resume: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.codec not in IMPORT_CODECS:
            msg = f"codec must be one of {', '.join(IMPORT_CODECS)}, found {self.codec!r}"
            raise UsageError(msg)
        if self.layout not in get_args(ImportLayout):
            msg = f"--layout takes one of {', '.join(get_args(ImportLayout))}, found {self.layout!r}"
            raise UsageError(msg)
        ReadOptions(self.slide_mpp)
        GroupRule(self.group_pattern, self.group_table)
        Existing(self.resume, self.overwrite)


@dataclass(frozen=True)
class ImportResult:
    """What was done."""

    out: Path
    outcomes: tuple[Outcome, ...]
    """One for each slide, and one for each picture that could not be read."""
    patches: int
    """How many patches the store holds."""
    exported: bool
    """Whether the pictures came with what their store said, so that their slides came back."""
    notes: tuple[str, ...] = ()
    """What was left out."""


def import_patches(settings: ImportSettings, watch: Watch = SILENT) -> ImportResult:
    """Make a store of patches that lie as single pictures; broken ones are named, and the others go on.

    Raises
    ------
    UsageError
        The folder holds no such pictures, or what was asked cannot be done; nothing was written.
    OutputBusy
        Another run writes the same store.
    StoreError
        The store cannot be written, or what an export says of its store cannot be read.
    """
    made = _make_store(settings, watch)
    return replace(made, patches=len(open_store(settings.out)))  # now that what was known of the pictures is let go


def _make_store(settings: ImportSettings, watch: Watch) -> ImportResult:
    out, existing = settings.out, Existing(settings.resume, settings.overwrite)
    there = check_output(out, existing, ours=is_store(out), what="a store of patches")
    found = _read(settings)
    with lock_output(out, "import", settings):
        store = open_store(out) if there and settings.resume else None
        slides = _slides(settings, found, store)
        asked = _store_settings(settings, found, store)
        if settings.overwrite:
            clear_output(out)
        create_store(out, asked, durable=settings.fsync)
        sweep_unfinished(out, store.unfinished if store is not None else ())
        tasks, kept = _plan(settings, asked, found, slides, store)
        with RunLog.open(out, "import", settings, slides=len(slides), tasks=len(tasks), kept=len(kept)) as log:
            for one in kept:
                log.slide(one, kept=True)
            for one in found.broken:
                log.slide(one)
            outcomes = (*kept, *_work(tasks, settings, watch, log), *found.broken)
    return ImportResult(out, outcomes, 0, found.facts is not None, found.problems)


def _read(settings: ImportSettings) -> PictureSet:
    """List the pictures, by the layout that was asked for or that the folder has."""
    folder = settings.folder
    if not folder.exists():
        msg = f"{folder} does not exist: give a folder of pictures or of tar files on this machine"
        raise UsageError(msg)
    layout = settings.layout
    if layout == "auto":
        layout = "webdataset" if tar_files(folder) else "imagefolder"
    if layout == "webdataset":
        return read_picture_tars(folder)
    if folder.is_file():
        msg = f"{folder} is a file: give a folder of classes, or a tar file with --layout webdataset"
        raise UsageError(msg)
    return read_picture_table(folder) if has_table(folder) else read_picture_folder(folder)


def _slides(settings: ImportSettings, found: PictureSet, store: Store | None) -> list[PictureSlide]:
    if found.facts is None:
        known = {one.id: one.path for one in store.slides} if store is not None else {}
        folder = settings.folder.parent if settings.folder.is_file() else settings.folder
        return single_slides(
            found.pictures, str(folder), GroupRule(settings.group_pattern, settings.group_table), known
        )
    stated = [name for name in ("patch_size", "slide_mpp", "group_pattern", "group_table") if getattr(settings, name)]
    if stated:
        msg = f"{settings.folder} says all of its slides: leave --{stated[0].replace('_', '-')} out"
        raise UsageError(msg)
    slides = exported_slides(found.pictures, found.facts, str(settings.folder))
    prints = {one.id: one.fingerprint for one in store.slides} if store is not None else {}
    other = [
        one.record.id for one in slides if prints.get(one.record.id, one.record.fingerprint) != one.record.fingerprint
    ]
    if other:
        msg = f"{settings.out} holds another slide {other[0]!r} than {settings.folder}: give another -o"
        raise UsageError(msg)
    return slides


def _store_settings(settings: ImportSettings, found: PictureSet, store: Store | None) -> StoreSettings:
    """Return what all patches share; the first picture that can be read says how large all are."""
    if found.facts is not None:
        asked = found.facts.settings
    else:
        asked = StoreSettings(PatchSpec(settings.patch_size or _side(found), edge="pad"), LabelRule())
    different = store.settings.differences(asked) if store is not None else []
    if different:
        msg = f"{settings.out} holds patches of other settings: {', '.join(different)}; give another -o"
        raise UsageError(msg)
    return asked


def _side(found: PictureSet) -> int:
    errors = list[str]()
    with tempfile.TemporaryDirectory(prefix="wsi-patches-") as scratch:
        for picture in found.pictures[:TRIED]:
            try:
                height, width, _ = read_picture(picture, Path(scratch)).pixels.shape
            except SlideError as error:
                errors.append(str(error))
                continue
            if width == height:
                return int(width)
            msg = (
                f"{picture.name} is {width} x {height} px, and patches are square: give --patch-size if others are, "
                "or cut such pictures by wsi-patches extract"
            )
            raise UsageError(msg)
    msg = f"none of the first {len(errors)} pictures can be read, the first because: {errors[0]}"
    raise UsageError(msg)


def _plan(
    settings: ImportSettings,
    asked: StoreSettings,
    found: PictureSet,
    slides: Sequence[PictureSlide],
    store: Store | None,
) -> tuple[list[ImportTask], list[Outcome]]:
    """Return the parts that are left to write, and the outcomes of what the store holds already."""
    splits = tuple(sorted({one.split for one in found.pictures} - {NO_SPLIT}))
    scored = bool(found.pictures) and all(one.focus is not None for one in found.pictures)
    stated = found.facts.derived if found.facts is not None else {}
    derived: Mapping[str, Any] = {FOCUS: stated[FOCUS]} if scored and FOCUS in stated else {}
    present = {(one.id, one.grid_start, one.grid_stop): one for _, one in store.records()} if store is not None else {}
    size = part_patches(asked.spec.size_px, len(found.pictures), as_tiles=False)
    tasks, kept = list[ImportTask](), list[Outcome]()
    for part in _parts(slides, size):
        left = tuple(one for one in part if _key(one) not in present)
        kept += [outcome_of(present[_key(one)]) for one in part if _key(one) in present]
        if left:
            tasks.append(
                ImportTask(
                    str(settings.out),
                    _part_id(left),
                    asked,
                    settings.codec,
                    left,
                    splits,
                    derived,
                    settings.slide_mpp,
                    settings.fsync,
                )
            )
    return tasks, merge_outcomes(kept)


def _parts(slides: Sequence[PictureSlide], size: int) -> Iterator[tuple[PictureSlide, ...]]:
    """Yield parts of at most so many patches: large slides in runs, small ones together."""
    part, patches = list[PictureSlide](), 0
    for one in chain.from_iterable(slide.runs(size) for slide in slides):
        count = len(one.pictures)
        same = bool(part) and part[-1].record.id == one.record.id
        if part and (patches + count > size or len(part) == PART_SLIDES or same):
            yield tuple(part)
            part, patches = [], 0
        part.append(one)
        patches += count
    if part:
        yield tuple(part)


def _key(slide: PictureSlide) -> tuple[str, int, int]:
    return slide.record.id, slide.record.grid_start, slide.record.grid_stop


def _part_id(slides: Sequence[PictureSlide]) -> str:
    """Name a part after its first slide, and after all that is in it."""
    first = slides[0].record
    contents = "\n".join(f"{name}\0{start}\0{stop}" for name, start, stop in map(_key, slides))
    return f"{part_name(first.id)}.{first.grid_start:08d}.{blake2b(contents.encode(), digest_size=6).hexdigest()}"


def _work(tasks: Sequence[ImportTask], settings: ImportSettings, watch: Watch, log: RunLog) -> list[Outcome]:
    """Write the parts, and tell of each slide once, and of each picture that is broken."""
    slides = {one.record.id for task in tasks for one in task.slides}
    tally = SlideTally(one.record.id for task in tasks for one in task.slides)

    def ended(outcomes: list[Outcome]) -> None:
        broken = [one for one in outcomes if one.slide_id not in slides]
        for one in (*tally.add(one for one in outcomes if one.slide_id in slides), *broken):
            log.slide(one)
            watch.slide(one)

    stage = Stage("import", import_part, _lost, size=lambda task: task.patches)
    done = run(stage, tasks, make_executor(settings.workers), watch.progress, ended)
    return merge_outcomes(chain.from_iterable(done))


def _lost(task: ImportTask, error: BaseException) -> list[Outcome]:
    """Fail every slide of a part that could not be written; what is left of it is swept by the next run."""
    return [Outcome.failed(one.record.id, one.record.path, error) for one in task.slides]
