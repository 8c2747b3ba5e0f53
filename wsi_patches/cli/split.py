"""``wsi-patches split``."""

from __future__ import annotations

import json
from typing import Any

import click

from wsi_patches.cli.help import HelpfulCommand, examples
from wsi_patches.cli.options import (
    PATH,
    group_options,
    json_option,
    overwrite_option,
    quiet_option,
    read_command_recipe,
    recipe_option,
    seed_option,
)
from wsi_patches.cli.progress import progress_bar
from wsi_patches.cli.suggestions import words_or_files
from wsi_patches.recipe import settings_from

__all__ = ["command"]

EPILOG = examples(
    "wsi-patches split patches.zarr -o folds/ --folds 5",
    "wsi-patches split slides/ -o split/ --shares 0.7/0.15/0.15 --group-table patients.csv",
    "wsi-patches split C-NMC/ -o checked/ --use published",
)
SHARES = ("train", "validation", "test")


@click.command("split", cls=HelpfulCommand, epilog=EPILOG)
@click.argument("source", type=PATH, required=False, metavar="STORE|FOLDER")
@click.option(
    "-o", "--out", type=PATH, metavar="DIR", help="Where split.csv and leaks.csv go; needed, here or in the recipe."
)
@click.option("--folds", type=int, metavar="K", help="How many folds, 2 or more.  [default: 5]")
@click.option(
    "--shares",
    metavar="A/B[/C]",
    help="Instead: shares of train, validation and test (of two: train and test), 0 to 1 each, such as 0.7/0.15/0.15.  "
    "[default: none, folds are made]",
)
@click.option(
    "--by",
    type=click.Choice(["patient", "slide", "block", "none"]),
    help="What is kept together; block: neighbours in file-name order, for sets without patients.  [default: patient]",
)
@click.option(
    "--use",
    metavar="FILE.csv|published",
    shell_complete=words_or_files("published"),
    help="Check a split that is there.  [default: none, one is made]",
)
@seed_option
@click.option("--copies/--no-copies", default=None, help="Compare all images across splits.  [default: compare]")
@group_options
@recipe_option
@overwrite_option
@click.option("--strict", is_flag=True, help="Exit with 1 if anything is on both sides.")
@json_option
@quiet_option
def command(recipe: str | None, shares: str | None, strict: bool, as_json: bool, quiet: bool, **options: Any) -> None:
    """Split the slides of a STORE or FOLDER into folds or train, validation and test, whole patients on one side.

    Whatever is on both sides nevertheless is named: shared patients, copies of images (also turned, mirrored or
    recompressed ones), overlapping patches. A store keeps its split.
    """
    from wsi_patches.workflows.split import SplitSettings, split

    flags = {**options, "shares": None if shares is None else _shares(shares)}
    settings = settings_from(SplitSettings, flags, read_command_recipe(recipe, "split"), recipe or "split")
    with progress_bar("images", quiet=quiet or as_json) as progress:
        result = split(settings, progress)
    if as_json:
        summary = {"split": str(result.table), "counts": result.split.counts(), "leaks": result.leaks.found}
        told = {"warnings": list(result.split.warnings), "told": result.leaks.to_lines()}
        click.echo(json.dumps({**summary, **told}, indent=1))
    elif not quiet:
        for line in _told(result):
            click.echo(line)
    for warning in result.split.warnings:
        click.echo(warning, err=True)
    click.get_current_context().exit(1 if strict and result.leaks.found else 0)


def _shares(text: str) -> dict[str, float]:
    try:
        numbers = [float(part) for part in text.split("/")]
    except ValueError:
        numbers = []
    if not 2 <= len(numbers) <= len(SHARES):
        msg = f"--shares takes two or three numbers, such as 0.7/0.15/0.15, found {text!r}"
        raise click.UsageError(msg)
    names = SHARES if len(numbers) == len(SHARES) else ("train", "test")
    return dict(zip(names, numbers, strict=True))


def _told(result: Any) -> list[str]:
    lines = []
    for name, labels in result.split.counts().items():
        shares = ", ".join(f"{count} {label or 'without a label'}" for label, count in labels.items() if count)
        lines.append(f"{name:<12} {sum(labels.values()):6}  ({shares})")
    where = f"{result.table}" + (", and in the store" if result.in_store else "")
    return [*lines, *result.leaks.to_lines(), f"split: {where}"]
