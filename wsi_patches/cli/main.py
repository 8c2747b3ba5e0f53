"""The command group; a command's own module is imported only when that command is called."""

from __future__ import annotations

import importlib
from typing import Any

import click

from wsi_patches._version import __version__
from wsi_patches.cli.help import examples
from wsi_patches.errors import UsageError, WsiPatchesError, sentence_of

__all__ = ["COMMANDS", "main"]

SECTIONS: dict[str, dict[str, str]] = {
    "Patches": {
        "extract": "Cut slides into labelled patches and keep them in one store.",
        "preprocess": "Score focus, sharpen and recolour the patches of a store.",
        "export": "Write patches of a store as other trainers read them.",
        "import": "Make a store of patches that lie as single pictures, such as an export.",
        "convert": "Write a store anew in another codec, without loss.",
        "merge": "Copy the patches of several stores into one, as they are coded.",
        "remove": "Take slides out of a store, with all that was derived of them.",
    },
    "Counts": {
        "infer": "Count the white cells, and with a model the blasts, of slides.",
        "bags": "Say the label of each slide or patient by its patches, and show which counted.",
        "patients": "Say which label patients with such counts bore, and how sure that is.",
    },
    "Models and figures": {
        "split": "Split slides for training and measuring, and name what is on both sides.",
        "train": "Train a model from a recipe.",
        "evaluate": "Measure counts, a model or predictions, with intervals over patients.",
        "probe": "Say how far frozen features and colour alone tell the classes of a store.",
        "effect": "Say what a preprocessing step does for a classifier, with and without it.",
        "cluster": "Cluster the patches of a store as they arrive, without labels.",
        "explain": "Show the most similar known patches of a query, and where they are alike.",
        "caption": "Say in words what patches look like, by a captioner on this machine.",
        "models": "List the models that come with the package.",
    },
    "Work": {
        "demo": "Paint three slides, count their blasts, and show where the pictures are.",
        "run": "Run a recipe: a pipeline or a command with its settings.",
        "status": "Say what a run has come to, while it runs and afterwards.",
        "completion": "Let the shell complete commands, options, names and files.",
    },
    "Look": {
        "inspect": "Say what a slide, a folder or a store is.",
        "verify": "Read a whole store against its checksums.",
    },
}
"""Headings of `--help`, and under each the commands in the order of use."""
COMMANDS = {name: told for section in SECTIONS.values() for name, told in section.items()}
"""Each is the function ``command`` in its module of the same name."""
WIDTH = max(map(len, COMMANDS))
"""So that the sentences of all sections stand in one column."""

FAILED, USAGE = 1, 2
EPILOG = examples(
    "wsi-patches demo -o demo-out",
    "wsi-patches extract slides/ -o patches.zarr --patch-size 256 --overlap 0.25",
    "wsi-patches infer slide.tif -o counts/",
    "wsi-patches export patches.zarr -o folders/ --format imagefolder",
    note="Each command has --help with examples. For research use only, never a diagnosis.",
)


class Commands(click.Group):
    """Commands that are loaded when they are called, so that `--help` is there at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names in the order of use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        name = f"{cmd_name}_" if cmd_name in ("import", "inspect") else cmd_name
        command: click.Command = getattr(importlib.import_module(f"wsi_patches.cli.{name}"), "command")  # noqa: B009
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands without importing any of them."""
        for heading, commands in SECTIONS.items():
            with formatter.section(heading):
                formatter.write_dl([(f"{name:<{WIDTH}}", told) for name, told in commands.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; an error of ours becomes one sentence and an exit code, never a traceback."""
        try:
            return super().invoke(ctx)
        except UsageError as error:
            click.echo(f"Error: {error}", err=True)
            ctx.exit(USAGE)
        except (WsiPatchesError, OSError) as error:  # OSError: a full disk, a folder that is not ours to write
            click.echo(f"Error: {sentence_of(error)}", err=True)
            ctx.exit(FAILED)
        except KeyboardInterrupt:
            again = "go on with --resume" if self._resumes(ctx) else "give the same command again"
            click.echo(f"Stopped. What is complete stays; {again}.", err=True)
            ctx.exit(130)

    def _resumes(self, ctx: click.Context) -> bool:
        """Return whether the command that runs knows ``--resume``."""
        command = self.get_command(ctx, ctx.invoked_subcommand or "")
        return command is not None and any(one.name == "resume" for one in command.params)


@click.command(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog=EPILOG,
)
@click.version_option(__version__, prog_name="wsi-patches")
def main() -> None:
    """Slides of blood into labelled patches and counts of leukemic blasts."""
