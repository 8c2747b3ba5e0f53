"""Cells of which a classifier is shown a part alone: in which of them that part was there to be shown."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from wsi_patches.cells import Cells
from wsi_patches.imaging.painted_outside import paint_outside
from wsi_patches.outcome import SlideReport

if TYPE_CHECKING:
    from wsi_patches.models import CellClassifier
    from wsi_patches.models.card import ModelCard
    from wsi_patches.models.committee import Committee
    from wsi_patches.torch_data import PatchReader

__all__ = ["NUCLEUS_SEEN", "NucleiLooked", "masked_card", "with_blanks"]

NUCLEUS_SEEN = "nucleus_seen"
"""Attribute of cells that were classified by masks: 1 where a nucleus stood out, 0 where the model was shown black."""


def masked_card(classifier: CellClassifier | Committee) -> ModelCard | None:
    """Return the card of the first member that is shown masked cells; None where none is."""
    members: tuple[CellClassifier, ...] = getattr(classifier, "members", ()) or (classifier,)  # type: ignore[assignment]
    return next((member.card for member in members if member.card.mask is not None), None)


@dataclass
class NucleiLooked:
    """Reads patches for a classifier, and notes in which of them a nucleus stands out if it is shown masked ones.

    The classifier masks by itself: this looks once more, since its answers do not tell a black patch.
    """

    source: PatchReader
    card: ModelCard | None
    """Says what is masked; None where nothing is."""
    seen: NDArray[np.float64] = field(init=False)
    """1 where a nucleus stood out in what was read, ``(n,)``, else 0."""

    def __post_init__(self) -> None:
        self.seen = np.ones(len(self.source))

    @classmethod
    def of(cls, classifier: CellClassifier | Committee, source: PatchReader) -> NucleiLooked:
        """Return a reader of a source that looks for what a classifier is shown."""
        return cls(source, masked_card(classifier))

    def __len__(self) -> int:
        return len(self.source)

    def read(self, positions: ArrayLike) -> NDArray[np.uint8]:
        """Return patches, uint8 RGB ``(n, s, s, 3)``, as they are."""
        images = self.source.read(positions)
        if self.card is not None and self.card.mask is not None:
            side = (self.card.input_px, self.card.input_px)
            sized = np.stack([_resized(image, side) for image in images])
            blank = paint_outside(sized, self.card.mask.part, self.card.mask.by).blank
            self.seen[np.asarray(positions, np.int64)] = ~blank
        return images

    def blank_words(self) -> str:
        """Return a sentence on patches in which no nucleus stood out, empty where there are none."""
        if self.card is None or self.card.mask is None or bool(self.seen.all()):
            return ""
        blank, by = int((self.seen == 0).sum()), self.card.mask.by
        return (
            f"in {blank} of {len(self.seen)} patches no nucleus stands out ({by}): "
            f"model {self.card.name}, which is shown the {self.card.mask.part} alone, saw black of them"
        )


def _resized(image: NDArray[np.uint8], side: tuple[int, int]) -> NDArray[np.uint8]:
    same = image.shape[:2] == side
    return image if same else np.asarray(cv2.resize(image, side, interpolation=cv2.INTER_AREA), np.uint8)


def with_blanks(report: SlideReport, cells: Cells, classifier: CellClassifier | Committee) -> SlideReport:
    """Return a report that says of how many cells a model was shown black, since no nucleus stood out.

    Parameters
    ----------
    report
        Of the slide.
    cells
        As the classifier told them.
    classifier
        Which did.
    """
    card = masked_card(classifier)
    seen = cells.attributes.get(NUCLEUS_SEEN)
    if card is None or card.mask is None or seen is None or bool(seen.all()):
        return report
    warning = (
        f"in {int((seen == 0).sum())} of {len(cells)} cells no nucleus stands out ({card.mask.by}): model {card.name}, "
        f"which is shown the {card.mask.part} alone, saw black of them, and what it says of them means little"
    )
    return replace(report, warnings=(*report.warnings, warning))
