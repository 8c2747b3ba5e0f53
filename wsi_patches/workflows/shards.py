"""``--shard K/N``: the K-th of N shares of the work, for job arrays that need no scheduler beside the site's own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import TypeVar

from wsi_patches.datasets import assign_ids
from wsi_patches.errors import SlideError, UsageError

__all__ = ["Shard", "check_same_slide", "ids_of_shard", "take_shard"]

Item = TypeVar("Item")

WRITTEN = re.compile(r"(\d+)/(\d+)")


@dataclass(frozen=True)
class Shard:
    """One of the equal shares that a job array cuts the work into.

    Parameters
    ----------
    number
        Which, from 1.
    of
        How many there are.

    Raises
    ------
    UsageError
        There is no such share.
    """

    number: int
    of: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of:
            msg = f"--shard {self.number}/{self.of} is no share of the work: K/N runs from 1/N to N/N"
            raise UsageError(msg)

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read ``K/N``.

        Raises
        ------
        UsageError
            It is written in another way, or there is no such share.
        """
        found = WRITTEN.fullmatch(text.strip())
        if found is None:
            msg = f"--shard takes K/N, such as 3/16 for the third of sixteen shares; found {text!r}"
            raise UsageError(msg)
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    @property
    def name(self) -> str:
        """The same as a part of a file's name."""
        return f"{self.number}-of-{self.of}"


def take_shard(items: Sequence[Item], shard: Shard | None) -> Sequence[Item]:
    """Return a shard's share: every N-th item, since neighbours in a folder often cost about the same.

    Parameters
    ----------
    items
        All of the work, in the same order for every shard.
    shard
        Which share; None takes everything.
    """
    return items if shard is None else items[shard.number - 1 :: shard.of]


def ids_of_shard(paths: Sequence[str], shard: Shard) -> Sequence[str]:
    """Return the ids of a shard's slides, unique among all slides, without opening any.

    Parameters
    ----------
    paths
        Of all slides, in the same order for every shard.
    shard
        Which share.

    Notes
    -----
    A run without shards also knows slides again that were moved, or that had other neighbours before; a shard would
    have to open all slides for that. `check_same_slide` finds where it matters.
    """
    return take_shard(assign_ids([(path, "") for path in paths]), shard)


def check_same_slide(slide_id: str, path: str, fingerprint: str, known: tuple[str, str] | None) -> None:
    """Make sure that what the output holds under an id is this slide.

    Parameters
    ----------
    slide_id, path, fingerprint
        The slide.
    known
        Path and fingerprint of what the output holds under the id; None where it holds nothing.

    Raises
    ------
    SlideError
        It is another slide.
    """
    if known is not None and (PurePath(known[0]).name, known[1]) != (PurePath(path).name, fingerprint):
        msg = (
            f"the output holds another slide under the id {slide_id}, {known[0]}: run without --shard, which gives "
            "free ids, or give another -o"
        )
        raise SlideError(msg)
