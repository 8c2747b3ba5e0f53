"""``wsi-patches demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from wsi_patches.cli.help import HelpfulCommand, examples
from wsi_patches.cli.options import PATH, overwrite_option, workers_option
from wsi_patches.cli.run import run_recipe

__all__ = ["command"]


@click.command(
    "demo",
    cls=HelpfulCommand,
    epilog=examples("wsi-patches demo -o demo-out", "wsi-patches demo -o demo-out --slide-px 4096 --overwrite"),
)
@click.option(
    "-o", "--out", type=PATH, default=Path("demo-out"), show_default=True, metavar="DIR", help="The folder to write."
)
@workers_option
@click.option("--slide-px", type=int, metavar="PX", help="Side of the painted slide, in its pixels.  [default: 8192]")
@overwrite_option
def command(**flags: Any) -> None:
    """Paint three slides, cut them into patches, count their blasts, and say how near the truth that came."""
    run_recipe("demo", flags)
