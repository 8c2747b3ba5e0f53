"""``wsi-patches verify``."""

from __future__ import annotations

from pathlib import Path

import click

from wsi_patches.cli.help import HelpfulCommand, examples
from wsi_patches.cli.options import PATH
from wsi_patches.cli.progress import progress_bar
from wsi_patches.errors import UsageError

__all__ = ["command"]


@click.command("verify", cls=HelpfulCommand, epilog=examples("wsi-patches verify patches.zarr"))
@click.argument("store", type=PATH)
def command(store: Path) -> None:
    """Read every chunk of a STORE against its checksum; exits with 1 if anything is wrong."""
    from wsi_patches.locations import path_of
    from wsi_patches.stores import is_store, verify_store

    store = path_of(store)
    if not is_store(store):
        msg = f"{store} is no store of wsi-patches: give the folder that wsi-patches extract wrote"
        raise UsageError(msg)
    with progress_bar("parts") as progress:
        problems = verify_store(store, progress)
    for problem in problems:
        click.echo(problem, err=True)
    click.echo(f"{store}: {len(problems)} problems" if problems else f"{store}: sound")
    click.get_current_context().exit(1 if problems else 0)
