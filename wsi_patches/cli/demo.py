"""``wsi-patches demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from wsi_patches.cli.options import existing_options
from wsi_patches.cli.run import run_recipe

__all__ = ["command"]


@click.command("demo", epilog="Example:  wsi-patches demo -o demo-out")
@click.option("-o", "--out", type=Path, default=Path("demo-out"), show_default=True, metavar="DIR")
@click.option("--workers", type=int, metavar="N", help="How many at a time.  [default: all processors]")
@click.option("--slide-px", type=int, metavar="PX", help="Side of the painted slide.  [default: 8192]")
@existing_options
def command(**flags: Any) -> None:
    """Paint three slides, cut them into patches, count their blasts, and say how near the truth that came."""
    run_recipe("demo", flags)
