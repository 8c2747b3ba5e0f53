"""``wsi-patches patients``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wsi_patches.cli.help import HelpfulCommand, examples
from wsi_patches.cli.options import PATH, json_option, overwrite_option, quiet_option, seed_option
from wsi_patches.recipe import settings_from

if TYPE_CHECKING:
    from wsi_patches.workflows.patients import PatientsResult

__all__ = ["command"]


@click.command(
    "patients",
    cls=HelpfulCommand,
    epilog=examples(
        "wsi-patches patients counts/ --model diagnosis/weights.safetensors -o said/",
        "wsi-patches patients counts.csv --model diagnosis/weights.safetensors -o said/ --draws 1000",
    ),
)
@click.argument("source", metavar="COUNTS", type=PATH)
@click.option(
    "--model", type=PATH, required=True, metavar="FILE", help="What wsi-patches train diagnosis wrote; needed."
)
@click.option("-o", "--out", type=PATH, required=True, metavar="DIR", help="The folder to write; needed.")
@click.option("--draws", type=int, metavar="N", help="Of each patient's shares of types.  [default: 200]")
@seed_option
@overwrite_option
@json_option
@quiet_option
def command(as_json: bool, quiet: bool, **options: Any) -> None:
    """Say which label patients with such COUNTS bore, among those that a model learnt from; for research use.

    COUNTS is an output folder of infer with types.csv, or a CSV file with the columns patient and count_TYPE. Counts
    are a sample, and types are taken for each other: the true shares are drawn many times, and patients.csv has the
    mean probability of each label, its 95 % interval, the entropy, and whether the draws disagree too much to say.
    """
    from wsi_patches.workflows.patients import PatientsSettings, say_of_patients

    result = say_of_patients(settings_from(PatientsSettings, options, {}, "patients"))
    if as_json:
        click.echo(json.dumps(_plain(result), indent=1))
    elif not quiet:
        for line in _lines(result):
            click.echo(line)


def _lines(result: PatientsResult) -> Iterator[str]:
    for one in result.patients:
        said, best = one.said, one.said.label
        chance = f"{said.probabilities[best]:.2f} ({said.low[best]:.2f} to {said.high[best]:.2f})"
        label = f"abstains, most like {one.label}" if one.abstains else one.label
        yield f"{one.patient}: {label} {chance}, {one.cells} cells"
    yield from (f"note: {note}" for note in result.notes)
    yield f"table: {Path(result.table)} (for research use)"


def _plain(result: PatientsResult) -> dict[str, Any]:
    patients = [
        {
            "patient": one.patient,
            "cells": one.cells,
            "label": None if one.abstains else one.label,
            "probability": float(one.said.probabilities[one.said.label]),
            "entropy": one.said.entropy,
            "agreement": one.said.agreement,
        }
        for one in result.patients
    ]
    return {"table": str(result.table), "patients": patients, "notes": list(result.notes)}
