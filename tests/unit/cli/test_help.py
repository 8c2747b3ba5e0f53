"""Help says what each option means, in which unit and by default; examples and documented commands are real ones."""

import re
import shlex
from importlib import import_module

import click
import pytest

from tests.conftest import ROOT
from wsi_patches.cli.help import HEADINGS, SHORT
from wsi_patches.cli.main import COMMANDS, SECTIONS, main

SETTINGS = {
    "extract": ("extract", "ExtractSettings"),
    "preprocess": ("preprocess", "PreprocessSettings"),
    "export": ("export", "ExportSettings"),
    "infer": ("infer_settings", "InferSettings"),
    "split": ("split", "SplitSettings"),
    "evaluate": ("evaluate_settings", "EvaluateSettings"),
    "probe": ("probe", "ProbeSettings"),
    "explain": ("explain_settings", "ExplainSettings"),
    "effect": ("effect_settings", "EffectSettings"),
}
DEFAULT = re.compile(r"\[default: (.+?)\]")
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))


def command_of(name):
    return main.get_command(click.Context(main), name)


def options_of(name):
    return [one for one in command_of(name).params if isinstance(one, click.Option)]


def parse(line):
    """Parse a command line as far as its command would be called."""
    words = shlex.split(line, comments=True)
    words = words[: words.index(">")] if ">" in words else words
    assert words[0] == "wsi-patches"
    if words[1:] in (["--help"], ["--version"]):
        return
    with main.make_context("wsi-patches", [words[1]], resilient_parsing=True) as context:
        command_of(words[1]).make_context(words[1], words[2:], parent=context)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_what_it_means_and_what_holds_without_it(name):
    for option in options_of(name):
        assert option.help, option.name
        if option.is_flag or option.required:
            continue
        says_default = DEFAULT.search(option.help) or option.show_default
        assert says_default or "needed" in option.help or "with --image only" in option.help, option.name
        if isinstance(option.type, click.types.IntParamType | click.types.FloatParamType):
            assert option.metavar, option.name


@pytest.mark.parametrize("name", SETTINGS)
def test_a_default_that_help_names_is_the_one_that_holds(name):
    module, kind = SETTINGS[name]
    settings = getattr(import_module(f"wsi_patches.workflows.{module}"), kind)
    fields = settings.__dataclass_fields__
    compared = 0
    for option in options_of(name):
        told = DEFAULT.search(option.help or "")
        default = fields[option.name].default if option.name in fields else None
        if told is None or not isinstance(default, int | float | str) or isinstance(default, bool):
            continue
        first = told[1].split(",")[0]
        assert first == (f"{default:g}" if isinstance(default, int | float) else default), option.name
        compared += 1
    assert compared, "no default was compared"


def test_every_option_of_a_long_command_has_a_heading_and_no_heading_is_idle():
    placed = [name for names in HEADINGS.values() for name in names.split()]
    long = [options for options in map(options_of, COMMANDS) if len(options) + 1 >= SHORT]
    assert len(placed) == len(set(placed))
    assert {option.name for options in long for option in options} == set(placed)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_examples_that_parse(name):
    lines = [line.strip() for line in command_of(name).epilog.splitlines() if line.startswith("  wsi-patches")]
    assert lines
    for line in lines:
        assert line.startswith(f"wsi-patches {name}")
        parse(line)


def test_the_first_page_groups_all_commands_and_shows_examples():
    text = main.get_help(click.Context(main, info_name="wsi-patches", terminal_width=110))
    for heading, commands in SECTIONS.items():
        assert f"\n{heading}:\n" in text
        for name, told in commands.items():
            assert re.search(rf"^  {name} +{re.escape(told)}$", text, flags=re.MULTILINE)
    for line in re.findall(r"^ +(wsi-patches .+)$", text, flags=re.MULTILINE):
        parse(line)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_that_pages_show_parse(page):
    for line in re.findall(r"^    (wsi-patches .+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE):
        if "COMMAND" not in line:
            parse(line)
