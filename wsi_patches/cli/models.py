"""``wsi-patches models``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from textwrap import fill
from typing import TYPE_CHECKING

import click

from wsi_patches.cli.help import HelpfulCommand, examples
from wsi_patches.cli.options import json_option

if TYPE_CHECKING:
    from wsi_patches.models.published import PublishedSystem

__all__ = ["command"]

TOLD = ("paper", "doi", "parameters", "input", "normalisation", "classes", "data", "reported", "changed", "licence")
WIDTH = 120


@click.command("models", cls=HelpfulCommand, epilog=examples("wsi-patches models", "wsi-patches models histotnet"))
@click.argument("name", required=False)
@json_option
def command(name: str | None, as_json: bool) -> None:
    """List the models that come with the package, and the published systems that recipes train.

    With a NAME, all that is known of that one. No classifier is ever used unless it is named.
    """
    from wsi_patches.models import MODELS
    from wsi_patches.models.published import published_systems

    systems = {card.name: card for card in published_systems()}
    if name is not None and name not in systems and name not in MODELS:
        msg = f"no model or system {name!r}: choose from {', '.join((*MODELS, *systems))}"
        raise click.UsageError(msg)
    shipped = [one for one in MODELS if name in (None, one)]
    chosen = [card for card in systems.values() if name in (None, card.name)]
    if as_json:
        models = {one: {"kind": MODELS[one].kind, "sha256": MODELS[one].sha256} for one in shipped}
        click.echo(json.dumps({"models": models, "systems": [asdict(card) for card in chosen]}, indent=1))
        return
    lines = _in_short(chosen) if name is None else _in_full(chosen)
    for one in shipped:
        click.echo(f"{one} ({MODELS[one].kind})\n  {MODELS[one].description}\n  SHA-256 {MODELS[one].sha256}")
    for line in lines:
        click.echo(line)


def _in_short(systems: list[PublishedSystem]) -> Iterator[str]:
    yield "\nPUBLISHED SYSTEMS, for wsi-patches train RECIPE; no weights come with them"
    for card in systems:
        yield f"{card.name}\n{_indented(card.title)}"
        if card.recipes:
            yield f"  recipes: {', '.join(card.recipes)}"


def _in_full(systems: list[PublishedSystem]) -> Iterator[str]:
    for card in systems:
        yield f"{card.name}: {card.title}"
        for key in TOLD:
            if getattr(card, key):
                yield _indented(f"{key}: {getattr(card, key)}")
        for key in ("networks", "recipes"):
            yield f"  {key}: {', '.join(getattr(card, key)) or 'none of its own'}"


def _indented(text: str) -> str:
    return fill(text, WIDTH, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)
