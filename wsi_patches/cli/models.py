"""``wsi-patches models``."""

from __future__ import annotations

import click

from wsi_patches.cli.help import HelpfulCommand, examples

__all__ = ["command"]


@click.command("models", cls=HelpfulCommand, epilog=examples("wsi-patches models"))
def command() -> None:
    """List the models that come with the package; no classifier is ever used unless it is named."""
    from wsi_patches.models import MODELS

    for name, model in MODELS.items():
        click.echo(f"{name} ({model.kind})\n  {model.description}\n  SHA-256 {model.sha256}")
