"""``wsi-patches infer``."""

from __future__ import annotations

import json
from typing import Any

import click

from wsi_patches.cli.help import HelpfulCommand, examples
from wsi_patches.cli.options import (
    PATH,
    as_paths,
    existing_options,
    group_options,
    output_options,
    read_command_recipe,
    shard_option,
    work_options,
)
from wsi_patches.cli.progress import progress_lines
from wsi_patches.cli.suggestions import DEVICES, models, words
from wsi_patches.cli.summary import INTERRUPTED, finish, leave_now
from wsi_patches.outcome import Outcome, SlideReport
from wsi_patches.recipe import settings_from

__all__ = ["command"]

EPILOG = examples(
    "wsi-patches infer slide.tif -o counts/",
    "wsi-patches infer slides/ -o counts/ --model blasts/weights.safetensors --tta 4 --json",
    "wsi-patches infer slides/ -o counts/ --method patches --model counter.safetensors",
    "wsi-patches infer slide.tif -o reviewed/ --annotations corrected/",
)


@click.command("infer", cls=HelpfulCommand, epilog=EPILOG)
@click.argument("inputs", nargs=-1, type=click.Path(readable=False), metavar="INPUT...")
@click.option("-o", "--out", type=PATH, metavar="DIR", help="The folder to write; needed, here or in the recipe.")
@click.option(
    "--model",
    metavar="NAME|FILE",
    shell_complete=models("classifier"),
    help="What tells blasts, by the method's kind.  [default: none, white cells only]",
)
@click.option(
    "--method",
    type=click.Choice(["cells", "patches", "detector"]),
    help="Find cells and classify each; or count patch by patch; or find boxes of each class.  [default: cells]",
)
@click.option(
    "--ensemble",
    multiple=True,
    metavar="NAME|FILE",
    shell_complete=models("classifier"),
    callback=lambda _context, _option, names: names or None,
    help="A further classifier, whose probabilities are averaged with the model's; may be repeated.  [default: none]",
)
@click.option(
    "--tta",
    type=int,
    metavar="1|2|4|8",
    shell_complete=words("1", "2", "4", "8"),
    help="In how many mirrored and turned views each cell is classified.  [default: 1]",
)
@click.option(
    "--overlap",
    type=float,
    metavar="SHARE",
    help="By `--method patches`: share of a patch that its neighbour repeats, 0 to below 1.  [default: 0]",
)
@click.option(
    "--patch-calibration",
    type=PATH,
    metavar="FILE.json",
    help="How many blasts a positive patch means, for a model that says only whether a patch has one.  "
    "[default: none, a rate of positive patches is given]",
)
@click.option(
    "--finder",
    metavar="NAME|FILE",
    shell_complete=models("finder", "classical"),
    help="What finds white cells: a learned finder, or `classical`, which needs no weights.  [default: white-cells]",
)
@click.option(
    "--device",
    metavar="auto|cpu|cuda|cuda:N",
    shell_complete=words(*DEVICES),
    help="Where the networks run; slides are dealt out where there are several GPUs.  [default: auto]",
)
@click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "bf16"]),
    help="Arithmetic of the networks: bf16 is faster where the hardware has it.  [default: auto]",
)
@click.option(
    "--backend",
    type=click.Choice(["torch", "openvino", "onnx"]),
    help="What runs the classifier, of cells or of patches; all but torch are extras.  [default: torch]",
)
@click.option(
    "--compile",
    is_flag=True,
    default=None,
    help="Let torch.compile speed the classifier up: half a minute once, for long runs.",
)
@click.option(
    "--batch-size", type=int, metavar="N", help="Cells or patches that are classified at a time.  [default: measured]"
)
@click.option(
    "--sharpen",
    type=float,
    metavar="SCORE",
    help="Sharpen a cell's patch before it is classified if its focus score is above this.  [default: none]",
)
@click.option(
    "--annotations",
    type=PATH,
    metavar="DIR",
    help="Count the cells that a person marked or corrected: files named as the slides, such as QuPath's GeoJSON.  "
    "[default: none, cells are found]",
)
@click.option(
    "--annotations-format",
    type=click.Choice(["geojson", "dicom"]),
    help="What cells are written as; dicom: beside GeoJSON, for slides in DICOM (an extra).  [default: geojson]",
)
@group_options
@click.option(
    "--group-by",
    type=click.Choice(["auto", "patient", "slide", "none"]),
    help="What groups.csv takes together: fields of a slide, slides of a patient.  [default: auto, what is known]",
)
@click.option("--dry-run", is_flag=True, help="Say what would be done.")
@existing_options
@shard_option
@work_options
@output_options
def command(
    inputs: tuple[str, ...],
    recipe: str | None,
    dry_run: bool,
    as_json: bool,
    strict: bool,
    quiet: bool,
    verbose: bool,
    **options: Any,
) -> None:
    """Count the white cells of slides, and their blasts where a model can tell them.

    INPUT is a slide, a folder of slides, a dataset's folder, or a store. Writes counts.csv with one row a slide, and
    for each slide its cells (CSV, GeoJSON), a picture and a page; report.html over all slides; groups.csv where
    patients or slides of several fields are known; types.csv where the model tells types of cells. With --json each
    slide's report is a line as soon as the slide is done, and the last line is the summary. For research use only,
    never a diagnosis.
    """
    from wsi_patches.workflows.infer import infer
    from wsi_patches.workflows.infer_settings import InferSettings
    from wsi_patches.workflows.leading import Watch

    flags = {"inputs": as_paths(inputs), **options}
    settings = settings_from(InferSettings, flags, read_command_recipe(recipe, "infer"), recipe or "infer")
    if dry_run:
        _dry_run(settings)
        return
    try:
        with progress_lines("slides", quiet=quiet or as_json) as watch:
            result = infer(settings, Watch(slide=_print_line) if as_json else watch)
    except KeyboardInterrupt:
        click.echo("stopped: the slides that are done are in counts.csv; go on with --resume", err=True)
        leave_now(INTERRUPTED)
    groups = [] if result.groups is None else [f"groups: {result.groups}"]
    lines = [*(f"note: {note}" for note in result.notes), f"counts: {result.counts}", *groups]
    summary = {"counts": str(result.counts), "groups": result.groups and str(result.groups), "notes": result.notes}
    finish(result.outcomes, lines, summary, as_json=as_json, strict=strict, quiet=quiet, verbose=verbose)


def _print_line(report: Outcome | SlideReport) -> None:
    assert isinstance(report, SlideReport)
    click.echo(json.dumps(report.to_dict()))


def _dry_run(settings: Any) -> None:
    from wsi_patches.workflows.infer import plan_infer

    plan = plan_infer(settings)
    click.echo(f"slides: {len(plan.tasks)} to count, {len(plan.kept)} kept, {len(plan.failed)} would fail")
    for outcome in plan.failed:
        click.echo(f"would fail: {outcome.slide_id}: {outcome.error}", err=True)
