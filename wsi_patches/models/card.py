"""What a model says of itself: what it takes, what it gives, what it was trained on and what it cannot do."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

from pydantic import ConfigDict, TypeAdapter, ValidationError

from wsi_patches.cells import ALL_IDB_CLASSES, WHITE_CELL
from wsi_patches.errors import ModelError, UsageError
from wsi_patches.models.count_calibration import CountCalibration
from wsi_patches.models.input_mask import InputMask
from wsi_patches.models.label_tree import LabelTree
from wsi_patches.models.reference import InputReference

__all__ = ["Card", "CounterCard", "FinderCard", "LabelCard", "ModelCard", "check_alike"]


@dataclass(frozen=True, kw_only=True)
class Card:
    """What all cards have in common; they are JSON in the header of the weight file."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    name: str
    """Short name, as ``--model`` or ``--finder`` takes it."""
    title: str
    """One line for people."""
    architecture: str
    """A key of ``ARCHITECTURES``, ``FINDERS``, ``COUNTERS`` or ``DETECTORS`` in `wsi_patches.models.weights`."""
    settings: dict[str, Any]
    """Arguments of the architecture beside the number of classes, as JSON values."""
    classes: tuple[str, ...]
    """Class names in the order of the outputs."""
    trained_on: str
    limits: str
    """What the model cannot do, in a plain sentence."""
    licence: str
    paper: str = ""
    doi: str = ""
    changes: str = ""
    """How the model differs from the paper's."""
    scores: dict[str, float] = field(default_factory=dict)
    """Figures measured on data that it was not trained on, named with what they were measured on."""

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values that `from_dict` reads."""
        values: dict[str, Any] = TypeAdapter(type(self)).dump_python(self, mode="json")
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Read what `to_dict` wrote.

        Raises
        ------
        ModelError
            A key is unknown or missing, or a value is of the wrong kind; the message names each.
        """
        try:
            return TypeAdapter(cls).validate_json(json.dumps(values), strict=True)
        except ValidationError as error:
            faults = "; ".join(f"{'.'.join(map(str, one['loc'])) or 'card'}: {one['msg']}" for one in error.errors())
            msg = f"the model's card cannot be used: {faults}"
            raise ModelError(msg) from error


@dataclass(frozen=True, kw_only=True)
class FinderCard(Card):
    """The card of a model that finds cells; its classes are in the order of the heat maps.

    Raises
    ------
    ModelError
        A value cannot be; the message names it.
    """

    kind: Literal["finder"] = "finder"
    red_cell_px: float
    """Diameter of a red cell in the images that the network takes."""
    threshold: float
    """Least score of a cell, 0 to 1."""
    split: str
    """Which images it was not trained on, in a sentence."""
    recall: tuple[float, float] | None = None
    """Parameters of the beta distribution, over slides that it was not trained on, of the share of cells it finds."""
    precision: tuple[tuple[float, float], ...] = ()
    """Rising points (score, share of the found cells of such a score that are cells), on the same slides."""

    def __post_init__(self) -> None:
        if not (self.red_cell_px > 0 and 0 < self.threshold < 1):
            msg = f"card of {self.name}: red_cell_px is above 0 and threshold between 0 and 1, got "
            raise ModelError(msg + f"{self.red_cell_px} and {self.threshold}")


@dataclass(frozen=True, kw_only=True)
class CounterCard(Card):
    """The card of a model that counts the cells of patches; its classes are in the order of the densities.

    Raises
    ------
    ModelError
        A value cannot be; the message names it.
    """

    kind: Literal["counter"] = "counter"
    red_cell_px: float
    """Diameter of a red cell in the images that the network takes."""
    split: str
    """Which slides it was not trained on, and what they were used for, in a sentence."""
    calibration: dict[str, CountCalibration] = field(default_factory=dict)
    """How far counts of whole slides may be off: of each class, and of ``white_cell``, which is all of them together.
    Empty before it was learnt."""
    reference: InputReference | None = None
    """What the slides that it was trained on looked like around their white cells."""

    def __post_init__(self) -> None:
        if not self.red_cell_px > 0:
            msg = f"card of {self.name}: red_cell_px is above 0, got {self.red_cell_px}"
            raise ModelError(msg)
        known = {*self.classes, WHITE_CELL}
        if self.classes not in (ALL_IDB_CLASSES, (WHITE_CELL,)) or set(self.calibration) not in (set(), known):
            msg = f"card of {self.name}: blast and other are counted, or white_cell, each with a calibration or none"
            raise ModelError(msg + f"; got {', '.join(self.classes)}, and {', '.join(self.calibration) or 'none'}")


@dataclass(frozen=True, kw_only=True)
class LabelCard(Card):
    """The card of a model that says which of many labels a patch of tissue bears; its classes are the labels.

    It tells no cells apart: trainings start from it.

    Raises
    ------
    ModelError
        A value cannot be; the message names it.
    """

    kind: Literal["labels"] = "labels"
    input_px: int
    """Side of the square input in pixels."""
    mean: tuple[float, float, float]
    """Subtracted from red, green and blue of 0 to 1."""
    std: tuple[float, float, float]
    """Red, green and blue are then divided by it."""
    split: str
    """What a test was kept apart by, in a sentence."""
    threshold: float = 0.5
    """Least sigmoid of a logit for which its label is said."""

    def __post_init__(self) -> None:
        if not (self.input_px > 0 and min(self.std) > 0 and 0 < self.threshold < 1 and self.classes):
            msg = f"card of {self.name}: input_px and std are above 0, threshold between 0 and 1, and labels are named"
            raise ModelError(msg)


@dataclass(frozen=True, kw_only=True)
class ModelCard(Card):
    """The card of a model that classifies patches.

    Raises
    ------
    ModelError
        A value cannot be; the message names it.
    """

    input_px: int
    """Side of the square input in pixels."""
    mean: tuple[float, float, float]
    """Of the training images, red, green, blue, 0 to 1; subtracted from the input."""
    std: tuple[float, float, float]
    """Of the training images, red, green, blue, 0 to 1; the input is divided by it."""
    mask: InputMask | None = None
    """Which part of the cell in a patch the network is shown; all of the patch if None."""
    patch_um: float | None = None
    """Side of the patch on the slide in um, for slides that state their resolution."""
    patch_cell_diameters: float | None = None
    """Side of the patch in diameters of a white cell, for slides that do not."""
    temperature: float = 1.0
    """Logits are divided by it before the softmax."""
    isotonic: tuple[tuple[float, float], ...] = ()
    """Of two classes: points (said, meant) between which the first class's probability is read off, both rising; as
    the softmax says it where there are none."""
    slide_shift: float = 0.0
    """Standard deviation, over slides that it was not trained on, of a common shift of all logits of a slide."""
    reference: InputReference | None = None
    """What the slides that it was trained on looked like."""
    tree: dict[str, Any] | None = None
    """What the classes are kinds of, as `LabelTree` reads it; None where they are kinds of nothing."""
    blasts: tuple[str, ...] | None = None
    """Of a model that tells types of cells: which are blasts; None where their names say so."""
    confusion: tuple[tuple[int, ...], ...] = ()
    """Of such a model: how many cells of each type (row) it took for each (column), on patients that it did not learn
    from; empty where nobody counted."""

    def __post_init__(self) -> None:
        positive: dict[str, float | None] = {
            "input_px": self.input_px,
            "temperature": self.temperature,
            "std": min(self.std),
        }
        positive |= {"patch_um": self.patch_um, "patch_cell_diameters": self.patch_cell_diameters}
        for name, value in positive.items():
            if value is not None and not value > 0:
                msg = f"card of {self.name}: {name} must be above 0, got {value}"
                raise ModelError(msg)
        if len(set(self.classes)) != len(self.classes) or len(self.classes) < 2:
            msg = f"card of {self.name}: two or more different class names are needed, got {self.classes}"
            raise ModelError(msg)
        self._check_isotonic()
        self._check_types()
        self._check_tree()
        if self.patch_um is None and self.patch_cell_diameters is None:
            msg = f"card of {self.name}: patch_um or patch_cell_diameters must say how large a patch is on the slide"
            raise ModelError(msg)

    def _check_types(self) -> None:
        unknown = sorted(set(self.blasts or ()) - set(self.classes))
        if unknown:
            msg = f"card of {self.name}: blasts are some of its classes, found {', '.join(unknown)}"
            raise ModelError(msg)
        shape = [len(row) for row in self.confusion]
        if shape not in ([], [len(self.classes)] * len(self.classes)) or min(map(min, self.confusion), default=0) < 0:
            msg = f"card of {self.name}: confusion is a count of 0 or more for each class and class, found rows {shape}"
            raise ModelError(msg)

    def _check_tree(self) -> None:
        try:
            if self.tree is not None:
                LabelTree.of(self.tree).check(self.classes)
        except UsageError as error:
            msg = f"card of {self.name}: {error}"
            raise ModelError(msg) from error

    def _check_isotonic(self) -> None:
        if not self.isotonic:
            return
        said, meant = zip(*self.isotonic, strict=True)
        rising = list(said) == sorted(set(said)) and list(meant) == sorted(meant)
        if len(self.classes) != 2 or not rising or not all(0 <= value <= 1 for value in (*said, *meant)):
            msg = f"card of {self.name}: isotonic must be rising points within 0..1 for two classes"
            raise ModelError(msg)


def check_alike(cards: Sequence[ModelCard], names: Sequence[str]) -> None:
    """Refuse models that cannot be asked about the same patches.

    Parameters
    ----------
    cards
        Of the models.
    names
        What they must agree in: attributes of a card.

    Raises
    ------
    UsageError
        Two of them differ in one of these.
    """
    for other in cards[1:]:
        for name in names:
            ours, theirs = getattr(cards[0], name), getattr(other, name)
            if ours != theirs:
                msg = f"an ensemble's models must agree in {name}: {cards[0].name} has {ours}, {other.name} {theirs}"
                msg += "; leave one of them out"
                raise UsageError(msg)
