"""``wsi-patches completion``."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from wsi_patches.cli.help import HelpfulCommand, examples

__all__ = ["command"]

NAME = "wsi-patches"
VARIABLE = "_WSI_PATCHES_COMPLETE"
"""What click looks for in the environment of a program of this name."""
EPILOG = examples(
    "wsi-patches completion bash > ~/.local/share/bash-completion/completions/wsi-patches",
    "wsi-patches completion zsh > ~/.zfunc/_wsi-patches",
    "wsi-patches completion fish > ~/.config/fish/completions/wsi-patches.fish",
    note="bash needs version 4.4 and its package bash-completion; without that package, put "
    "'source <(wsi-patches completion bash)' into ~/.bashrc. zsh needs 'fpath+=~/.zfunc' before compinit in ~/.zshrc. "
    "It works in shells that are opened afterwards.",
)


@click.command("completion", cls=HelpfulCommand, epilog=EPILOG)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print what lets a SHELL complete commands, options, choices, names of models and recipes, and files."""
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(click.get_current_context().find_root().command, {}, NAME, VARIABLE).source(), nl=False)
