"""Honest splits: whole patients (else slides) on one side, class shares kept as well as these groups allow, seeded.

Rows are dealt group by group, so the order in which they are given changes nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from wsi_patches.datasets.dealing import deal_groups, summed
from wsi_patches.datasets.item import GroupKind
from wsi_patches.errors import UsageError

__all__ = [
    "By",
    "Split",
    "SplitRow",
    "group_warning",
    "keep_together",
    "make_folds",
    "make_label_shares",
    "make_shares",
    "make_split",
]

By = Literal["patient", "slide", "block", "none"]
"""What a split keeps together: patients; slides; neighbours in file-name order within each label, for sets without
patient ids; or nothing."""
DIGITS = re.compile(r"(\d+)")


@dataclass(frozen=True)
class SplitRow:
    """One image to be put on a side."""

    id: str
    path: str
    group: str | None
    """The patient, or the slide that the image was taken from; None where nobody says."""
    group_kind: GroupKind | None
    """What ``group`` names; a group of which nobody says is kept together, and counts as no patient."""
    label: str | None
    slide: str
    """Id of the slide that the image is, or lies on."""


@dataclass(frozen=True)
class Split:
    """Rows, each with the split that it belongs to."""

    rows: tuple[SplitRow, ...]
    names: tuple[str, ...]
    """``train``, ``fold1`` ...: one for each row."""
    by: By | None = None
    """None where a file does not say; so are ``seed`` and ``wish``."""
    seed: int | None = None
    wish: int | Mapping[str, float] | None = None
    """How many folds, or the share of each split."""
    warnings: tuple[str, ...] = ()

    def counts(self) -> dict[str, dict[str, int]]:
        """Return how many rows of each label each split holds; rows without a label are counted under ``""``."""
        found = Counter((name, row.label or "") for name, row in zip(self.names, self.rows, strict=True))
        labels = sorted({label for _, label in found})
        return {name: {label: found[name, label] for label in labels} for name in sorted(set(self.names))}


def make_split(rows: Sequence[SplitRow], by: By, wish: int | Mapping[str, float], seed: int = 0) -> Split:
    """Give every row its split.

    Parameters
    ----------
    rows
        What is to be split; their order does not matter.
    by
        What is kept together.
    wish
        A number of folds, named ``fold1`` ..., or the share of each named split; shares sum to 1.
    seed
        Equal seeds give equal splits, on every machine.

    Raises
    ------
    UsageError
        An id appears twice, ``by`` is unknown, there are fewer groups than splits, or a label lies in one split only.
    """
    repeated = [one for one, times in Counter(row.id for row in rows).items() if times > 1]
    if repeated:
        msg = f"each row has an id of its own, and {repeated[0]!r} appears more than once"
        raise UsageError(msg)
    labels, shares = [row.label for row in rows], _shares(wish)
    if by == "block":
        split = _blocks(rows, list(shares.values()), seed)
        _check(labels, split, list(shares))
    elif isinstance(wish, int):
        split = make_folds(labels, keep_together(rows, by), wish, seed)
    else:
        split = make_shares(labels, keep_together(rows, by), wish, seed)
    warning = group_warning(rows, by)
    names = list(shares)
    return Split(tuple(rows), tuple(names[i] for i in split), by, seed, wish, (warning,) if warning else ())


def make_folds(labels: Sequence[str | None], groups: Sequence[str], folds: int, seed: int = 0) -> NDArray[np.int64]:
    """Return the fold of each row, 0 to ``folds - 1``, shape ``(n,)``.

    Parameters
    ----------
    labels
        The class of each row, which the folds hold in like shares; None where it has none.
    groups
        What must stay together, one name a row.
    folds
        How many; 2 or more.
    seed
        Equal seeds give equal folds.

    Raises
    ------
    UsageError
        There are fewer groups than folds, or a label lies in one fold only.
    """
    shares = _shares(folds)
    split = _deal(labels, groups, np.array(list(shares.values())), seed)
    _check(labels, split, list(shares))
    return split


def make_shares(
    labels: Sequence[str | None], groups: Sequence[str], shares: Mapping[str, float], seed: int = 0
) -> NDArray[np.int64]:
    """Return the split of each row as its index in ``shares``, shape ``(n,)``; else as `make_folds`.

    Each split gets a group at least, however small its share is.
    """
    shares = _shares(shares)
    split = _deal(labels, groups, np.array(list(shares.values())), seed)
    _check(labels, split, list(shares))
    return split


def make_label_shares(
    values: NDArray[np.uint8], groups: Sequence[str], shares: Mapping[str, float], seed: int = 0
) -> NDArray[np.int64]:
    """Return the split of each row that may bear several labels, as its index in ``shares``, shape ``(n,)``.

    Groups are dealt as those of rows with one label are, so that splits come near to their share of the rows that bear
    each label; a rare label may still be in one split only.

    Parameters
    ----------
    values
        1 where a row bears a label, else 0; shape ``(n, labels)``.
    groups
        What must stay together, one name a row.
    shares
        Of each named split; they sum to 1.
    seed
        Equal seeds give equal splits.

    Raises
    ------
    UsageError
        There are fewer groups than splits.
    """
    borne = np.column_stack([np.ones(len(values)), values[:, values.any(axis=0)]])
    table, of_row = summed(borne, groups)
    return deal_groups(table, np.array(list(_shares(shares).values())), seed)[of_row]


def keep_together(rows: Sequence[SplitRow], by: By) -> list[str]:
    """Return the name of what each row is kept together with.

    Parameters
    ----------
    by
        ``patient``: the patient, else the slide; ``slide``: the slide; ``none``: the row itself. Of ``block`` it is
        what no block cuts in two: the patient, else the slide.
    """
    if by not in get_args(By):
        msg = f"a split by {by!r} was asked; known are {', '.join(get_args(By))}"
        raise UsageError(msg)
    if by == "none":
        return [f"row {row.id}" for row in rows]
    if by == "slide":
        return [f"slide {_slide(row)}" for row in rows]
    # A group of which nobody says what it is, is kept together too.
    named = (f"{row.group_kind or 'group'} {row.group}" if row.group is not None else "" for row in rows)
    return [name or f"slide {row.slide}" for name, row in zip(named, rows, strict=True)]


def group_warning(rows: Sequence[SplitRow], by: By = "patient") -> str | None:
    """Return a loud sentence where patients may lie on both sides of a split, or None."""
    unknown = sum(not _has_patient(row) for row in rows)
    if by in ("patient", "block") and not unknown:
        return None
    used = {
        "patient": "the slides or groups that they name were kept together instead",
        "slide": "slides were kept together, as asked",
        "block": "blocks of file-name order within each label were kept together instead",
        "none": "nothing was kept together, as asked",
    }[by]
    known = f"{unknown} of {len(rows)} rows have no patient" if unknown else "the patients are known"
    return (
        f"WARNING: {known}, and {used}. One patient may lie on both sides of "
        "this split: figures measured on it will flatter, and are no estimate for new patients."
    )


def _has_patient(row: SplitRow) -> bool:
    return row.group is not None and row.group_kind == "patient"


def _slide(row: SplitRow) -> str:
    return row.group if row.group is not None and row.group_kind == "slide" else row.slide


def _shares(wish: int | Mapping[str, float]) -> dict[str, float]:
    """Return the share of each split by its name."""
    if isinstance(wish, int):
        if wish < 2:
            msg = f"a split has 2 folds or more, and {wish} was asked"
            raise UsageError(msg)
        return {f"fold{i + 1}": 1 / wish for i in range(wish)}
    if len(wish) < 2 or min(wish.values()) <= 0 or not np.isclose(sum(wish.values()), 1):
        asked = ", ".join(f"{name} {share:g}" for name, share in wish.items())
        msg = f"the shares of a split are two or more numbers above 0 that sum to 1, found {asked or 'none'}"
        raise UsageError(msg)
    return dict(wish)


def _deal(
    labels: Sequence[str | None], groups: Sequence[str], shares: NDArray[np.float64], seed: int
) -> NDArray[np.int64]:
    """Return the split of each row."""
    table, of_row = _table(labels, groups)
    return deal_groups(table, shares, seed)[of_row]


def _table(labels: Sequence[str | None], groups: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return rows of each label in each group, shape ``(groups, labels)``, groups by name; and each row's group."""
    classes, of_label = np.unique(np.array([label or "" for label in labels], str), return_inverse=True)
    return summed(np.eye(len(classes))[of_label], groups)


def _check(labels: Sequence[str | None], split: NDArray[np.int64], names: Sequence[str]) -> None:
    """Refuse a label that is in one split only."""
    array = np.array([label or "" for label in labels], str)
    for label in np.unique(array[array != ""]):
        found = np.unique(split[array == label])
        if len(found) < 2:
            msg = (
                f"all {np.count_nonzero(array == label)} rows of label {str(label)!r} fall into {names[found[0]]}, so "
                "it cannot be both learnt and measured: few groups have it. Leave the label out, merge it with "
                "another, try another seed, or keep something smaller together"
            )
            raise UsageError(msg)


def _blocks(rows: Sequence[SplitRow], shares: Sequence[float], seed: int) -> NDArray[np.int64]:
    """Cut each label's images, in file-name order, into one run for each split; the seed says which run is whose."""
    rng = np.random.default_rng(seed)
    members: dict[str, list[int]] = {}
    for position, name in enumerate(keep_together(rows, "block")):
        members.setdefault(name, []).append(position)
    of_label: dict[str, list[list[int]]] = {}
    for unit in members.values():
        of_label.setdefault(_main_label(rows, unit), []).append(unit)
    split = np.empty(len(rows), np.int64)
    for _, units in sorted(of_label.items()):
        units.sort(key=lambda unit: min((_name_order(rows[i].path), rows[i].id) for i in unit))
        whose = rng.permutation(len(shares))
        ends = np.cumsum([len(unit) for unit in units])
        middles = ends - np.array([len(unit) for unit in units]) / 2
        borders = np.cumsum(np.array(shares)[whose])[:-1] * ends[-1]
        for unit, run in zip(units, np.searchsorted(borders, middles, side="right"), strict=True):
            split[unit] = whose[run]
    return split


def _main_label(rows: Sequence[SplitRow], unit: Sequence[int]) -> str:
    found = Counter(rows[i].label or "" for i in unit)
    return min(found, key=lambda label: (-found[label], label))


def _name_order(path: str) -> tuple[tuple[int, int, str], ...]:
    """Return a key that puts ``cell_2`` before ``cell_10``."""
    parts = DIGITS.split(path)
    return tuple((0, int(part), part) if part.isdigit() else (1, 0, part) for part in parts)
