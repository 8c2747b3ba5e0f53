"""What is on both sides of a split: patients and slides, copies of images, overlapping patches."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsi_patches.datasets.near_duplicates import Copy, CopyRule, find_copies, find_exact_copies
from wsi_patches.datasets.splits import SplitRow, group_warning, keep_together
from wsi_patches.datasets.thumbnails import Thumbnails
from wsi_patches.errors import UsageError

__all__ = ["GroupLeak", "LeakReport", "OverlapLeak", "find_leaks"]

NAMED = 5
"""Rows that a sentence names; the table has them all."""
SHOWN = 20
"""Sentences of one kind that are shown; the table has them all."""
COLUMNS = ("kind", "split_a", "split_b", "id_a", "id_b", "group", "correlation", "detail")


@dataclass(frozen=True)
class GroupLeak:
    """A patient or slide with rows in several splits."""

    group: str
    """``patient P7`` or ``slide S3``."""
    ids: Mapping[str, tuple[str, ...]]
    """Its rows in each split."""

    def __str__(self) -> str:
        sides = (f"{name} ({_named(ids)})" for name, ids in self.ids.items())
        return f"{self.group} is in {' and in '.join(sides)}"


@dataclass(frozen=True)
class OverlapLeak:
    """Patches of one slide that overlap and lie in two splits."""

    slide: str
    split_a: str
    split_b: str
    pairs: int
    """How many pairs of patches overlap."""
    id_a: str
    """With ``id_b`` the pair that overlaps most."""
    id_b: str
    share: float
    """Of the smaller patch of that pair, 0 to 1."""

    def __str__(self) -> str:
        return (
            f"slide {self.slide}: pairs of patches that overlap between {self.split_a} and {self.split_b}: "
            f"{self.pairs}; {self.id_a} and {self.id_b} share {self.share:.0%}"
        )


@dataclass(frozen=True)
class LeakReport:
    """All that was found, worst first within each kind."""

    groups: tuple[GroupLeak, ...]
    copies: tuple[Copy, ...]
    overlaps: tuple[OverlapLeak, ...]
    notes: tuple[str, ...]
    """What is no leak and should be known: duplicates within a split, what was not compared and why."""

    @property
    def found(self) -> bool:
        """Whether anything is on both sides."""
        return bool(self.groups or self.copies or self.overlaps)

    def to_lines(self) -> list[str]:
        """Return sentences for a terminal."""
        counts = (
            f"patients or slides in more than one split: {len(self.groups)}; pairs of copies across splits: "
            f"{len(self.copies)}; slides whose patches overlap across splits: {len(self.overlaps)}"
        )
        lines = [f"{'LEAKS' if self.found else 'No leak was found'}: {counts}."]
        for leaks in (self.groups, [_copy_sentence(copy) for copy in self.copies], self.overlaps):
            lines += [f"  {leak}" for leak in leaks[:SHOWN]]
            if len(leaks) > SHOWN:
                lines.append(f"  and {len(leaks) - SHOWN} more like these")
        return lines + [f"Note: {note}" for note in self.notes]

    def write_leaks(self, folder: Path) -> Path:
        """Write ``leaks.csv``, a row for each pair, and for each row of a shared group; return its path."""
        folder.mkdir(parents=True, exist_ok=True)
        table = folder / "leaks.csv"
        with table.open("w", newline="", encoding="utf-8", errors="surrogateescape") as stream:
            writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self._rows())
        return table

    def _rows(self) -> Iterator[dict[str, Any]]:
        for leak in self.groups:
            for name, ids in leak.ids.items():
                yield from ({"kind": "group", "split_a": name, "id_a": one, "group": leak.group} for one in ids)
        for copy in self.copies:
            sides = {name: getattr(copy, name) for name in ("split_a", "split_b", "id_a", "id_b")}
            yield {"kind": copy.kind, **sides, "correlation": f"{copy.correlation:.4f}", "detail": copy.orientation}
        for one in self.overlaps:
            sides = {name: getattr(one, name) for name in ("split_a", "split_b", "id_a", "id_b")}
            yield {"kind": "overlap", **sides, "group": f"slide {one.slide}", "detail": str(one)}


def find_leaks(
    rows: Sequence[SplitRow],
    splits: Sequence[str],
    thumbnails: Thumbnails | None = None,
    boxes: NDArray[np.int64] | None = None,
    rule: CopyRule | None = None,
) -> LeakReport:
    """Look for what is in more than one split.

    Parameters
    ----------
    rows
        The ``n`` images or patches that were split.
    splits
        The split of each.
    thumbnails
        Of these rows, known by their ids; without them no images are compared.
    boxes
        Where each patch lies on its slide, level-0 ``x, y, width, height``, shape ``(n, 4)``: the ``box`` of a
        store's places. Without them no overlaps are looked for.
    rule
        When two images are near copies.

    Raises
    ------
    UsageError
        Lengths differ, or thumbnails are of other rows.
    """
    if len(splits) != len(rows) or (boxes is not None and np.shape(boxes) != (len(rows), 4)):
        found = f"{len(splits)} splits" if boxes is None else f"{len(splits)} splits and boxes {np.shape(boxes)}"
        msg = f"{len(rows)} rows need a split and a box of four numbers each, found {found}"
        raise UsageError(msg)
    splits = [str(name) for name in splits]  # a numpy array's names would be printed as such
    notes = [sentence] if (sentence := group_warning(rows)) else []
    copies: list[Copy] = []
    if thumbnails is None:
        notes.append("images were not compared, so copies were not looked for")
    else:
        sides = _splits_of(rows, splits, thumbnails)
        copies = find_copies(thumbnails, sides, rule)
        notes += [*_duplicates(thumbnails, sides), *thumbnails.unreadable]
    overlaps = [] if boxes is None else _overlaps(rows, splits, np.asarray(boxes, np.int64))
    return LeakReport(tuple(_shared_groups(rows, splits)), tuple(copies), tuple(overlaps), tuple(notes))


def _splits_of(rows: Sequence[SplitRow], splits: Sequence[str], thumbnails: Thumbnails) -> list[str]:
    known = {row.id: name for row, name in zip(rows, splits, strict=True)}
    strange = [one for one in thumbnails.ids if one not in known]
    if strange:
        msg = f"images were compared that no row of the split names: {_named(strange)}"
        raise UsageError(msg)
    return [known[one] for one in thumbnails.ids]


def _shared_groups(rows: Sequence[SplitRow], splits: Sequence[str]) -> list[GroupLeak]:
    members: dict[str, dict[str, list[str]]] = {}
    together = zip(keep_together(rows, "patient"), keep_together(rows, "slide"), strict=True)
    for row, split, groups in zip(rows, splits, together, strict=True):
        for group in set(groups):
            members.setdefault(group, {}).setdefault(split, []).append(row.id)
    leaks = [
        GroupLeak(group, {name: tuple(ids) for name, ids in sorted(sides.items())})
        for group, sides in members.items()
        if len(sides) > 1
    ]
    return sorted(leaks, key=lambda leak: (-sum(map(len, leak.ids.values())), leak.group))


def _duplicates(thumbnails: Thumbnails, splits: Sequence[str]) -> Iterator[str]:
    """Yield a sentence for each split that holds an image more than once: it counts double there."""
    for name in sorted(set(splits)):
        inside = thumbnails.take([row for row, split in enumerate(splits) if split == name])
        pairs = [f"{copy.id_b} is {copy.id_a}" for copy in find_exact_copies(inside)]
        if pairs:
            yield f"images that are in {name} more than once: {len(pairs)} ({_named(pairs)})"


def _overlaps(rows: Sequence[SplitRow], splits: Sequence[str], boxes: NDArray[np.int64]) -> list[OverlapLeak]:
    of_slide: dict[str, list[int]] = {}
    for position, row in enumerate(rows):
        of_slide.setdefault(row.slide, []).append(position)
    leaks: list[OverlapLeak] = []
    for slide, members in of_slide.items():
        pairs: Counter[tuple[str, str]] = Counter()
        worst: dict[tuple[str, str], tuple[float, int, int]] = {}
        for a, b, share in _overlapping(np.array(members), splits, boxes):
            first, second = sorted((a, b), key=lambda one: splits[one])
            sides = splits[first], splits[second]
            pairs[sides] += 1
            if sides not in worst or share > worst[sides][0]:
                worst[sides] = share, first, second
        for sides, (share, a, b) in worst.items():
            leaks.append(OverlapLeak(slide, *sides, pairs[sides], rows[a].id, rows[b].id, share))
    return sorted(leaks, key=lambda leak: (-leak.share, -leak.pairs, leak.slide, leak.split_a, leak.split_b))


def _overlapping(
    members: NDArray[np.int64], splits: Sequence[str], boxes: NDArray[np.int64]
) -> Iterator[tuple[int, int, float]]:
    """Yield pairs of patches in different splits, and the share of the smaller that they have in common."""
    if len({splits[one] for one in members}) < 2:
        return
    members = members[np.argsort(boxes[members, 0], kind="stable")]
    low, high = boxes[members, :2], boxes[members, :2] + boxes[members, 2:]
    area = boxes[members, 2] * boxes[members, 3]
    # By left edge, all that can overlap a patch follow it before the first that begins to its right.
    stops = np.searchsorted(low[:, 0], high[:, 0])
    for at, stop in enumerate(stops.tolist()):
        after = slice(at + 1, stop)
        common = (np.minimum(high[at], high[after]) - np.maximum(low[at], low[after])).clip(0).prod(axis=1)
        for ahead in np.flatnonzero(common).tolist():
            other = at + 1 + ahead
            if splits[members[at]] != splits[members[other]]:
                share = float(common[ahead] / min(area[at], area[other]))
                yield int(members[at]), int(members[other]), share


def _copy_sentence(copy: Copy) -> str:
    likeness = {"same file": "the same file as", "same pixels": "of the same pixels as", "near": "a near copy of"}
    sentence = f"{copy.id_b} in {copy.split_b} is {likeness[copy.kind]} {copy.id_a} in {copy.split_a}"
    if copy.kind != "near":
        return sentence
    return f"{sentence} ({copy.orientation}, correlation {copy.correlation:.3f})"


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
