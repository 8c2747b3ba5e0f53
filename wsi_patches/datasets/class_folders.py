"""Datasets whose folders bear the names of classes, one picture a cell: what they share, and how they differ."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from wsi_patches.datasets.folders import listing, pictures
from wsi_patches.datasets.item import SlideItem, Unit
from wsi_patches.datasets.layout import Dataset, Layout
from wsi_patches.datasets.sentences import told

__all__ = ["Attributes", "ClassFolders"]

Attributes = tuple[tuple[str, str], ...]
Describe = Callable[[str, re.Match[str]], Attributes | None]
LEAST = 2


class _Inner(NamedTuple):
    """One folder of pictures."""

    part: str
    """The folder above the class's, such as ``Train``; empty if there is none."""
    code: str
    """The class folder's name, as it is written."""
    below: str
    """The folder inside of the class's; empty for pictures that lie directly in it."""
    path: Path
    names: tuple[str, ...]


def _no_attributes(code: str, name: re.Match[str]) -> Attributes | None:  # noqa: ARG001  # the form of `Describe`
    return ()


@dataclass(frozen=True)
class ClassFolders:
    """What is particular to one dataset of class folders."""

    name: str
    title: str
    licence: str | None
    labels: Mapping[str, str]
    """Class folder -> label; folders are known in whatever case they are written."""
    picture: re.Pattern[str]
    """What a picture's name begins with."""
    describe: Describe = _no_attributes
    """Attributes by class folder and picture name; None where the two do not fit each other."""
    unit: Unit = "cell"
    parts: Mapping[str, str] = field(default_factory=dict)
    """Folder above the class folders, in lower case -> published split; empty if classes lie at the top."""
    own: frozenset[str] = frozenset()
    """Class folders, in lower case, of which two must be there where picture names tell nothing."""
    patients: bool = False
    """Whether the folders inside of a class folder are patients."""
    note: str = ""
    """What everybody who uses the dataset must know."""

    def layout(self) -> Layout:
        """Return the layout."""
        return Layout(self.name, self.title, self.unit, self.licence, self.recognise, self.read)

    def recognise(self, folder: Path) -> bool:
        """Say whether at least two class folders are there, and whether their first pictures are named as they must."""
        tops = self._tops(folder)
        codes = {code.lower(): top / code for _, top in tops for code in listing(top).folders}
        known = {code: path for code, path in codes.items() if code in self._labels()}
        if len(known) < LEAST or (self.parts and len(tops) < LEAST):
            return False
        if self.own and len(self.own & known.keys()) < LEAST:
            return False
        firsts = [next((inner.names[0] for inner in _inner("", path, path.name)), None) for path in known.values()]
        return sum(name is not None and bool(self.picture.match(name)) for name in firsts) >= LEAST

    def read(self, folder: Path) -> Dataset:
        """Return the pictures of all class folders."""
        labels, items = self._labels(), list[SlideItem]()
        odd, strangers, patients = list[str](), list[str](), dict[str, set[str]]()
        for inner in self._inners(folder):
            label = labels.get(inner.code.lower())
            if label is None:
                strangers.append(inner.path.relative_to(folder).as_posix())
                continue
            if self.patients:
                patients.setdefault(inner.below, set()).add(label)
            for name in inner.names:
                match = self.picture.match(name)
                attributes = self.describe(inner.code, match) if match else None
                if attributes is None:
                    odd.append(name)
                items.append(self._item(inner, name, label, attributes or ()))
        return Dataset(tuple(items), tuple(self._problems(odd, strangers, patients)))

    def _labels(self) -> dict[str, str]:
        return {code.lower(): label for code, label in self.labels.items()}

    def _tops(self, folder: Path) -> list[tuple[str, Path]]:
        """Return the folders that hold the class folders, with the names of the parts that they are."""
        if not self.parts:
            return [("", folder)]
        return [(name, folder / name) for name in listing(folder).folders if name.lower() in self.parts]

    def _inners(self, folder: Path) -> Iterator[_Inner]:
        for part, top in self._tops(folder):
            for code in listing(top).folders:
                yield from _inner(part, top / code, code)

    def _item(self, inner: _Inner, name: str, label: str, attributes: Attributes) -> SlideItem:
        patient = inner.below if self.patients and inner.below else None
        part = (("part", inner.part),) if inner.part else ()
        return SlideItem(
            path=f"{inner.path}/{name}",
            layout=self.name,
            unit=self.unit,
            group=patient,
            group_kind="patient" if patient else None,
            label=label,
            split=self.parts.get(inner.part.lower()),
            licence=self.licence,
            attributes=(*attributes, *part),
        )

    def _problems(self, odd: list[str], strangers: list[str], patients: dict[str, set[str]]) -> list[str]:
        loose = patients.pop("", set())
        twice = sorted(name for name, labels in patients.items() if len(labels) > 1)
        found = {
            "folders that are no class of this dataset, so left out": strangers,
            "pictures not named as in this dataset, or in another class's folder": odd,
            "classes with pictures outside of patients' folders, so without a group": sorted(loose),
            "patients with folders in more than one class": twice,
        }
        return [*([self.note] if self.note else []), *told(found)]


def _inner(part: str, folder: Path, code: str) -> Iterator[_Inner]:
    """Yield a class folder and the folders in it, those with pictures."""
    own = listing(folder)
    for below in ("", *own.folders):
        names = pictures(folder / below) if below else own.pictures
        if names:
            yield _Inner(part, code, below, folder / below, names)
