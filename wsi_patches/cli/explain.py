"""``wsi-patches explain``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wsi_patches.cli.help import HelpfulCommand, examples
from wsi_patches.cli.options import (
    PATH,
    as_paths,
    device_option,
    draws_option,
    group_options,
    json_option,
    overwrite_option,
    quiet_option,
    read_command_recipe,
    recipe_option,
    seed_option,
    target_option,
)
from wsi_patches.cli.progress import progress_bar
from wsi_patches.cli.suggestions import ENCODERS, models, words_or_files
from wsi_patches.recipe import settings_from

if TYPE_CHECKING:
    from wsi_patches.workflows.explain import Explained

__all__ = ["command"]

EPILOG = examples(
    "wsi-patches explain field.png --model weights.safetensors --reference cells.zarr -o explained/",
    "wsi-patches explain cells.zarr --encoder lite0 --reference cells.zarr -o measured/ -k 5",
    "wsi-patches explain counts/ --model weights.safetensors --reference cells.zarr -o of-a-slide/ --show 12",
)


def _paths(_context: click.Context, _option: click.Parameter, values: tuple[Path, ...]) -> tuple[Path, ...] | None:
    return as_paths(tuple(map(str, values)))


@click.command("explain", cls=HelpfulCommand, epilog=EPILOG)
@click.argument("queries", type=PATH, nargs=-1, metavar="QUERY...", callback=_paths)
@click.option("-o", "--out", type=PATH, metavar="DIR", help="The folder to write; needed, here or in the recipe.")
@click.option(
    "--reference",
    type=PATH,
    multiple=True,
    metavar="STORE|FOLDER",
    callback=_paths,
    help="The known patches: a labelled store, or pictures in folders named as their classes; may be given again; "
    "needed, here or in the recipe.",
)
@click.option(
    "--model",
    metavar="NAME|FILE",
    shell_complete=models("classifier"),
    help="The classifier that describes the patches; this or --encoder is needed.  [default: none]",
)
@click.option(
    "--encoder",
    metavar="NAME|FILE",
    shell_complete=words_or_files(*ENCODERS),
    help="A frozen encoder instead.  [default: none]",
)
@click.option("-k", "--k", type=int, metavar="N", help="How many neighbours, 1 or more.  [default: 3]")
@click.option(
    "--tie",
    type=click.Choice(["abstain", "nearest", "boyer_moore"]),
    help="What is said where no class has more than half of the votes: nothing, what the nearest is, or as DSS-XAI's "
    "released code, which of three that differ takes the farthest.  [default: abstain]",
)
@click.option(
    "--space",
    type=click.Choice(["logits", "embedding"]),
    help="Where distances are measured.  [default: logits of a model, embedding of an encoder]",
)
@click.option(
    "--cam",
    type=click.Choice(["rgrad", "grad", "none"]),
    help="Maps of where two patches are alike: RGrad-CAM, Grad-CAM, or none, also for networks without such maps.  "
    "[default: rgrad]",
)
@click.option(
    "--pool",
    type=click.Choice(["gap", "gmp"]),
    help="What a place stands for in maps of all places: its share of the average, or each channel's largest value "
    "where it lies.  [default: gap]",
)
@click.option("--map", type=click.Choice(["tsne", "umap", "none"]), help="How the latent map is made.  [default: tsne]")
@click.option("--show", type=int, metavar="N", help="Queries on the page; all are in explanations.csv.  [default: 24]")
@click.option(
    "--approximate-above",
    type=int,
    metavar="N",
    help="Known patches above which an approximate index is searched.  [default: 50000]",
)
@target_option
@click.option(
    "--cell-diameters",
    type=float,
    metavar="N",
    help="Of counts and an encoder: side of the patch around a cell, in cell diameters.  [default: 2]",
)
@device_option
@group_options
@draws_option
@seed_option
@recipe_option
@overwrite_option
@json_option
@quiet_option
def command(recipe: str | None, as_json: bool, quiet: bool, **options: Any) -> None:
    """Show the most similar known patches of each QUERY, where they are alike, where it lies, and what they vote for.

    QUERY is a picture or a folder of them, a store, or what infer wrote, whose cells are asked about. Neighbours are
    never of the query's own slide, picture or patient. Where the queries' classes are known it says how often
    neighbours share them, against chance and against colour alone. Writes explained.html, explanations.csv and
    explanations.json. A help to look, no diagnosis.
    """
    from wsi_patches.workflows.explain import explain
    from wsi_patches.workflows.explain_settings import ExplainSettings

    settings = settings_from(ExplainSettings, options, read_command_recipe(recipe, "explain"), recipe or "explain")
    with progress_bar("patches, then queries", quiet=quiet or as_json) as progress:
        done = explain(settings, progress)
    if as_json:
        click.echo(_as_json(done))
    elif not quiet:
        _tell(done)


def _tell(done: Explained) -> None:
    from wsi_patches.workflows.explain_files import agreement_rows

    silent = sum(not one.vote for one in done.answers)
    click.echo(f"{len(done.answers)} queries, of which the neighbours of {silent} abstain")
    for name, share, interval in agreement_rows(done.agreement):
        click.echo(f"{name:<45} {share:>12}  {interval}")
    for note in done.notes:
        click.echo(f"note: {note}")
    click.echo(f"table: {done.table}")
    click.echo(f"page: {done.page}")


def _as_json(done: Explained) -> str:
    from wsi_patches.workflows.explain_files import agreement_values

    return json.dumps(
        {
            "page": str(done.page),
            "table": str(done.table),
            "queries": len(done.answers),
            "abstained": sum(not one.vote for one in done.answers),
            "agreement": agreement_values(done.agreement),
            "notes": list(done.notes),
        },
        indent=1,
    )
