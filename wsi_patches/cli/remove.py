"""``wsi-patches remove``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from wsi_patches.cli.help import HelpfulCommand, examples
from wsi_patches.cli.options import PATH, json_option, quiet_option
from wsi_patches.cli.progress import progress_bar

__all__ = ["command"]


@click.command(
    "remove",
    cls=HelpfulCommand,
    epilog=examples(
        "wsi-patches remove patches.zarr slide7 --dry-run",
        "wsi-patches remove patches.zarr slide7 slide8",
        note="run.jsonl goes on naming a removed slide, as the log of what was done.",
    ),
)
@click.argument("store", type=PATH)
@click.argument("slides", nargs=-1, required=True, metavar="SLIDE...")
@click.option("--dry-run", is_flag=True, help="Say what would go, and change nothing.")
@click.option("--fsync/--no-fsync", default=True, show_default=True, help="Wait for the disk, against power cuts.")
@json_option
@quiet_option
def command(store: Path, slides: tuple[str, ...], as_json: bool, quiet: bool, **options: Any) -> None:
    """Take slides out of STORE, by their ids, with all that was derived of them.

    Nothing is asked. Patches of other slides are copied as they are; killed at any moment, the same command goes on.
    """
    from wsi_patches.locations import path_of
    from wsi_patches.workflows.remove import RemoveSettings, remove

    with progress_bar("parts", quiet=quiet or as_json) as progress:
        result = remove(RemoveSettings(path_of(store), slides, **options), progress)
    if as_json:
        click.echo(json.dumps(asdict(result)))
    elif not quiet:
        would = "would go" if options["dry_run"] else "removed"
        click.echo(f"{would}: {len(result.slides)} slides, {result.patches} patches")
        click.echo(f"parts:   {result.dropped} dropped, {result.rewritten} written anew")
        click.echo(f"left:    {result.left} patches")
