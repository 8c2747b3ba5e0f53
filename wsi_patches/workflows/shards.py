"""``--shard K/N``: the K-th of N shares of the work, for job arrays that need no scheduler beside the site's own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from wsi_patches.errors import UsageError

__all__ = ["Shard", "take_shard"]

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
