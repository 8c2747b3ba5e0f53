"""A picture of a selection of features: how many are kept, and what they reach, generation by generation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from wsi_patches.errors import needs_extra
from wsi_patches.html_page import line_styles
from wsi_patches.stores.files import replacing

__all__ = ["draw_selection"]

DPI = 120


def draw_selection(path: Path, searches: Mapping[str, Sequence[tuple[int, float]]], of_all: int) -> None:
    """Draw the features kept, and their score within the training folds, over the generations of each search, as PNG.

    Parameters
    ----------
    path
        Of the PNG.
    searches
        By name: after each generation the features kept and their balanced accuracy, 0 to 1.
    of_all
        How many features there are.

    Raises
    ------
    MissingExtra
        matplotlib is not installed.
    """
    with needs_extra("train", "the picture of a selection"):
        from matplotlib.figure import Figure
    figure = Figure(figsize=(7, 6), dpi=DPI, layout="constrained")
    figure.suptitle(f"Features kept of {of_all}, within the training folds", fontsize=11)
    top, bottom = figure.subplots(2, 1, sharex=True)
    for (name, history), style in zip(searches.items(), line_styles(len(searches)), strict=True):
        generations, marker = range(1, len(history) + 1), "o" if len(history) == 1 else ""
        top.plot(generations, [score for _, score in history], **style, marker=marker, label=name)
        bottom.plot(generations, [kept for kept, _ in history], **style, marker=marker)
    top.set(ylabel="balanced accuracy, best so far")
    bottom.set(xlabel="generation", ylabel="features kept")
    bottom.locator_params(integer=True)
    for text in top.legend(fontsize=8, handlelength=4, loc="lower right").get_texts():
        text.set_parse_math(False)
    with replacing(path) as partial:
        figure.savefig(partial, format="png")
