"""The page of a training: its curves, its best epoch, and what it was asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from wsi_patches.errors import needs_extra
from wsi_patches.html_page import details_table, embedded_picture, html_document, line_styles, warnings_box
from wsi_patches.stores.files import write_whole
from wsi_patches.train.logs import Epoch

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_curves", "write_training_page"]

DPI = 120
LOSS = "loss"
"""Figures with this in their names share the axes of the training loss."""


def write_training_page(
    path: Path,
    title: str,
    history: Sequence[Epoch],
    best_epoch: int,
    details: Mapping[str, str],
    warnings: Sequence[str] = (),
) -> None:
    """Write a page that needs nothing beside itself.

    Parameters
    ----------
    path
        An HTML file.
    title
        Plain text.
    history
        The epochs, one at least.
    best_epoch
        The one that was kept, from 1.
    details
        What was trained, on what and how, plain text by name.
    warnings
        What the reader must know, plain text.

    Raises
    ------
    MissingExtra
        matplotlib is not installed.
    """
    best = history[best_epoch - 1]
    figures = {_words(name): f"{value:.4g}" for name, value in best.figures.items()}
    told = {
        "epoch kept": f"{best_epoch} of {len(history)}",
        "mean training loss": f"{best.train_loss:.4g}",
        **figures,
        "time": _duration(sum(epoch.seconds for epoch in history)),
    }
    body = [
        f"<h1>{escape(title)}</h1>",
        warnings_box(warnings),
        "<h2>Epoch that was kept</h2>",
        details_table(told),
        "<h2>Curves</h2>",
        f"<figure>{embedded_picture(draw_curves(history, best_epoch), 'png', 'losses and figures by epoch')}</figure>",
        "<h2>Settings</h2>",
        details_table(details),
    ]
    write_whole(path, html_document(title, "\n".join(body)).encode(), durable=False)


def draw_curves(history: Sequence[Epoch], best_epoch: int) -> bytes:
    """Return a PNG of losses, other figures and the learning rate over the epochs, the kept one marked.

    Raises
    ------
    MissingExtra
        matplotlib is not installed.
    """
    with needs_extra("train", "the training page"):
        from matplotlib.figure import Figure
    epochs = [epoch.epoch for epoch in history]
    columns = {"mean training loss": [epoch.train_loss for epoch in history]}
    for name in history[0].figures:
        columns[_words(name)] = [epoch.figures[name] for epoch in history]
    losses = {name: values for name, values in columns.items() if LOSS in name}
    others = {name: values for name, values in columns.items() if LOSS not in name}
    rates = {"learning rate": [epoch.learning_rate for epoch in history]}
    panels = [one for one in (losses, others, rates) if one]
    figure = Figure(figsize=(8, 2.6 * len(panels)), dpi=DPI, layout="constrained")
    for axes, panel in zip(figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0], panels, strict=True):
        _draw_panel(axes, epochs, panel, best_epoch)
    axes.set_xlabel("epoch")
    return _png(figure)


def _draw_panel(axes: Axes, epochs: Sequence[int], panel: Mapping[str, Sequence[float]], best_epoch: int) -> None:
    axes.axvline(best_epoch, color="0.7", linewidth=3, label="epoch kept")
    marker = "o" if len(epochs) == 1 else ""
    for (name, values), style in zip(panel.items(), line_styles(len(panel)), strict=True):
        axes.plot(epochs, values, **style, marker=marker, label=name)
    axes.locator_params(axis="x", integer=True)
    for text in axes.legend(fontsize=8, handlelength=4, loc="center left", bbox_to_anchor=(1, 0.5)).get_texts():
        text.set_parse_math(False)


def _words(figure: str) -> str:
    """Return what a figure of validation is called on the page."""
    return f"validation {figure.replace('_', ' ')}"


def _png(figure: Figure) -> bytes:
    stream = BytesIO()
    figure.savefig(stream, format="png")
    return stream.getvalue()


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
