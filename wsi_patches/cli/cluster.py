"""``wsi-patches cluster``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from wsi_patches.cli.help import HelpfulCommand, examples
from wsi_patches.cli.options import (
    PATH,
    device_option,
    json_option,
    overwrite_option,
    quiet_option,
    read_command_recipe,
    recipe_option,
    seed_option,
)
from wsi_patches.cli.progress import progress_bar
from wsi_patches.cli.suggestions import ENCODERS, words, words_or_files
from wsi_patches.recipe import settings_from

__all__ = ["command"]

FLAGS = {"clusters": "clusters", "first": "start", "half_life": "half_life", "seed": "seed"}
"""Options that stand for settings of a recipe's ``stream``."""


@click.command(
    "cluster",
    cls=HelpfulCommand,
    epilog=examples(
        "wsi-patches cluster cells.zarr -o clusters/",
        "wsi-patches cluster cells.zarr -o clusters/ --order dates.csv --clusters 6",
        "wsi-patches cluster cells.zarr -o clusters/ --recipe adnf",
    ),
)
@click.argument("store", type=PATH, required=False)
@click.option("-o", "--out", type=PATH, metavar="DIR", help="The folder to write; needed, here or in the recipe.")
@click.option(
    "--encoder",
    metavar="NAME|FILE.yaml",
    shell_complete=words_or_files(*ENCODERS),
    help="Whose features are clustered; a file describes one of your own.  [default: lite0, of ImageNet]",
)
@device_option
@click.option(
    "--order",
    type=PATH,
    metavar="FILE.csv",
    help="When each slide arrives: a column image and a column time, order or date.  [default: the store's order]",
)
@click.option("--clusters", type=int, metavar="N", help="How many there are at the start, 2 or more.  [default: 4]")
@click.option("--first", type=int, metavar="N", help="Patches that components and clusters begin with.  [default: 256]")
@click.option(
    "--half-life", type=float, metavar="N", help="Patches after which what a cluster holds counts half. [default: 2000]"
)
@click.option(
    "--target",
    metavar="label|CLASS",
    shell_complete=words("label"),
    help="Labels that the clusters are held against when all is over.  [default: what the store has]",
)
@seed_option
@recipe_option
@overwrite_option
@json_option
@quiet_option
def command(recipe: str | None, as_json: bool, quiet: bool, **options: Any) -> None:
    """Cluster the patches of a STORE as they arrive, with soft memberships and without labels.

    Clusters are merged where there is no gap between them, split where there is one, and fade when nothing comes to
    them any more. clusters.html shows this with a slider, and is written anew while the run goes on; memberships.csv,
    clusters.csv and timeline.csv hold the figures. K-means on all patches at once is measured beside it.
    """
    from wsi_patches.evaluate.tables import align
    from wsi_patches.workflows.cluster import ClusterSettings, cluster_store, figures_rows

    values = read_command_recipe(recipe, "cluster")
    flags = {setting: options.pop(name) for name, setting in FLAGS.items()}
    stream = values.get("stream", {})
    if isinstance(stream, Mapping):  # what is no mapping is refused with the recipe
        values["stream"] = {**stream, **{name: value for name, value in flags.items() if value is not None}}
    settings = settings_from(ClusterSettings, options, values, recipe or "cluster")
    with progress_bar("patches", quiet=quiet or as_json) as progress:
        done = cluster_store(settings, progress)
    if as_json:
        click.echo((settings.out / "figures.json").read_text(encoding="utf-8"))
    elif not quiet:
        for line in (*align(figures_rows(done.figures)), f"living: {done.living}, faded: {done.faded}"):
            click.echo(line)
        click.echo(f"page: {done.page}")
    for warning in () if as_json else done.warnings:
        click.echo(f"warning: {warning}", err=True)
