"""Which pictures go with which result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from wsi_patches.evaluate import pictures
from wsi_patches.evaluate.classification import ClassificationResult
from wsi_patches.evaluate.detection import DetectionResult
from wsi_patches.evaluate.result import Result
from wsi_patches.evaluate.slides import SlidesResult

__all__ = ["Picture", "draw_pictures"]


@dataclass(frozen=True)
class Picture:
    """A picture that was written."""

    path: Path
    """PNG."""
    title: str
    alt: str
    """What is to be seen, for readers who cannot see it."""


class _Kind(NamedTuple):
    draw: Callable[..., None]
    name: str
    title: str
    alt: str


ROC = _Kind(pictures.draw_roc, "roc", "ROC", "True over false positive rate of each class against the rest")
PRECISION_RECALL = _Kind(
    pictures.draw_precision_recall,
    "precision_recall",
    "Precision and recall",
    "Precision over recall of each class against the rest",
)
CLASS_F1 = _Kind(
    pictures.draw_class_f1,
    "f1_threshold",
    "Threshold",
    "F1 of each class over the least probability at which a patch is called one of it",
)
CONFUSION = _Kind(
    pictures.draw_confusion, "confusion", "Confusion", "Matrix of true and predicted classes, in counts and in percent"
)
RELIABILITY = _Kind(
    pictures.draw_reliability,
    "reliability",
    "Reliability",
    "Share of right predictions over the probability that was stated, and how often each was stated",
)
F1_THRESHOLD = _Kind(
    pictures.draw_f1_threshold, "f1_threshold", "Threshold", "F1, precision and recall over the least score that counts"
)
BLAND_ALTMAN = _Kind(
    pictures.draw_bland_altman,
    "bland_altman",
    "Counts",
    "Difference of found and true counts over their mean, with the bias and its 95 % limits of agreement",
)


def draw_pictures(folder: Path, result: Result) -> list[Picture]:
    """Write every picture that a result has.

    Parameters
    ----------
    folder
        It must be there; earlier pictures of the same names are replaced.
    result
        Of detection, classification or slides. Slides without true counts have no picture.

    Raises
    ------
    MissingExtra
        matplotlib or scikit-learn is not installed.
    """
    written = []
    for kind in _kinds(result):
        picture = Picture(folder / f"{kind.name}.png", kind.title, kind.alt)
        kind.draw(picture.path, result)
        written.append(picture)
    return written


def _kinds(result: Result) -> Sequence[_Kind]:
    if isinstance(result, ClassificationResult):
        return ROC, PRECISION_RECALL, CLASS_F1, CONFUSION, RELIABILITY
    if isinstance(result, DetectionResult):
        return F1_THRESHOLD, BLAND_ALTMAN
    if isinstance(result, SlidesResult) and result.counts.true is not None:
        return (BLAND_ALTMAN,)
    return ()
