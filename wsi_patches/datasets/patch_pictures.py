"""Patches that lie as single pictures, in folders or in tar files: where each is, and what is known of it.

Pictures that this program exported come with the file `FACTS` of what their store said; they become the slides that
they were cut from. Of pictures of anybody else each is a slide of its own, of one patch, as in ``extract``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from wsi_patches.cells import Cells
from wsi_patches.datasets.groups import GroupRule, with_groups
from wsi_patches.datasets.ids import assign_ids
from wsi_patches.datasets.item import SlideItem
from wsi_patches.errors import UsageError
from wsi_patches.outcome import Outcome
from wsi_patches.patch import SlideRecord
from wsi_patches.stores.facts import StoreFacts

__all__ = ["Picture", "PictureSet", "PictureSlide", "exported_slides", "single_slides"]


@dataclass(frozen=True, slots=True)
class Picture:
    """The picture of one patch; small, for there may be a million."""

    name: str
    """What people call it: its path below the folder, or ``SHARD.tar/NAME``."""
    path: str
    """The picture's file, or the tar file that holds it."""
    start: int | None = None
    """Where in the tar file it begins, in bytes; None for a file of its own."""
    length: int = 0
    """Its bytes in the tar file."""
    label: str | None = None
    """The class that its folder or its shard gives it."""
    split: str = ""
    """The split that it is in, or empty."""
    slide: str = ""
    """Of an export: the id of its slide."""
    index: int = 0
    """Of an export: its index in its slide's grid."""
    xy: tuple[int, int] = (0, 0)
    """Of an export: its level-0 top left corner."""
    focus: float | None = None
    """Of an export: its focus score, where the store had it."""


@dataclass(frozen=True)
class PictureSet:
    """The pictures of a folder, in order."""

    pictures: tuple[Picture, ...]
    facts: StoreFacts | None = None
    """What the store said that they were exported from; None for anybody else's."""
    broken: tuple[Outcome, ...] = ()
    """What could not be listed: shards that are cut off, samples without a picture."""
    problems: tuple[str, ...] = ()
    """Sentences, such as how many files are no pictures."""


@dataclass(frozen=True)
class PictureSlide:
    """A slide, or a run of its grid, and its pictures in the order of their indices."""

    record: SlideRecord
    pictures: tuple[Picture, ...]
    cells: Cells | None = None
    """All annotated cells of the slide, level-0 pixels."""

    def runs(self, size: int) -> Iterable[PictureSlide]:
        """Yield runs of at most so many pictures; each answers for the places up to the first of the next."""
        if self.record.grid_total == len(self.pictures) == 1:  # there may be a million, and each is as it shall be
            yield self
            return
        total = max(self.record.grid_total, self.pictures[-1].index + 1)
        starts = range(0, len(self.pictures), size)
        bounds = [0, *(self.pictures[start].index for start in starts[1:]), total]
        for start, begin, end in zip(starts, bounds[:-1], bounds[1:], strict=True):
            some = self.pictures[start : start + size]
            record = replace(
                self.record,
                grid_start=begin,
                grid_stop=end,
                grid_total=total,
                blank=end - begin - len(some),
            )
            yield PictureSlide(record, some, self.cells)


def exported_slides(pictures: Sequence[Picture], facts: StoreFacts, where: str) -> list[PictureSlide]:
    """Return the slides that exported pictures were cut from, in the order in which the export names them.

    Raises
    ------
    UsageError
        A picture is of a slide that the export does not name, or two are of the same place.
    """
    known = {record.id: record for record in facts.slides}
    of_slide: dict[str, list[Picture]] = {}
    for one in pictures:
        of_slide.setdefault(one.slide, []).append(one)
    strange = next((name for name in of_slide if name not in known), None)
    if strange is not None:
        msg = f"{where}: {of_slide[strange][0].name} is of the slide {strange!r}, which the export does not name"
        raise UsageError(msg)
    found = []
    for name, record in known.items():
        mine = sorted(of_slide.get(name, ()), key=lambda one: one.index)
        twice = next((b for a, b in pairwise(mine) if a.index == b.index), None)
        if twice is not None:
            msg = f"{where}: {twice.name} is of place {twice.index} of {name}, as another picture is"
            raise UsageError(msg)
        if mine:
            found.append(PictureSlide(_restored(record, len(mine)), tuple(mine), facts.cells.get(name)))
    return found


def _restored(record: SlideRecord, pictures: int) -> SlideRecord:
    """Return the row of a slide of which so many patches were exported."""
    left_out = record.grid_total - record.blank - pictures
    told = (f"{left_out} places of its grid were left out of the export that it comes from",) if left_out > 0 else ()
    return replace(record, unreadable=(), warnings=told)


def single_slides(
    pictures: Sequence[Picture], folder: str, rule: GroupRule, known: Mapping[str, str]
) -> list[PictureSlide]:
    """Return each picture as a slide of its own.

    Parameters
    ----------
    pictures
        Of anybody's folder.
    folder
        Its path, which begins the slides' paths.
    rule
        Where the patient or slide of each picture comes from.
    known
        Id -> path of the slides that the store holds already: a picture that is there keeps its id.
    """
    items = with_groups([_item(one, folder) for one in pictures], rule)
    names = assign_ids([(one.path, one.path) for one in items], {name: (path, path) for name, path in known.items()})
    return [PictureSlide(_single(item, name), (one,)) for one, item, name in zip(pictures, items, names, strict=True)]


def _item(picture: Picture, folder: str) -> SlideItem:
    path = f"{folder}/{picture.name}"
    return SlideItem(path, unit="patch", label=picture.label, split=picture.split or None)


def _single(item: SlideItem, name: str) -> SlideRecord:
    """Return the row of a picture before it is opened: no size and no fingerprint yet."""
    return SlideRecord(
        name,
        item.path,
        fingerprint="",
        size=(0, 0),
        levels=(),
        level=0,
        group=item.group,
        group_kind=item.group_kind,
        unit=item.unit,
        label=item.label,
        split=item.split,
        grid_stop=1,
        grid_total=1,
        warnings=item.warnings,
    )
