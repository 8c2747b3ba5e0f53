"""``wsi-patches inspect``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from wsi_patches.cli.help import HelpfulCommand, examples
from wsi_patches.cli.options import PATH, as_names, json_option
from wsi_patches.cli.progress import progress_bar
from wsi_patches.cli.suggestions import READERS, words

__all__ = ["command"]

EPILOG = examples(
    "wsi-patches inspect slide.svs",
    "wsi-patches inspect patches.zarr --json",
    "wsi-patches inspect slide.svs --image macro -o macro.png",
    note="Scanners keep pictures of the label and of the whole glass beside a slide. They may name the patient: they "
    "are listed, and read only by --image NAME -o FILE.png.",
)


@click.command("inspect", cls=HelpfulCommand, epilog=EPILOG)
@click.argument("path", type=PATH)
@json_option
@click.option(
    "--reader",
    metavar="NAME",
    shell_complete=words(*READERS),
    callback=lambda _context, _option, name: None if name == "auto" else name,
    help="Force a reader.  [default: auto, by the file's content]",
)
@click.option("--channels", metavar="A[,B[,C]]", help="Of fluorescence, the channels to show.  [default: none]")
@click.option(
    "--image", metavar="NAME", help="Write one of the pictures beside the slide, such as macro.  [default: none]"
)
@click.option("-o", "--out", type=PATH, metavar="FILE.png", help="Where to write it, with --image only.")
def command(
    path: Path, as_json: bool, reader: str | None, channels: str | None, image: str | None, out: Path | None
) -> None:
    """Say what a slide, a folder of slides, a dataset's folder or a store at PATH is."""
    from wsi_patches.slide import ReadOptions
    from wsi_patches.workflows.inspect import describe, write_picture

    if (image is None) != (out is None):
        msg = "--image NAME and -o FILE.png belong together: which picture, and where to write it"
        raise click.UsageError(msg)
    if image is not None and out is not None:
        write_picture(path, image, out)
        return
    with progress_bar("images", quiet=as_json) as progress:
        facts = describe(path, ReadOptions(reader=reader, channels=as_names(channels) or ()), progress)
    if as_json:
        click.echo(json.dumps(facts, indent=1))
        return
    for name, value in facts.items():
        lines = value if isinstance(value, list) else [value]
        for line in lines or ["none"]:
            click.echo(f"{name:<14} {line}")
            name = ""
