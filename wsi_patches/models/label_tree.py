"""A tree of labels: which classes are kinds of which, and what probabilities of its leaves say of every level."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import UsageError

__all__ = ["LabelTree", "Level", "read_tree"]


@dataclass(frozen=True)
class Level:
    """The nodes of a tree at one depth; a leaf that ends above it stands for itself, so that every class has one."""

    names: tuple[str, ...]
    of_class: NDArray[np.int64]
    """Which node each class belongs to, ``(classes,)``, for classes in the order that was asked for."""

    def summed(self, probabilities: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Return the probability of each node, ``(n, nodes)``, from those of the classes, ``(n, classes)``."""
        members = self.of_class[:, None] == np.arange(len(self.names))
        sums: NDArray[np.float64] = np.asarray(probabilities, np.float64) @ members
        return sums


@dataclass(frozen=True)
class LabelTree:
    """A tree of labels under a root without a name; its leaves are the classes of the data.

    Its decoding is the path from the root to the most probable leaf, where the probability of a node is the sum of its
    leaves'. So it is always one path, and no node is more probable than what it is a kind of.
    """

    paths: tuple[tuple[str, ...], ...]
    """From the child of the root to each leaf."""

    @classmethod
    def of(cls, tree: Any) -> LabelTree:
        """Read a tree as YAML holds it.

        Parameters
        ----------
        tree
            A mapping of names to what lies below: another mapping, or a list of names; nothing, of a leaf. Depths may
            differ.

        Raises
        ------
        UsageError
            It is no such tree: the message says where.
        """
        if not isinstance(tree, Mapping):
            msg = f"a tree of labels is a mapping of names to their kinds, found {_shown(tree)}"
            raise UsageError(msg)
        seen: dict[str, tuple[str, ...]] = {}
        return cls(tuple(_leaves(tree, (), (), seen)))

    @property
    def leaves(self) -> tuple[str, ...]:
        """The names of the leaves, in the tree's order."""
        return tuple(path[-1] for path in self.paths)

    @property
    def depth(self) -> int:
        """Number of levels: the length of the longest path."""
        return max(map(len, self.paths))

    def levels(self, classes: Sequence[str]) -> tuple[Level, ...]:
        """Return the levels from the root's children down to the leaves, of classes in some order.

        Raises
        ------
        UsageError
            The classes are not the leaves.
        """
        self.check(classes)
        path_of = {path[-1]: path for path in self.paths}
        return tuple(self._level(depth, [path_of[name] for name in classes]) for depth in range(self.depth))

    def path(self, leaf: str) -> tuple[str, ...]:
        """Return the names from the root's child to a leaf."""
        return next(path for path in self.paths if path[-1] == leaf)

    def check(self, classes: Sequence[str]) -> None:
        """Refuse classes that are not just the leaves.

        Raises
        ------
        UsageError
            A class is no leaf, or a leaf no class.
        """
        inner = {name for path in self.paths for name in path[:-1]}
        for name in classes:
            if name not in self.leaves:
                what = "has kinds below it, and a picture is of a leaf" if name in inner else "is not in the tree"
                msg = (
                    f"class {name!r} {what}; leaves are {', '.join(self.leaves)}: say by `classes:` what it counts as, "
                    "or null to leave it out"
                )
                raise UsageError(msg)
        absent = [name for name in self.leaves if name not in classes]
        if absent:
            msg = f"nothing is of leaf {', '.join(absent)}, only of {', '.join(classes)}: leave it out of the tree"
            raise UsageError(msg)

    def to_dict(self) -> dict[str, Any]:
        """Return nested mappings, a leaf's of nothing, as `of` reads them."""
        nested: dict[str, Any] = {}
        for path in self.paths:
            below = nested
            for name in path:
                below = below.setdefault(name, {})
        return nested

    def _level(self, depth: int, paths: Sequence[tuple[str, ...]]) -> Level:
        names = tuple(dict.fromkeys(path[min(depth, len(path) - 1)] for path in self.paths))
        of_class = [names.index(path[min(depth, len(path) - 1)]) for path in paths]
        return Level(names, np.array(of_class, np.int64))


def read_tree(path: Path) -> Any:
    """Return what a YAML file holds of a tree, in which no mapping may have a name twice.

    Raises
    ------
    UsageError
        It cannot be read.
    """
    import yaml

    class Strict(yaml.SafeLoader):
        """Refuses what YAML would otherwise take the last of."""

    def mapping(loader: Any, node: Any) -> Iterator[dict[Any, Any]]:
        names = [key.value for key, _ in node.value]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            msg = f"{path}: {twice[0]!r} stands twice in the tree: every label has one place"
            raise UsageError(msg)
        filled: dict[Any, Any] = {}
        yield filled
        filled.update(loader.construct_mapping(node))

    Strict.add_constructor("tag:yaml.org,2002:map", mapping)
    try:
        # It is a SafeLoader, which builds plain values alone.
        return yaml.load(path.read_text(encoding="utf-8"), Loader=Strict)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        msg = f"the tree in {path} cannot be read: {' '.join(str(error).split())}"
        raise UsageError(msg) from error


def _leaves(
    branch: Any, path: tuple[str, ...], above: tuple[int, ...], seen: dict[str, tuple[str, ...]]
) -> Iterator[tuple[str, ...]]:
    """Yield the path of each leaf below a path; ``above`` are the ids of the branches that it lies in."""
    if id(branch) in above:
        msg = f"{' > '.join(path)} lies within itself: no alias (*) of a tree may lead back to where it is"
        raise UsageError(msg)
    kinds = list(_kinds(branch, path))
    if len(kinds) == 1:
        where = f"{path[-1]!r} has" if path else "the tree has"
        msg = f"{where} one kind alone, {kinds[0][0]!r}, so that nothing is decided there: leave one of the two out"
        raise UsageError(msg)
    for name, below in kinds:
        mine = (*path, name)
        if name in seen:
            msg = (
                f"{name!r} stands twice in the tree, as {' > '.join(seen[name])} and {' > '.join(mine)}: once is meant"
            )
            raise UsageError(msg)
        seen[name] = mine
        if below:
            yield from _leaves(below, mine, (*above, id(branch)), seen)
        else:
            yield mine
    if not kinds:
        msg = "the tree has no label"
        raise UsageError(msg)


def _kinds(branch: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """Yield what lies right below a branch: names, with what lies below them."""
    entries = list(branch.items()) if isinstance(branch, Mapping) else branch
    if not isinstance(entries, list):
        msg = (
            f"below {' > '.join(path) or 'the root'}, a mapping or a list of names is expected, found {_shown(branch)}"
        )
        raise UsageError(msg)
    for entry in entries:
        if isinstance(branch, Mapping):
            name, below = entry
        elif isinstance(entry, Mapping) and len(entry) == 1:
            ((name, below),) = entry.items()
        else:
            name, below = entry, None
        if not isinstance(name, str) or not name:
            msg = f"a label is a word, found {_shown(name)} below {' > '.join(path) or 'the root'}: quote it"
            raise UsageError(msg)
        yield name, below


def _shown(value: Any) -> str:
    return "nothing" if value is None else f"{type(value).__name__} {str(value)[:40]!r}"
