"""What a detector says of itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from wsi_patches.cells import ALL_IDB_CLASSES, WHITE_CELL
from wsi_patches.errors import ModelError
from wsi_patches.models.card import Card
from wsi_patches.models.reference import InputReference

__all__ = ["DetectorCard"]


@dataclass(frozen=True, kw_only=True)
class DetectorCard(Card):
    """The card of a model that boxes cells and tells their classes, in the order of its scores.

    Raises
    ------
    ModelError
        A value cannot be; the message names it.
    """

    kind: Literal["detector"] = "detector"
    red_cell_px: float
    """Diameter of a red cell in the images that the network takes."""
    threshold: float
    """Least score of a cell, 0 to 1."""
    nms: float
    """Intersection over union above which two boxes of an image are one cell's, 0 to 1."""
    split: str
    """Which slides it was not trained on, and what they were used for, in a sentence."""
    temperature: float = 1.0
    """Logits of the classes are divided by it before the softmax."""
    recall: tuple[float, float] | None = None
    """Parameters of the beta distribution, over slides that it was not trained on, of the share of cells it finds."""
    precision: tuple[tuple[float, float], ...] = ()
    """Rising points (score, share of the found cells of such a score that are cells), on the same slides."""
    slide_shift: float = 0.0
    """Standard deviation, over the same slides, of a common shift of the logits of a slide's classes."""
    reference: InputReference | None = None
    """What the slides that it was trained on looked like around their white cells."""
    blasts: tuple[str, ...] | None = None
    """Of a detector that tells types of white cells: which of its classes are blasts. None where its classes are blast
    and other, or white_cell."""
    attributes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """What is told of each cell besides: the values of each attribute, in the order of its logits."""
    confusion: tuple[tuple[int, ...], ...] = ()
    """Of types: how many cells of each (row) it took for each (column), on slides that it did not learn from."""
    learnt_domains: tuple[str, ...] = ()
    """The microscopes and cameras whose pictures it learnt from, where its data set names them."""

    @property
    def blast_rows(self) -> tuple[int, ...]:
        """Which of the classes are blasts; none where blasts are not told."""
        named = ALL_IDB_CLASSES[:1] if self.blasts is None else self.blasts
        return tuple(row for row, name in enumerate(self.classes) if name in named)

    def __post_init__(self) -> None:
        shares = {"threshold": self.threshold, "nms": self.nms}
        wrong = [name for name, share in shares.items() if not 0 < share < 1]
        wrong += [name for name in ("red_cell_px", "temperature") if not getattr(self, name) > 0]
        wrong += [] if self.slide_shift >= 0 else ["slide_shift"]
        if wrong:
            msg = f"card of {self.name}: {', '.join(wrong)} out of range: shares lie between 0 and 1, sizes above 0"
            raise ModelError(msg)
        if self.blasts is None and self.classes not in (ALL_IDB_CLASSES, (WHITE_CELL,)):
            msg = f"card of {self.name}: blast and other are detected, or white_cell; got {', '.join(self.classes)}"
            raise ModelError(msg)
        self._check_types()

    def _check_types(self) -> None:
        """Refuse types and attributes that contradict each other, or the network's settings."""
        twice = len(set(self.classes)) < len(self.classes) or not self.classes
        unknown = sorted(set(self.blasts or ()) - set(self.classes))
        if twice or unknown:
            msg = f"card of {self.name}: each type is named once and blasts are types, got {', '.join(self.classes)}"
            raise ModelError(msg + (f"; no type: {', '.join(unknown)}" if unknown else ""))
        counts = [len(values) for values in self.attributes.values()]
        if counts != list(self.settings.get("attributes", ())):
            msg = f"card of {self.name}: its attributes have {counts} values, and its network's settings say otherwise"
            raise ModelError(msg)
