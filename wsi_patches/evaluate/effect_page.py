"""The effect of a preprocessing step as tables and as a page that needs nothing beside itself."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_patches.evaluate.effect import EffectFigure, Said
from wsi_patches.evaluate.tables import align, label, write_table
from wsi_patches.html_page import details_table, embedded_picture, figures_table, html_document, warnings_box
from wsi_patches.stores.files import write_whole

__all__ = ["effect_rows", "format_effect", "write_effect"]

COLUMNS = ("metric", "without_mean", "without_std", "with_mean", "with_std", "difference", "low", "high")
Examples = Sequence[tuple[NDArray[np.uint8], NDArray[np.uint8]]]
"""Patches before and after the step."""
EXAMPLE_PX = 160


def effect_rows(figures: Sequence[EffectFigure]) -> list[list[str]]:
    """Return the table as rows of text for people, the first row being the header."""
    rows = [["", "without (mean, std)", "with (mean, std)", "difference (95 % interval)"]]
    for one in figures:
        arms = [
            f"{mean:.3f}" + ("" if math.isnan(std) else f" +- {std:.3f}")
            for mean, std in zip(one.means, one.stds, strict=True)
        ]
        change = one.difference
        interval = "" if math.isnan(change.low) else f" ({change.low:+.3f} to {change.high:+.3f})"
        rows.append([label(one.name), *arms, f"{change.value:+.3f}{interval}"])
    return rows


def format_effect(figures: Sequence[EffectFigure], warnings: Sequence[str]) -> list[str]:
    """Return the table, and the warnings, as lines for a terminal."""
    return [*align(effect_rows(figures)), *(f"warning: {warning.removeprefix('WARNING: ')}" for warning in warnings)]


def write_effect(
    page: Path,
    title: str,
    said: Said,
    figures: Sequence[EffectFigure],
    examples: Examples,
    details: Mapping[str, str],
    warnings: Sequence[str],
) -> None:
    """Write ``effect.csv``, ``repetitions.csv``, ``predictions.csv`` and, last, the page.

    Parameters
    ----------
    page
        Its path; the tables go beside it.
    title
        What was measured on what.
    said, figures
        What both arms said, and what that comes to.
    examples
        Patches that the step changed most.
    details, warnings
        How it was measured, and what a reader must know.
    """
    folder = page.parent
    write_table(folder / "effect.csv", COLUMNS, ([one.name, *_numbers(one)] for one in figures))
    write_table(folder / "repetitions.csv", ["repetition", "metric", "without", "with"], _repetitions(figures))
    columns = ["repetition", "patch", "group", "truth", "without", "with"]
    write_table(folder / "predictions.csv", columns, _predictions(said))
    write_whole(page, html_document(title, _body(title, figures, examples, details, warnings)).encode(), durable=False)


def _numbers(one: EffectFigure) -> list[str]:
    pairs = [number for pair in zip(one.means, one.stds, strict=True) for number in pair]
    numbers = [*pairs, one.difference.value, one.difference.low, one.difference.high]
    return ["" if math.isnan(number) else f"{number:.6g}" for number in numbers]


def _repetitions(figures: Sequence[EffectFigure]) -> Iterator[list[object]]:
    for one in figures:
        for number, pair in enumerate(one.values.T.tolist(), 1):
            yield [number, one.name, *(f"{value:.6g}" for value in pair)]


def _predictions(said: Said) -> Iterator[list[object]]:
    """Yield what both arms said; classes are numbers, in the order of their names, patches in that of the source."""
    for number, tested in enumerate(said.tested):
        for row in np.flatnonzero(tested).tolist():
            yield [number + 1, row, said.groups[row], said.truth[row], *said.predicted[:, number, row].tolist()]


def _body(
    title: str,
    figures: Sequence[EffectFigure],
    examples: Examples,
    details: Mapping[str, str],
    warnings: Sequence[str],
) -> str:
    rows = effect_rows(figures)
    table = f'<div class="wide">{figures_table(rows, figures=len(rows[0]) - 1)}</div>'
    parts = [f"<h1>{escape(title)}</h1>", warnings_box(warnings), table, details_table(details)]
    return "\n".join([*parts, _strip(examples)])


def _strip(examples: Examples) -> str:
    """Return the examples as a picture: before above, after below."""
    if not examples:
        return ""
    size = (EXAMPLE_PX, EXAMPLE_PX)
    pairs = [[cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in pair] for pair in examples]
    strip = np.concatenate([np.concatenate(pair) for pair in pairs], axis=1)
    _, png = cv2.imencode(".png", strip[..., ::-1])
    told = "Patches that the step changed most: above as they are, below after it"
    return f"<figure>{embedded_picture(png.tobytes(), 'png', told)}<figcaption>{told}</figcaption></figure>"
