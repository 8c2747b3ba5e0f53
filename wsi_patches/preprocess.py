"""What a task of ``preprocess`` does: score, sharpen and recolour the patches of one part, beside them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsi_patches.grid import Kept
from wsi_patches.imaging.colour import fitted_from_dict
from wsi_patches.imaging.focus import Precision, fqpath
from wsi_patches.imaging.sharpen import SharpenSettings, sharpen_adaptively
from wsi_patches.locations import path_of, patiently
from wsi_patches.stores import DerivedWriter, derived_settings, read_derived
from wsi_patches.stores.arrays import read_column
from wsi_patches.stores.format import PARTS
from wsi_patches.stores.shards import ImageReader, ImageWriter

__all__ = ["FOCUS_SETTINGS", "LEFT", "PreprocessTask", "preprocess_part"]

BATCH_PATCHES = 64
PRECISION: Precision = "float32"
LEFT = "left_as_it_is"
"""In place of a fitted colour method, with the reason, where a slide shows no stain to fit to."""
FOCUS_SETTINGS = {"method": "FQPath", "precision": PRECISION, "source": "Hosseini et al., IEEE TMI 2019"}


NONE_KEPT = Kept(b"", 0)


@dataclass(frozen=True)
class PreprocessTask:
    """One part to add to: names and numbers, no pixels."""

    store: str
    part_id: str
    foreground: Kept = NONE_KEPT
    """Which of the part's patches hold cells or tissue."""
    foreground_settings: Mapping[str, Any] = field(default_factory=dict)
    focus: bool = True
    sharpen: SharpenSettings | None = None
    sharpen_notes: Mapping[str, Any] = field(default_factory=dict)
    """How the threshold was chosen, to be kept with the patches."""
    colour: Sequence[Mapping[str, Any]] = ()
    """The colour method fitted to each of the part's slides, as plain values; empty for none."""
    durable: bool = True

    @property
    def folder(self) -> Path:
        """The part."""
        return path_of(self.store) / PARTS / self.part_id

    def wanted(self) -> dict[str, dict[str, Any]]:
        """Return the settings of every derived group that is asked for, by its name."""
        groups: dict[str, dict[str, Any]] = {"foreground": dict(self.foreground_settings)}
        if self.focus:
            groups["focus"] = dict(FOCUS_SETTINGS)
        if self.sharpen is not None:
            groups["sharpened"] = {**asdict(self.sharpen), **FOCUS_SETTINGS, **self.sharpen_notes}
        if self.colour:
            groups["colour"] = {"slides": list(self.colour)}
        plain: dict[str, dict[str, Any]] = json.loads(json.dumps(groups))  # as they will be read again
        return plain


def preprocess_part(task: PreprocessTask) -> int:
    """Add what is asked for to one part, and return how many patches it has; what is there already stays.

    Raises
    ------
    StoreError
        A patch cannot be read.
    """
    return patiently(lambda: _add_to_part(task))


def _add_to_part(task: PreprocessTask) -> int:
    images = ImageReader(task.folder / "images")
    kept = task.foreground.mask()
    steps = {"foreground": _foreground, "focus": _focus, "sharpened": _sharpened, "colour": _coloured}
    for name, settings in task.wanted().items():
        if derived_settings(task.folder, name) == settings:
            continue
        writer = DerivedWriter(task.folder, name, settings, durable=task.durable)
        steps[name](task, images, kept, writer)
        writer.complete()
    return len(images)


def _foreground(_task: PreprocessTask, _images: ImageReader, kept: NDArray[np.bool_], writer: DerivedWriter) -> None:
    writer.column("keep", kept, np.uint8)


def _focus(_task: PreprocessTask, images: ImageReader, _kept: NDArray[np.bool_], writer: DerivedWriter) -> None:
    writer.column("score", _scores(images), np.float32)


def _scores(images: ImageReader) -> NDArray[np.float64]:
    scores = [fqpath(batch, precision=PRECISION) for _, batch in _batches(images, np.arange(len(images)))]
    return np.concatenate([np.empty(0), *scores])


def _sharpened(task: PreprocessTask, images: ImageReader, kept: NDArray[np.bool_], writer: DerivedWriter) -> None:
    """Keep the soft patches of the foreground sharpened, and which they are; the others are as they were."""
    assert task.sharpen is not None
    known = derived_settings(task.folder, "focus") == FOCUS_SETTINGS
    before = read_derived(task.folder, "focus").column("score") if known else _scores(images)
    after, radius = before.astype(np.float32), np.zeros(len(images), np.uint8)
    soft = np.flatnonzero(kept & (before > task.sharpen.threshold))
    out = writer.images(images.metadata.shape[1], len(soft))
    for rows, batch in _batches(images, soft):
        done = sharpen_adaptively(batch, task.sharpen, precision=PRECISION)
        radius[rows], after[rows] = done.radius_px, done.score_after
        _add(out, done.images)
    out.complete()
    writer.column("row", soft, np.int32)
    writer.column("radius", radius, np.uint8)
    writer.column("score", after, np.float32)


def _coloured(task: PreprocessTask, images: ImageReader, _kept: NDArray[np.bool_], writer: DerivedWriter) -> None:
    """Keep every patch recoloured by its slide's method."""
    slide = read_column(task.folder / "slide")
    methods = [None if LEFT in fitted else fitted_from_dict(json.loads(json.dumps(fitted))) for fitted in task.colour]
    out = writer.images(images.metadata.shape[1], len(images))
    for rows, batch in _batches(images, np.arange(len(images))):
        coloured = batch.copy()
        for row in sorted(set(slide[rows].tolist())):
            mine = slide[rows] == row
            method = methods[row]
            if method is not None:
                coloured[mine] = method(batch[mine])
        _add(out, coloured)
    out.complete()


def _batches(images: ImageReader, rows: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint8]]]:
    """Yield rows and their pixels, ``(n, h, w, 3)``, some at a time."""
    buffer = np.empty((BATCH_PATCHES, *images.metadata.shape[1:]), np.uint8)
    for start in range(0, len(rows), BATCH_PATCHES):
        some = rows[start : start + BATCH_PATCHES]
        batch = buffer[: len(some)]
        images.read(some.tolist(), list(batch))
        yield some, batch


def _add(out: ImageWriter, images: NDArray[np.uint8]) -> None:
    for image in images:
        out.add(image)
