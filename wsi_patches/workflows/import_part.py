"""What a task of ``import`` does: read the pictures of some slides and write them as one part of a store."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wsi_patches.annotations import label_patches
from wsi_patches.cells import Cells
from wsi_patches.datasets.patch_pictures import Picture, PictureSlide
from wsi_patches.errors import SlideError, WsiPatchesError
from wsi_patches.geometry import Box, round_half_up
from wsi_patches.locations import path_of, patiently
from wsi_patches.outcome import DONE, PARTIAL, Outcome
from wsi_patches.patch import SlideRecord
from wsi_patches.slide import SlideInfo
from wsi_patches.slides.opening import open_slide
from wsi_patches.stores import DerivedWriter, PartWriter, StoreSettings
from wsi_patches.stores.format import PARTS
from wsi_patches.stores.parts import read_parts
from wsi_patches.stores.splits import write_part_split
from wsi_patches.stores.writer import PatchRows

__all__ = ["FOCUS", "ImportTask", "ReadPicture", "import_part", "outcome_of", "read_picture"]

FOCUS = "focus"
WHITE = 255
"""Of a place whose picture is broken."""


@dataclass(frozen=True)
class ImportTask:
    """One part of a store: names and numbers, no pixels and no handles."""

    store: str
    part_id: str
    settings: StoreSettings
    codec: str
    slides: tuple[PictureSlide, ...]
    splits: tuple[str, ...] = ()
    """The splits of the whole store; empty where there are none."""
    derived: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What derived values that the pictures carry were made with: `FOCUS`, or nothing."""
    slide_mpp: float | None = None
    durable: bool = True

    @property
    def patches(self) -> int:
        """How many patches the part will hold if every picture can be read."""
        return sum(len(slide.pictures) for slide in self.slides)


class ReadPicture(NamedTuple):
    """A picture that was read."""

    pixels: NDArray[np.uint8]
    """RGB, shape ``(h, w, 3)``."""
    info: SlideInfo


def read_picture(picture: Picture, scratch: Path, slide_mpp: float | None = None) -> ReadPicture:
    """Read a picture with the readers of slides, which refuse what is cut off.

    Parameters
    ----------
    picture
        Where it is.
    scratch
        A folder of our own: a picture of a tar file is put there under a name of ours.
    slide_mpp
        Pixel size in um that replaces what the file says.

    Raises
    ------
    SlideError
        It cannot be read; the sentence names it as people know it.
    """
    path = Path(picture.path)
    try:
        if picture.start is not None:
            path = scratch / "picture"
            with Path(picture.path).open("rb") as stream:
                stream.seek(picture.start)
                path.write_bytes(stream.read(picture.length))
        with open_slide(path, mpp=slide_mpp) as slide:
            return ReadPicture(slide.read(Box(0, 0, slide.info.size.width, slide.info.size.height)), slide.info)
    except (WsiPatchesError, OSError) as error:
        raise SlideError(str(error).replace(str(path), picture.name)) from error


def import_part(task: ImportTask) -> list[Outcome]:
    """Write one part and return the outcome of each of its slides, and one of each picture that could not be read.

    A broken picture of an export is an unreadable place of its slide; one of anybody else's is no slide at all.
    """
    return patiently(lambda: _write_part(task))


def _write_part(task: ImportTask) -> list[Outcome]:
    there = read_parts([path_of(task.store) / PARTS / task.part_id])
    if there:  # a worker that died had written it
        return [outcome_of(record) for record in there[0].slides]
    writer = PartWriter(
        path_of(task.store), task.part_id, task.settings, task.patches, task.codec, durable=task.durable
    )
    outcomes, records, pictures = list[Outcome](), list[SlideRecord](), list[Picture]()
    try:
        with tempfile.TemporaryDirectory(prefix="wsi-patches-") as scratch:
            for slide in task.slides:
                record, broken = _add_slide(slide, task, writer, len(records), Path(scratch))
                outcomes += broken
                if record is not None:
                    records.append(record)
                    pictures += slide.pictures
                    outcomes.append(outcome_of(record))
        if records:
            _derive(writer.folder, pictures, task)
            writer.complete(records)
    finally:
        if not writer.is_complete:
            writer.abandon()
    return outcomes


def outcome_of(record: SlideRecord) -> Outcome:
    """Return the outcome of a slide, or a run of its grid, that is in the store."""
    lost, patches = len(record.unreadable), record.grid_stop - record.grid_start - record.blank
    return Outcome(record.id, record.path, PARTIAL if lost else DONE, patches, lost, warnings=record.warnings)


def _add_slide(
    slide: PictureSlide, task: ImportTask, writer: PartWriter, row: int, scratch: Path
) -> tuple[SlideRecord | None, list[Outcome]]:
    """Append a slide's patches; None for a slide of one picture that is broken."""
    record, rule, side = slide.record, task.settings.rule, task.settings.spec.size_px
    cells = Cells.at([], rule.class_names) if slide.cells is None else slide.cells
    xy = np.array([one.xy for one in slide.pictures], np.int64)
    labels = label_patches(xy, round_half_up(side * record.downsample), cells, rule)
    broken, lost = list[Outcome](), list[int]()
    for at, picture in enumerate(slide.pictures):
        pixels = np.full((side, side, 3), WHITE, np.uint8)
        try:
            read = read_picture(picture, scratch, task.slide_mpp)
            pixels = _checked(picture, read.pixels, side)
        except SlideError as error:
            broken.append(Outcome.failed(picture.name, picture.path, error))
            if not picture.slide:
                return None, broken
            lost.append(picture.index)
        else:
            record = record if picture.slide else _described(record, read.info, task.slide_mpp)
        members = labels.cells[labels.indptr[at] : labels.indptr[at + 1]]
        index, here = np.array([picture.index]), slice(at, at + 1)
        writer.add(row, PatchRows(index, xy[here], [pixels], labels.counts[here], (members,)))
    writer.add_cells(cells)
    return replace(record, unreadable=tuple(lost)), broken


def _checked(picture: Picture, pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    if pixels.shape == (side, side, 3):
        return pixels
    height, width, _ = pixels.shape
    msg = (
        f"{picture.name} is {width} x {height} px, and the patches of this store are {side} x {side} px: give "
        "--patch-size, or cut or pad such pictures by wsi-patches extract"
    )
    raise SlideError(msg)


def _described(record: SlideRecord, info: SlideInfo, slide_mpp: float | None) -> SlideRecord:
    """Return the row of a picture that is a slide of its own, now that it was opened."""
    size = (info.size.width, info.size.height)
    stated = slide_mpp is not None
    return replace(
        record,
        fingerprint=info.fingerprint,
        size=size,
        levels=((*size, 1.0),),
        mpp=info.mpp,
        mpp_stated=stated,
        reader=info.reader,
    )


def _derive(folder: Path, pictures: Sequence[Picture], task: ImportTask) -> None:
    """Write what the pictures carry of later stages, so that the part has it from its first moment."""
    if task.splits:
        splits = [one.split for one in pictures]
        write_part_split(folder, splits, task.splits, {"by": "import"}, durable=task.durable)
    if FOCUS in task.derived:
        writer = DerivedWriter(folder, FOCUS, task.derived[FOCUS], durable=task.durable)
        writer.column("score", np.array([one.focus for one in pictures], np.float32), np.float32)
        writer.complete()
