"""Copies among images: exact ones, and those that were recompressed, resized, turned, mirrored or cropped a little.

A perceptual hash of 64 bits (the low frequencies of a cosine transform, as imagehash computes it) proposes pairs; the
correlation of their small grey pictures decides, so that single cells on pale ground, which hash alike, are not all
called copies. What the two limits find and flag on real images stands beside them in `CopyRule`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_patches.datasets.thumbnails import ORIENTATIONS, Thumbnails, oriented
from wsi_patches.errors import UsageError

__all__ = ["Copy", "CopyKind", "CopyRule", "find_copies", "find_exact_copies", "find_near_copies"]

CopyKind = Literal["same file", "same pixels", "near"]
ROWS, COLUMNS = 512, 4096
"""Hashes compared at one time: 16 MB of distances, however many images there are."""
COARSE_PX = 16
COARSE_CORRELATION = 0.5
"""Below this in pictures of 16 px, a pair is not looked at closer; only crops at a corner were lost by a higher one."""
FINE_PX, SLACK_PX = 128, 6
"""Pictures are compared at double size, so that a shift of half a pixel is found; one is moved by up to 6 px, and
scaled by as much: together a crop of 5 %."""
BLACK = 10
"""Grey levels up to this are the ground that a cell was cut out on."""
INSIDE_CORRELATION = 0.7
"""Least correlation where neither picture is black: outlines on black are alike, so alike that the whole pictures of
different cells reach 0.95; inside of these they had 0.51 at most, and planted copies 0.88 at least."""
MIN_INSIDE_PX = 64
"""Fewer pixels than this say nothing."""


@dataclass(frozen=True)
class CopyRule:
    """When two images are called near copies.

    The defaults were set on real images: 455 fields of five sources (BCCD, Raabin, PBC, two others), 207 crops of
    single white cells of three of them, and 137 of these cut out on black. Planted copies that were found: all that
    were recompressed (JPEG quality 60), resized to 0.8, turned or mirrored; all that were 10 % brighter, save 91 %
    in the set whose ground this bleached; 97 % or more, in each set, of those cropped by 5 % about the centre; 40 to
    93 % of those cropped by 5 % at a corner. Pairs that were flagged and are no copies: none of 37 485 among fields,
    none of 7 545 among single cells, none of 5 130 among those on black. One field that was photographed twice, in
    another focus, has a correlation of 0.98 and is found; another has 0.83 and is not.

    Raises
    ------
    UsageError
        A limit is out of range.
    """

    max_distance: int = 12
    """Bits of 64 in which their hashes may differ."""
    min_correlation: float = 0.94
    """Least correlation of their grey pictures, laid over each other as well as a crop of 5 % asks. 0.8 finds more,
    and among fields of many cells flags nothing else; single cells need the higher one."""

    def __post_init__(self) -> None:
        if not 0 <= self.max_distance <= 64:
            msg = f"hashes differ in 0 to 64 bits, and a limit of {self.max_distance} was asked"
            raise UsageError(msg)
        if not 0 < self.min_correlation <= 1:
            msg = f"a correlation above 0, and at most 1, is a limit; {self.min_correlation:g} was asked"
            raise UsageError(msg)


@dataclass(frozen=True)
class Copy:
    """Two images that are one."""

    id_a: str
    id_b: str
    kind: CopyKind
    correlation: float = 1.0
    orientation: str = ORIENTATIONS[0]
    """What was done to ``id_a`` to make it look like ``id_b``."""
    split_a: str = ""
    split_b: str = ""


def find_copies(
    thumbnails: Thumbnails, splits: Sequence[str] | None = None, rule: CopyRule | None = None
) -> list[Copy]:
    """Return pairs of copies, exact ones first, then by falling correlation.

    Parameters
    ----------
    thumbnails
        Of ``n`` images.
    splits
        The split of each, ``n`` names: only pairs across splits are returned. All pairs if None.
    rule
        When two images are near copies.
    """
    return [*find_exact_copies(thumbnails, splits), *find_near_copies(thumbnails, splits, rule)]


def find_exact_copies(thumbnails: Thumbnails, splits: Sequence[str] | None = None) -> list[Copy]:
    """Return images of equal files or equal pixels; blank ones are left out.

    Each is paired with one other only, the first that there is (in another split, if ``splits`` are given): of ``m``
    equal images that makes at most ``m`` pairs and not their square.
    """
    members: dict[str, list[int]] = {}
    for position, key in enumerate(_keys(thumbnails)):
        if key:
            members.setdefault(key, []).append(position)
    pairs = {pair for equal in members.values() for pair in _paired(equal, splits)}
    found = []
    for a, b in sorted(pairs):
        files = thumbnails.files[a], thumbnails.files[b]
        kind: CopyKind = "same file" if files[0] and files[0] == files[1] else "same pixels"
        found.append(_copy(thumbnails, splits, a, b, kind))
    return sorted(found, key=lambda one: one.kind)


def find_near_copies(
    thumbnails: Thumbnails, splits: Sequence[str] | None = None, rule: CopyRule | None = None
) -> list[Copy]:
    """Return pairs of near copies by falling correlation; of equal images in one split, the first stands for all."""
    rule = rule or CopyRule()
    kept, keys = _distinct(thumbnails, splits), _keys(thumbnails)
    coarse = _normalised(thumbnails.grey[kept])
    best: dict[tuple[int, int], tuple[float, int]] = {}
    for rows, columns, orientation in _proposed(thumbnails.hashes[kept], rule.max_distance):
        alike = _coarse_correlation(coarse, rows, columns, orientation) >= COARSE_CORRELATION
        for a, b in zip(kept[rows[alike]].tolist(), kept[columns[alike]].tolist(), strict=True):
            if (splits is not None and splits[a] == splits[b]) or (keys[a] and keys[a] == keys[b]):
                continue
            correlation = _correlation(oriented(thumbnails.grey[a], orientation), thumbnails.grey[b])
            if correlation >= max(rule.min_correlation, best.get((a, b), (0.0, 0))[0]):
                best[a, b] = correlation, orientation
    order = sorted(best.items(), key=lambda one: (-one[1][0], one[0]))
    return [_copy(thumbnails, splits, a, b, "near", *how) for (a, b), how in order]


def _keys(thumbnails: Thumbnails) -> list[str]:
    """Return what equal images have in common; empty for blank ones."""
    columns = zip(thumbnails.pixels, thumbnails.files, thumbnails.blank.tolist(), strict=True)
    return ["" if blank else pixels or file for pixels, file, blank in columns]


def _paired(equal: Sequence[int], splits: Sequence[str] | None) -> Iterator[tuple[int, int]]:
    if splits is None:
        yield from ((equal[0], other) for other in equal[1:])
        return
    first: dict[str, int] = {}
    for position in equal:
        first.setdefault(splits[position], position)
    for position in equal:
        others = [other for name, other in first.items() if name != splits[position]]
        if others:
            yield min(position, others[0]), max(position, others[0])


def _distinct(thumbnails: Thumbnails, splits: Sequence[str] | None) -> NDArray[np.int64]:
    """Return the positions of images that are neither blank nor equal to an earlier one of their split."""
    first: dict[tuple[str, str], int] = {}
    for position, key in enumerate(_keys(thumbnails)):
        first.setdefault((key or f"position {position}", splits[position] if splits is not None else ""), position)
    kept = np.array(list(first.values()), np.int64)
    return kept[~thumbnails.blank[kept]]


def _proposed(
    hashes: NDArray[np.uint64], max_distance: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], int]]:
    """Yield rows, later rows, and the orientation of the former in which their hashes are near."""
    for top in range(0, len(hashes), ROWS):
        for left in range(top, len(hashes), COLUMNS):
            upright = hashes[left : left + COLUMNS, 0]
            for orientation in range(len(ORIENTATIONS)):
                distance = np.bitwise_count(hashes[top : top + ROWS, orientation, None] ^ upright)
                rows, columns = np.nonzero(distance <= max_distance)
                rows, columns = rows + top, columns + left
                later = columns > rows
                yield rows[later], columns[later], orientation


def _normalised(grey: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return coarse pictures of mean 0 and length 1, shape ``(n, 16, 16)``."""
    step = grey.shape[1] // COARSE_PX
    small = grey.reshape(-1, COARSE_PX, step, COARSE_PX, step).mean(axis=(2, 4), dtype=np.float32)
    small -= small.mean(axis=(1, 2), keepdims=True)
    length = np.sqrt((small**2).sum(axis=(1, 2), keepdims=True))
    out: NDArray[np.float32] = np.divide(small, length, out=np.zeros_like(small), where=length > 0)
    return out


def _coarse_correlation(
    coarse: NDArray[np.float32], rows: NDArray[np.int64], columns: NDArray[np.int64], orientation: int
) -> NDArray[np.float32]:
    out = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), COLUMNS):
        part = slice(start, start + COLUMNS)
        turned = coarse[rows[part]]
        turned = turned[:, :, ::-1] if orientation >= 4 else turned
        turned = np.rot90(turned, orientation % 4, axes=(1, 2))
        out[part] = np.einsum("nij,nij->n", turned, coarse[columns[part]])
    return out


def _correlation(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Return the best correlation of two pictures: one inside of the other enlarged, or moved a little.

    It is 0 for two cells cut out on black that have no more than their outline in common.
    """
    core = slice(SLACK_PX, -SLACK_PX)
    fine_a, fine_b = _resized(a, FINE_PX), _resized(b, FINE_PX)
    trials = (
        (_resized(b, FINE_PX + SLACK_PX), fine_a),
        (_resized(a, FINE_PX + SLACK_PX), fine_b),
        (fine_b, np.ascontiguousarray(fine_a[core, core])),
    )
    best, whole, part = max((_placed(whole, part) for whole, part in trials), key=lambda one: one[0])
    return best if _correlation_inside(whole, part) >= INSIDE_CORRELATION else 0.0


def _placed(whole: NDArray[np.uint8], part: NDArray[np.uint8]) -> tuple[float, NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the highest correlation that a part has with a place of the whole, that place, and the part."""
    _, best, _, (x, y) = cv2.minMaxLoc(cv2.matchTemplate(whole, part, cv2.TM_CCOEFF_NORMED))
    return min(float(best), 1.0), whole[y : y + part.shape[0], x : x + part.shape[1]], part


def _correlation_inside(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Return the correlation of two pictures where neither is black; 0 where that shows nothing."""
    shown = (a > BLACK) & (b > BLACK)
    if np.count_nonzero(shown) < MIN_INSIDE_PX:
        return 0.0
    inside = np.stack([a[shown], b[shown]]).astype(np.float64)
    inside -= inside.mean(axis=1, keepdims=True)
    lengths = float(np.prod(np.linalg.norm(inside, axis=1)))
    return float(inside[0] @ inside[1]) / lengths if lengths else 0.0


def _resized(picture: NDArray[np.uint8], side_px: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(picture, (side_px, side_px), interpolation=cv2.INTER_CUBIC), np.uint8)


def _copy(
    thumbnails: Thumbnails,
    splits: Sequence[str] | None,
    a: int,
    b: int,
    kind: CopyKind,
    correlation: float = 1.0,
    orientation: int = 0,
) -> Copy:
    sides = (splits[a], splits[b]) if splits is not None else ("", "")
    return Copy(thumbnails.ids[a], thumbnails.ids[b], kind, correlation, ORIENTATIONS[orientation], *sides)
