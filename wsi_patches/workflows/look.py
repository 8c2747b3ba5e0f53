"""Looking at slides before the work begins: which can be opened, how large they are, what they will be called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from wsi_patches.datasets import SlideItem, assign_ids
from wsi_patches.errors import SlideError, UsageError, WsiPatchesError
from wsi_patches.executors import make_executor
from wsi_patches.executors.choose import available_cpus
from wsi_patches.extract import grid_for
from wsi_patches.grid import Kept, PatchSpec
from wsi_patches.jpeg_tile import JpegTiles
from wsi_patches.outcome import Outcome
from wsi_patches.patch import jpeg_tiles_of
from wsi_patches.pipeline import Stage, run
from wsi_patches.slide import AS_IT_IS, ReadOptions, SlideInfo
from wsi_patches.slides.pool import borrow_slide
from wsi_patches.workflows.shards import check_same_slide

__all__ = ["Looked", "look_at"]


@dataclass(frozen=True)
class Looked:
    """A slide that was looked at."""

    item: SlideItem
    info: SlideInfo | None = None
    """None where it could not be opened."""
    total: int = 0
    """How many places its grid has, where a grid was asked for."""
    tiles: JpegTiles | None = None
    """What its JPEG tiles have in common, where the patches asked for are just these tiles."""
    kept: Kept | None = None
    """The places that hold foreground, where only these were asked for."""
    notes: tuple[str, ...] = ()
    """What a user should know of the foreground."""
    error: BaseException | None = None
    slide_id: str = ""

    @property
    def outcome(self) -> Outcome:
        """The outcome of a slide that could not be looked at."""
        return Outcome.failed(self.slide_id, self.item.path, self.error or "")


def look_at(
    items: Sequence[SlideItem],
    *,
    spec: PatchSpec | None = None,
    options: ReadOptions = AS_IT_IS,
    known: Mapping[str, tuple[str, str]] | None = None,
    ids: Sequence[str] | None = None,
) -> list[Looked]:
    """Open every slide once and name it.

    Parameters
    ----------
    items
        The slides.
    spec
        The patches that will be cut, so that a slide that yields none is found now.
    options
        How to open all of them.
    known
        Id -> (path, fingerprint) of slides that the output holds.
    ids
        What the slides are called, where they are some of many; found here if not given.

    Raises
    ------
    UsageError
        What was asked can be done on none of the slides.
    """
    stage = Stage("look", partial(_look, spec=spec, options=options), lambda item, error: Looked(item, error=error))
    looked = run(stage, items, make_executor(max(1, min(len(items), available_cpus()))))
    usage = [one.error for one in looked if isinstance(one.error, UsageError)]
    if looked and len(usage) == len(looked):
        raise usage[0]
    if ids is not None:
        return [_named(one, name, (known or {}).get(name)) for one, name in zip(looked, ids, strict=True)]
    prints = [(one.item.path, one.info.fingerprint if one.info else "") for one in looked]
    return [replace(one, slide_id=name) for one, name in zip(looked, assign_ids(prints, known), strict=True)]


def _named(one: Looked, name: str, known: tuple[str, str] | None) -> Looked:
    """Give a slide the name that it has among all slides, unless the output holds another one under it."""
    named = replace(one, slide_id=name)
    if one.info is None:
        return named
    try:
        check_same_slide(name, one.item.path, one.info.fingerprint, known)
    except SlideError as error:
        return replace(named, error=error)
    return named


def _look(item: SlideItem, spec: PatchSpec | None, options: ReadOptions) -> Looked:
    try:
        with borrow_slide(item.path, options) as slide:
            if spec is None:
                return Looked(item, slide.info)
            grid = grid_for(slide.info, spec)
            return Looked(item, slide.info, grid.total, jpeg_tiles_of(slide, grid))
    except WsiPatchesError as error:
        return Looked(item, error=error)
