"""``wsi-patches inspect``."""

from __future__ import annotations

import json
from pathlib import Path

import click

__all__ = ["command"]


@click.command("inspect", epilog="Example:  wsi-patches inspect patches.zarr")
@click.argument("path", type=Path)
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def command(path: Path, as_json: bool) -> None:
    """Say what a slide, a folder of slides, a dataset's folder or a store at PATH is."""
    from wsi_patches.workflows.inspect import describe

    facts = describe(path)
    if as_json:
        click.echo(json.dumps(facts, indent=1))
        return
    for name, value in facts.items():
        lines = value if isinstance(value, list) else [value]
        for line in lines or ["none"]:
            click.echo(f"{name:<14} {line}")
            name = ""
