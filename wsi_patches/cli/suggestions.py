"""What the shell offers at the tabulator key; none of it may load what is heavy, so some names are held here as words.

A test compares these words with the tables that they stand for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import click
from click.shell_completion import CompletionItem

from wsi_patches.recipe import find_shipped

__all__ = ["COLOURS", "DEVICES", "ENCODERS", "READERS", "Suggest", "models", "recipes", "words", "words_or_files"]

Suggest = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]
"""What click calls with the letters that are there."""

READERS = ("auto", "openslide", "tifffile", "image", "ome-zarr")
COLOURS = ("reinhard", "macenko", "comprehensive")
ENCODERS = ("lite0", "lite0-map")
DEVICES = ("auto", "cpu", "cuda")


def words(*known: str) -> Suggest:
    """Return what offers these words."""
    return lambda _context, _parameter, begun: _begun(known, begun)


def words_or_files(*known: str) -> Suggest:
    """Return what offers these words, and files where no word begins as asked."""
    return lambda _context, _parameter, begun: _begun_or_files(known, begun)


def recipes(context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Offer the shipped recipes of the command that is typed (``run`` takes all), and files."""
    asked = "" if context.command.name == "run" else f"command: {context.command.name}\n"
    shipped = sorted(find_shipped("configs").glob("*.yaml"))
    known = [one.stem for one in shipped if asked in one.read_text(encoding="utf-8")]
    return _begun_or_files(known, begun)


def models(kind: str, *more: str) -> Suggest:
    """Return what offers the shipped models of a kind, further words, and files."""

    def suggest(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
        from wsi_patches.models import MODELS

        return _begun_or_files([*(name for name, model in MODELS.items() if model.kind == kind), *more], begun)

    return suggest


def _begun(known: Iterable[str], begun: str) -> list[CompletionItem]:
    return [CompletionItem(word) for word in known if word.startswith(begun)]


def _begun_or_files(known: Iterable[str], begun: str) -> list[CompletionItem]:
    return _begun(known, begun) or [CompletionItem(begun, type="file")]
