"""What a detector of types and attributes is, and how it is trained on fields that may be marked in part."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from wsi_patches.annotations.attributes import numbered_columns
from wsi_patches.annotations.words import ANNOTATED_AREA, BLAST_CLASSES, IGNORE, NOT_WHITE_CELLS, our_class
from wsi_patches.counting import CellFinder
from wsi_patches.datasets import SlideItem
from wsi_patches.datasets.item import class_names_of
from wsi_patches.errors import UsageError
from wsi_patches.morphology import SEVEN, Attribute
from wsi_patches.train.attribute_fields import AttributeReading, Unmarked
from wsi_patches.train.classifier_settings import TEST, TRAIN
from wsi_patches.train.detector_settings import NetworkOfBoxes
from wsi_patches.train.engine_settings import EngineSettings
from wsi_patches.train.marked_fields import SplitField

__all__ = ["AttributeDetectorSettings", "domain_of"]

DOMAIN = "domain"
PLACES = (IGNORE, ANNOTATED_AREA)


def domain_of(item: SlideItem) -> str:
    """Return the microscope, magnification and camera of a picture by one name; empty where its data set names none."""
    return dict(item.attributes).get(DOMAIN, "")


@dataclass(frozen=True, kw_only=True)
class AttributeDetectorSettings(NetworkOfBoxes):
    """What a detector of types and attributes is, and how it is trained.

    Raises
    ------
    UsageError
        A value is out of range, or names contradict each other.
    """

    task: Literal["attribute_detector"] = "attribute_detector"
    """What the recipe trains."""
    name: str = "attributes"
    types: tuple[str, ...] = ()
    """The types of white cells, in the order of the network's outputs; those that the data set names if not given."""
    blasts: tuple[str, ...] | None = None
    """Which of the types are blasts; those whose names say so if not given."""
    classes: Mapping[str, str | None] = field(default_factory=dict)
    """What an annotated class is, where its name is none of the types: a type, ``ignore``, ``annotated_area``, or null,
    which leaves its cells out as if nothing were there."""
    attributes: Mapping[str, tuple[str, ...]] = field(
        default_factory=lambda: {one.name: one.values for one in SEVEN},
    )
    """The values of each attribute, in the order of their numbers in the files, counted from 0."""
    attribute_columns: tuple[str, ...] = ()
    """Which attribute each of the numbers behind a YOLO box is, where no file says it."""
    unmarked: Unmarked = "background"
    """What an unmarked place of a field is: ``background``, as every white cell is marked; or ``unknown`` where the
    shipped finder sees what may be a white cell, as only some are marked."""
    train_domains: tuple[str, ...] = ()
    """The domains (microscope, magnification, camera) that are learnt from; all are measured. All if not given."""
    smear_pattern: str = r"^(.*)$"
    """A regular expression whose first part is the smear in a file's name, of which all domains are kept together where
    the data set names no patients."""
    look_again: float = 0.5
    """Where ``unmarked: unknown``, the finder's least score is multiplied by it, so that it errs by seeing too many."""
    training: EngineSettings = field(
        default_factory=lambda: EngineSettings(
            epochs=20, steps_per_epoch=60, learning_rate=2e-3, warmup_epochs=0.5, clip_norm=5.0, ema_decay=0.98
        )
    )

    COUNTED: ClassVar[str] = "counts is set by the types of an attribute_detector: leave it out"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.counts != "blasts":
            raise UsageError(self.COUNTED)
        few = [name for name, said in self.attributes.items() if len(said) < 2 or len(set(said)) < len(said)]
        if few:
            msg = f"attributes: {', '.join(few)} needs two values or more, each named once"
            raise UsageError(msg)
        strange = sorted(set(self.attribute_columns) - set(self.attributes))
        if strange:
            msg = f"attribute_columns names {', '.join(strange)}; the attributes are "
            raise UsageError(msg + (", ".join(self.attributes) or "none"))
        self._check_pattern()
        if self.types:
            self._check_types()

    def _check_pattern(self) -> None:
        try:
            groups = re.compile(self.smear_pattern).groups
        except re.error as error:
            msg = f"smear_pattern {self.smear_pattern!r} is no regular expression: {error}"
            raise UsageError(msg) from error
        if not groups or not 0 < self.look_again <= 1:
            msg = "smear_pattern puts what names the smear in parentheses, and look_again lies above 0 and to 1; found "
            raise UsageError(msg + f"{self.smear_pattern!r} and {self.look_again:g}")

    def _check_classes(self) -> None:
        """Leave it until the types are known."""

    def _check_types(self) -> None:
        wrong = sorted({str(said) for said in self.classes.values()} - {*self.types, *PLACES, "None"})
        if wrong or len(set(self.types)) < len(self.types):
            msg = (
                "classes: an annotated class is one of the types, which are named once each, ignore, annotated_area or "
            )
            raise UsageError(msg + f"null (left out); found {', '.join(wrong or self.types)}")
        lost = sorted(set(self.blasts or ()) - set(self.types))
        if lost:
            msg = f"blasts: {', '.join(lost)} is none of the types {', '.join(self.types)}"
            raise UsageError(msg)

    def for_items(self, items: Sequence[SlideItem]) -> Self:
        """Return the settings with the types that a data set names, where the recipe names none.

        Raises
        ------
        UsageError
            It names none either, or there is no such domain as is to be learnt from.
        """
        there = {domain_of(item) for item in items}
        absent = sorted(set(self.train_domains) - there)
        if absent:
            named = ", ".join(filter(None, sorted(there))) or "none that is named"
            msg = f"train_domains: no picture is of {', '.join(absent)}; there are {named}"
            raise UsageError(msg)
        if self.types:
            return self
        words = (self.classes.get(name, our_class(name)) for name in class_names_of(items))
        types = tuple(dict.fromkeys(word for word in words if word and word not in NOT_WHITE_CELLS))
        if not types:
            msg = "types: nothing says which types of cells there are: name them in the recipe"
            raise UsageError(msg)
        return replace(self, types=types)

    def grouped(self, items: Sequence[SlideItem]) -> list[SlideItem]:
        """Return the pictures, those of one smear through several microscopes and cameras in one group.

        A picture whose patient or slide is known keeps it; so do pictures of a data set without domains.
        """
        return [item if item.group or not domain_of(item) else self._of_smear(item) for item in items]

    def _of_smear(self, item: SlideItem) -> SlideItem:
        stem = Path(item.path).stem
        match = re.search(self.smear_pattern, stem)
        return replace(item, group=match.group(1) if match and match.group(1) else stem, group_kind="slide")

    @property
    def class_names(self) -> tuple[str, ...]:
        """The types."""
        return self.types

    @property
    def blast_types(self) -> tuple[str, ...]:
        """Which of the types are blasts."""
        if self.blasts is not None:
            return self.blasts
        return tuple(name for name in self.types if our_class(name) in BLAST_CLASSES)

    @cached_property
    def morphology(self) -> tuple[Attribute, ...]:
        """The attributes, with their values."""
        return tuple(Attribute(name, tuple(values)) for name, values in self.attributes.items())

    def reading(self, finder: CellFinder[Any]) -> AttributeReading:
        """Return how fields and their marks are read; a finder measures what no file states."""
        columns = numbered_columns(self.attribute_columns)
        return AttributeReading(
            self.types, self.classes, self.morphology, columns, self.unmarked, finder, self.look_again, self.slide_mpp
        )

    @property
    def network(self) -> dict[str, Any]:
        """Arguments of the network beside the number of classes."""
        return {**super().network, "attributes": [len(one.values) for one in self.morphology]}

    @property
    def told(self) -> dict[str, Any]:
        """What a card says of what the network tells, beside its classes."""
        values = {one.name: one.values for one in self.morphology}
        return {"blasts": self.blast_types, "attributes": values}

    @property
    def title(self) -> str:
        """What the network finds, for a card."""
        return f"{len(self.types)} types of white cells and {len(self.attributes)} attributes of each,"

    def lacks(self, split: str, absent: Sequence[str]) -> Sequence[str]:  # noqa: ARG002
        """Return which of the classes that a split has no cell of make it useless: rare types may lack in some."""
        return absent if len(absent) == len(self.types) else []

    def kept(self, fields: Sequence[SplitField]) -> tuple[SplitField, ...]:
        """Return the fields to be measured, and of the others those whose domain is learnt from."""
        wanted = self.train_domains
        return tuple(one for one in fields if one.split == TEST or not wanted or domain_of(one.item) in wanted)

    def fitted(self, fields: Sequence[SplitField]) -> tuple[Self, tuple[SplitField, ...], tuple[str, ...]]:
        """Return the settings and fields without the attributes that cannot be learnt from these, and which they are.

        It takes cells of two values to learn one: a network that never saw them would tell it all the same.
        """
        known = [one.marked.details.attributes for one in fields if one.split == TRAIN and one.marked.details]
        table = np.concatenate([np.empty((0, len(self.morphology)), np.int64), *known])
        seen = np.array([len(np.unique(column[column >= 0])) > 1 for column in table.T], bool)
        outside = sum(one.marked.details.outside for one in fields if one.marked.details)
        lost = (f"{outside} marked cells lie outside of their fields, and were left out",) if outside else ()
        if seen.all():
            return self, tuple(fields), lost
        names = [one.name for one, kept in zip(self.morphology, seen, strict=True) if not kept]
        told = f"not told, since the fields learnt from do not say it of cells of two kinds: {', '.join(names)}"
        return self.telling([one for one in self.attributes if one not in names]), _without(fields, seen), (*lost, told)

    def telling(self, names: Collection[str]) -> Self:
        """Return the settings with some of the attributes, once fields are read."""
        values = {name: said for name, said in self.attributes.items() if name in names}
        return replace(self, attributes=values, attribute_columns=())

    def learnt(self, fields: Sequence[SplitField]) -> tuple[str, ...]:
        """Return the domains of the fields that were learnt from, by name."""
        return tuple(sorted({domain_of(one.item) for one in fields if one.split == TRAIN} - {""}))


def _without(fields: Sequence[SplitField], seen: NDArray[np.bool_]) -> tuple[SplitField, ...]:
    """Return fields with some columns of their attributes alone."""
    kept = []
    for one in fields:
        details = one.marked.details
        assert details is not None
        marked = replace(one.marked, details=replace(details, attributes=details.attributes[:, seen]))
        kept.append(replace(one, marked=marked))
    return tuple(kept)
