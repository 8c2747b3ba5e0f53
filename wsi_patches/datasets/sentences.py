"""Sentences on what is wrong with a dataset's folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

__all__ = ["some", "told"]

LONGEST = 200


def told(found: Mapping[str, Iterable[str]], limit: int = 5) -> list[str]:
    """Return a sentence for each kind of trouble that there is, with its count and a few names.

    Parameters
    ----------
    found
        What is wrong -> the names of what it is wrong with.
    limit
        How many names a sentence has at most.
    """
    counted = {what: list(names) for what, names in found.items()}
    return [f"{what}: {len(names)} ({some(names, limit)})" for what, names in counted.items() if names]


def some(names: Iterable[str], limit: int = 5) -> str:
    """Return the first few of many names for a sentence, and how many more there are.

    Names come from disks and from files of strangers: what no terminal shows is spelled out, what is long is cut.
    """
    names = list(names)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(map(_shown, names[:limit])) + more


def _shown(name: str) -> str:
    spelled = (sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in name[:LONGEST])
    return "".join(spelled) + ("..." if len(name) > LONGEST else "")
