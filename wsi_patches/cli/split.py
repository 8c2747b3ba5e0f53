"""``wsi-patches split``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from wsi_patches.cli.options import group_options, read_command_recipe
from wsi_patches.cli.progress import progress_bar
from wsi_patches.recipe import settings_from

__all__ = ["command"]

EPILOG = """Examples:  wsi-patches split patches.zarr -o folds/ --folds 5

wsi-patches split C-NMC/ -o checked/ --use published"""
SHARES = ("train", "validation", "test")


@click.command("split", epilog=EPILOG)
@click.argument("source", type=Path, required=False, metavar="STORE|FOLDER")
@click.option("-o", "--out", type=Path, metavar="DIR", help="Where split.csv and leaks.csv go.")
@click.option("--folds", type=int, metavar="K", help="How many folds.  [default: 5]")
@click.option(
    "--shares", metavar="A/B[/C]", help="Instead: shares of train, validation and test, such as 0.7/0.15/0.15."
)
@click.option(
    "--by",
    type=click.Choice(["patient", "slide", "block", "none"]),
    help="What is kept together; block: neighbours in file-name order, for sets without patients.  [default: patient]",
)
@click.option("--use", metavar="FILE.csv|published", help="Check a split that is there, instead of making one.")
@click.option("--seed", type=int, metavar="N", help="Equal seeds give equal splits.  [default: 0]")
@click.option("--copies/--no-copies", default=None, help="Compare all images across splits.  [default: compare]")
@group_options
@click.option("--recipe", metavar="FILE", help="YAML file with any of these options; options given here win over it.")
@click.option("--overwrite", is_flag=True, default=None, help="Replace a split that is there.")
@click.option("--strict", is_flag=True, help="Exit with 1 if anything is on both sides.")
@click.option("--json", "as_json", is_flag=True, help="Print a machine-readable summary on stdout.")
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
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
