"""Errors to look at: what a classifier was most wrongly sure of, what a finder made up and what it missed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from wsi_patches.evaluate.detection import FieldDetections
from wsi_patches.evaluate.predictions import Predictions

__all__ = [
    "FALSE_POSITIVE",
    "MISSED",
    "DetectionError",
    "Images",
    "captioned_gallery",
    "classification_gallery",
    "detection_errors",
    "detection_gallery",
    "most_wrong",
]

MOST = 48
"""Cells of a gallery; more than people look at."""
SIDE_PX = 160
COLUMNS = 6
GAP_PX, LINE_PX, FONT_PX = 8, 16, 12
FRAME_PX = 4
FALSE_POSITIVE, MISSED = "false positive", "missed"
FRAMES = {FALSE_POSITIVE: (213, 94, 0), MISSED: (0, 114, 178)}
"""Of the Okabe-Ito palette; the caption says the kind besides, and a missed cell's frame is dashed."""
DASH_PX = 12


class Images(Protocol):
    """Pictures by number: an array ``(n, h, w, 3)``, a list, or something that reads them one by one."""

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]:
        """Return uint8 RGB of shape ``(h, w, 3)``."""
        ...


@dataclass(frozen=True)
class DetectionError:
    """One cell that was made up or missed."""

    field: int
    """Row of the field among those that were measured."""
    slide_id: str
    kind: str
    """`FALSE_POSITIVE` or `MISSED`."""
    x: float
    """Centre in level-0 pixels."""
    y: float
    score: float
    """Of a false positive; nan for a missed cell."""


def most_wrong(predictions: Predictions, most: int = MOST) -> NDArray[np.int64]:
    """Return the rows that are most confidently wrong, the worst first.

    Wrong rows are ordered by the probability of the predicted class less that of the true one, so that a patch with a
    wrong label, which a good classifier contradicts for certain, comes first.

    Parameters
    ----------
    predictions
        Of labelled patches.
    most
        How many at the most.

    Returns
    -------
    int64 rows, shape ``(errors,)``; equal ones keep their order.
    """
    rows = np.arange(len(predictions))
    margin = predictions.probabilities[rows, predictions.predicted] - predictions.probabilities[rows, predictions.truth]
    wrong = np.flatnonzero(predictions.predicted != predictions.truth)
    return wrong[np.argsort(-margin[wrong], kind="stable")][:most]


def classification_gallery(images: Images, predictions: Predictions, most: int = MOST) -> NDArray[np.uint8] | None:
    """Draw the patches that are most confidently wrong, the worst first.

    Parameters
    ----------
    images
        Of the predictions' rows; only those that are shown are read.
    predictions
        Of labelled patches.
    most
        How many patches at the most.

    Returns
    -------
    uint8 RGB of shape ``(h, w, 3)``; None where nothing is wrong.
    """
    names, cells = predictions.class_names, []
    for row in most_wrong(predictions, most).tolist():
        truth, predicted = predictions.truth[row], predictions.predicted[row]
        p = predictions.probabilities[row]
        caption = (
            str(predictions.ids[row]),
            f"labelled {names[truth]} ({p[truth]:.2f})",
            f"called {names[predicted]} ({p[predicted]:.2f})",
        )
        cells.append(_cell(images[row], caption))
    return _montage(cells) if cells else None


def detection_errors(
    fields: Sequence[FieldDetections], threshold: float | None = None, most: int = MOST
) -> list[DetectionError]:
    """Return false positives, the surest first, and then missed cells.

    Parameters
    ----------
    fields
        As they were measured.
    threshold
        Least score of a point that counts; None for all.
    most
        How many at the most, half of them missed cells where there are enough of both. Of more missed cells than
        that, ones at equal distances in the order of the fields are taken.
    """
    made_up: list[DetectionError] = []
    missed: list[DetectionError] = []
    for number, field in enumerate(fields):
        kept = field.above(threshold)
        wrong = kept.assigned < 0
        for (x, y), score in zip(kept.points[wrong].tolist(), kept.scores[wrong].tolist(), strict=True):
            made_up.append(DetectionError(number, field.slide_id, FALSE_POSITIVE, x, y, score))
        for x, y in _centres(kept.truth[kept.missed]).tolist():
            missed.append(DetectionError(number, field.slide_id, MISSED, x, y, float("nan")))
    made_up.sort(key=lambda error: -error.score)
    room = most - min(len(missed), most // 2)
    shown = made_up[:room]
    places = np.linspace(0, len(missed) - 1, min(len(missed), most - len(shown))).astype(int)
    return shown + [missed[place] for place in places]


def detection_gallery(crops: Images, errors: Sequence[DetectionError]) -> NDArray[np.uint8] | None:
    """Draw what was made up and what was missed, each marked by its frame and its caption.

    Parameters
    ----------
    crops
        Square pictures with the error at their centre, in the order of ``errors``.
    errors
        From `detection_errors`.

    Returns
    -------
    uint8 RGB of shape ``(h, w, 3)``; None where there is no error.
    """
    cells = []
    for number, error in enumerate(errors):
        kind = f"{error.kind} ({error.score:.2f})" if error.kind == FALSE_POSITIVE else error.kind
        caption = (error.slide_id, kind, f"at {error.x:.0f}, {error.y:.0f}")
        cells.append(_cell(crops[number], caption, error.kind))
    return _montage(cells) if cells else None


def captioned_gallery(images: Images, captions: Sequence[Sequence[str]]) -> NDArray[np.uint8]:
    """Draw one picture or more in rows, each with its lines of text below it; all have as many lines.

    Returns
    -------
    uint8 RGB of shape ``(h, w, 3)``
    """
    return _montage([_cell(images[number], caption) for number, caption in enumerate(captions)])


def _centres(truth: NDArray[np.float64]) -> NDArray[np.float64]:
    return truth if truth.shape[1] == 2 else (truth[:, :2] + truth[:, 2:]) / 2


def _cell(image: NDArray[np.uint8], caption: Sequence[str], kind: str = "") -> NDArray[np.uint8]:
    """Return a picture fitted into a square, with lines of text below it and a frame if it is of a kind."""
    height, width = image.shape[:2]
    scale = SIDE_PX / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    fitted = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    canvas = Image.new("RGB", (SIDE_PX, SIDE_PX + LINE_PX * len(caption)), "white")
    canvas.paste(Image.fromarray(fitted), ((SIDE_PX - size[0]) // 2, (SIDE_PX - size[1]) // 2))
    draw = ImageDraw.Draw(canvas)
    if kind:
        _frame(draw, kind)
    font = ImageFont.load_default(FONT_PX)
    for number, line in enumerate(caption):
        draw.text((0, SIDE_PX + LINE_PX * number + 1), _fitting(line, font), fill="black", font=font)
    return np.asarray(canvas)


def _frame(draw: ImageDraw.ImageDraw, kind: str) -> None:
    draw.rectangle((0, 0, SIDE_PX - 1, SIDE_PX - 1), outline=FRAMES[kind], width=FRAME_PX)
    if kind == MISSED:
        for start in range(0, SIDE_PX, 2 * DASH_PX):
            for near in (0, SIDE_PX - FRAME_PX):
                draw.rectangle((start, near, start + DASH_PX - 1, near + FRAME_PX - 1), fill="white")
                draw.rectangle((near, start, near + FRAME_PX - 1, start + DASH_PX - 1), fill="white")


def _fitting(line: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Shorten a line in its middle until it is as wide as a picture: both ends of a file name tell files apart."""
    shown, kept = line, len(line)
    while font.getlength(shown) > SIDE_PX and kept > 2:
        kept -= 1
        shown = f"{line[: (kept + 1) // 2]}...{line[len(line) - kept // 2 :]}"
    return shown


def _montage(cells: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Return cells of equal size in rows, on white."""
    height, width = cells[0].shape[:2]
    columns = min(COLUMNS, len(cells))
    rows = -(-len(cells) // columns)
    shape = (rows * (height + GAP_PX) + GAP_PX, columns * (width + GAP_PX) + GAP_PX, 3)
    montage = np.full(shape, 255, np.uint8)
    for number, cell in enumerate(cells):
        row, column = divmod(number, columns)
        top, left = row * (height + GAP_PX) + GAP_PX, column * (width + GAP_PX) + GAP_PX
        montage[top : top + height, left : left + width] = cell
    return montage
