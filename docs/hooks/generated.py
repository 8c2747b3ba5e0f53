"""Writes into pages, as the site is built, what the program itself knows: options, recipes, model cards.

A page says `<!-- generated: options -->` where a text is to stand, so that it never lags behind the program.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from safetensors import safe_open

from wsi_patches.cli.main import COMMANDS, main
from wsi_patches.models.table import MODELS

ROOT = Path(__file__).parents[2]
CODE_OR_SIGN = re.compile(r"(`[^`]*`)|[|<>&]")
MOST = 12
MARK = re.compile(r"<!-- generated: (\w+) -->")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put what is generated in the place of its mark (mkdocs calls this for each page)."""
    return MARK.sub(lambda found: GENERATED[found[1]](), markdown)


def options() -> str:
    """A section a command: how it is called, what it does, its examples, each option with its unit and default."""
    context = click.Context(main, info_name="wsi-patches")
    return "\n\n".join(command_section(name, main.get_command(context, name)) for name in COMMANDS)


def command_section(name: str, command: click.Command) -> str:
    """One command."""
    context = click.Context(command, info_name=name, parent=click.Context(main, info_name="wsi-patches"))
    usage = f"```text\n{context.command_path} {' '.join(command.collect_usage_pieces(context))}\n```"
    told = inspect.cleandoc(command.help or "").replace("\b\n", "")
    parts = (f"## `{name}`", usage, told, examples(command), option_table(command, context), note(command))
    return "\n\n".join(filter(None, parts))


def examples(command: click.Command) -> str:
    """The command lines in a command's epilog."""
    lines = re.findall(r"^\s*(wsi-patches .*)$", command.epilog or "", flags=re.MULTILINE)
    return "```bash\n" + "\n".join(lines) + "\n```" if lines else ""


def note(command: click.Command) -> str:
    """What a command's epilog says below its examples."""
    return (command.epilog or "").partition("\n\n")[2].replace("\b\n", "")


def option_table(command: click.Command, context: click.Context) -> str:
    """A row an option."""
    asked = [one.get_help_record(context) for one in command.params if isinstance(one, click.Option)]
    rows = tuple(f"| <code>{cell(names)}</code> | {cell(told)} |" for names, told in filter(None, asked))
    return "\n".join(("| option | means |", "|---|---|", *rows)) if rows else ""


def cell(text: str) -> str:
    """Text for a cell of a table: outside of code a bar would begin the next cell, and `<` a tag."""
    return CODE_OR_SIGN.sub(lambda found: found[1] or f"&#{ord(found[0])};", " ".join(text.split()))


def recipes() -> str:
    """A section a recipe: what its comment says, and what it sets."""
    return "\n\n".join(recipe_section(path) for path in sorted((ROOT / "configs").glob("*.yaml")))


def recipe_section(path: Path) -> str:
    """One recipe."""
    lines = path.read_text(encoding="utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if not line.startswith("#"))
    told = [line.removeprefix("#") for line in lines[:start]]
    uses = [line.split("(")[0].strip() for line in re.findall(r"wsi-patches .*", "\n".join(told))]
    prose = " ".join(line.strip() for line in told if "wsi-patches " not in line)
    used = "```bash\n" + "\n".join(uses) + "\n```" if uses else ""
    held = "```yaml\n" + "\n".join(lines[start:]) + "\n```"
    return "\n\n".join(filter(None, (f"### `{path.stem}`", prose, used, held)))


def cards() -> str:
    """A section a shipped model: its card, as the weight file carries it."""
    return "\n\n".join(card_section(name) for name in MODELS)


def card_section(name: str) -> str:
    """One model."""
    model = MODELS[name]
    with safe_open(model.path, "np") as weights:
        card = json.loads(weights.metadata()["card"])
    said = ((key, told(value)) for key, value in card.items() if key != "name" and value not in (None, "", [], {}))
    rows = [("file", f"`{model.file}`, sha256 `{model.sha256}`"), *said]
    body = "\n".join(f"| {key} | {cell(value)} |" for key, value in rows)
    return f"## `{name}`\n\n{model.description}.\n\n| | |\n|---|---|\n{body}"


def told(value: Any) -> str:
    """A value of a card in words; a long table of figures by its size."""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else f"{value:.6g}"
    if isinstance(value, list):
        return ", ".join(map(told, value)) if len(value) <= MOST else f"{len(value)} values, in the file"
    if isinstance(value, dict):
        return "; ".join(f"{key}: {told(one)}" for key, one in value.items())
    return str(value)


GENERATED: dict[str, Callable[[], str]] = {"options": options, "recipes": recipes, "cards": cards}
