"""Every block of code and every command in README and docs runs as it stands there, page by page, in order.

A page runs in a folder of its own, in which what it takes for granted (`docs_given`) lies ready; what its own commands
write is not laid there. A block that cannot run in a test says why in a comment straight above it:
`<!-- not run: needs a SLURM cluster -->`, with one of the reasons below. A block that a line ending in
"`NAME`:" introduces is the file of that name.
"""

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from unittest.mock import patch

import click
import pytest
import yaml
from click.testing import CliRunner

from tests.conftest import ROOT
from tests.integration.docs_given import MAKERS, Given
from wsi_patches.cli.main import COMMANDS, main
from wsi_patches.export.base import FORMATS
from wsi_patches.models.weights import ARCHITECTURES
from wsi_patches.recipe import find_recipe, read_recipe
from wsi_patches.slides import READERS

DOCS = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))
PAGES = ("README.md", "CONTRIBUTING.md", *DOCS)
REASONS = {
    "needs a SLURM cluster",  # tests/cluster
    "needs an object store",  # tests/integration/test_s3.py
    "needs a Dask scheduler that somebody started",  # tests/cluster
    "needs a network",
    "takes hours as it stands; tests/integration/test_recipes.py runs each recipe small",
    "needs the three files above in the package",  # tests/integration/test_contributing.py
    "sets up or tests the whole program",
}
"""Why a block may go without being run."""
SHORTER = {
    "demo": "--slide-px 1024",
    "evaluate": "--draws 20",
    "probe": "--draws 20",
    "effect": "--repetitions 2 --draws 20",
    "explain": "--show 2 --draws 20",
}
"""Options that are added to a command, so that it takes seconds."""
SLOW = {
    "README.md",
    "docs/captions.md",
    "docs/clustering.md",
    "docs/effect.md",
    "docs/evaluation.md",
    "docs/explain.md",
    "docs/models.md",
    "docs/patients.md",
}
"""Pages that take over ten seconds."""

FENCE = re.compile(r"^( *)```(\w*)\s*$")
NOT_RUN = re.compile(r"<!-- not run: (.+?) -->")
FILE_NAME = re.compile(r"`([\w.-]+\.\w+)`:$")
INLINE = re.compile(r"`((?:\.venv/bin/)?wsi-patches [^`]+)`")
SHELL = {"|", "&&", ";", ">", ">>", "<", "&", "(", ")"}
OURS = re.compile(r"^(?:\.venv/bin/|venv/bin/)?wsi-patches ")


@dataclass
class Block:
    language: str
    text: str
    why_not: str | None
    """Why it is not run."""
    file: str | None
    """The name of the file that it is."""

    @property
    def runs(self):
        return self.why_not is None


def blocks_of(page):
    """Return the fenced blocks of a page."""
    blocks, fence, lines, above = [], None, [], ""
    for line in (ROOT / page).read_text(encoding="utf-8").splitlines():
        found = FENCE.match(line)
        if fence is None and found:
            fence, lines = found, []
        elif found and not found[2]:
            why, name = NOT_RUN.search(above), FILE_NAME.search(above)
            blocks.append(Block(fence[2], "\n".join(lines) + "\n", why and why[1], name and name[1]))
            fence, above = None, ""
        elif fence is not None:
            lines.append(line.removeprefix(fence[1]))
        elif line.strip():
            above = line.strip()
    assert fence is None, f"{page} has a block without an end"
    return blocks


def commands_in(text):
    """Return the command lines of a block; a backslash joins two lines."""
    lines = text.replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]


def words_of(line):
    """Return the words of a command line of ours, without its comment."""
    return shlex.split(line, comments=True)[1:]


def written_by(blocks):
    """Return the names that a page's own blocks write, by ``-o`` or as files."""
    names = {block.file for block in blocks if block.file}
    for block in blocks:
        for line in commands_in(block.text) if block.language == "bash" and block.runs else ():
            pairs = pairwise(shlex.split(line, comments=True))
            names |= {after.split("/")[0] for word, after in pairs if word in ("-o", "--out")}
    return names


def lay_ready(given, blocks, folder):
    """Copy what the page names and does not write."""
    text, written = "\n".join(block.text for block in blocks if block.runs), written_by(blocks)
    for name in sorted(MAKERS.keys() - written):
        if re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", text):
            given.lay(name, folder)


def shortened(words):
    """Return a command that does less of the same."""
    if words[0] == "train":
        words[1] = str(shorter_recipe(words[1]))
    if "--tune" in words:
        words[words.index("--tune") + 1] = "2"
    return [*words, *SHORTER.get(words[0], "").split()]


def shorter_recipe(name):
    """Write a recipe anew with a training of a few steps."""
    recipe = read_recipe(find_recipe(name))
    few = {"epochs": 1, "steps_per_epoch": 2}
    if "training" in recipe:
        recipe["training"] |= {key: few[key] for key in few.keys() & recipe["training"].keys()}
    path = Path("shorter", f"{name}.yaml")
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return path


def run_line(line):
    """Run one line: a command of ours in this process, anything else by the shell."""
    shell = SHELL & set(shlex.shlex(line, posix=True, punctuation_chars=True))
    words = words_of(line) if OURS.match(line) and not shell else None
    if words is None:
        path = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        done = subprocess.run(["bash", "-euc", line], env=path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        return
    done = CliRunner().invoke(main, shortened(words), catch_exceptions=False)
    assert done.exit_code == 0, f"{line}\n{done.output}"


def run_block(block, names):
    """Run one block, or write the file that it is."""
    if block.file:
        Path(block.file).write_text(block.text, encoding="utf-8")
    elif block.language == "python":
        exec(compile(block.text, "documentation", "exec"), names)
    elif block.language == "yaml":
        assert yaml.safe_load(block.text)
    elif block.language == "bash":
        for line in commands_in(block.text):
            run_line(line)


@pytest.fixture(scope="session")
def given(tmp_path_factory):
    return Given(tmp_path_factory.mktemp("given"))


@pytest.mark.parametrize("page", [pytest.param(page, marks=pytest.mark.slow if page in SLOW else ()) for page in PAGES])
def test_every_block_of_a_page_runs(page, given, tmp_path, monkeypatch):
    blocks = blocks_of(page)
    lay_ready(given, blocks, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    names = {}
    with patch.dict(READERS), patch.dict(ARCHITECTURES), patch.dict(FORMATS):  # a page adds to them
        for block in blocks:
            if block.runs:
                run_block(block, names)


@pytest.mark.parametrize("page", PAGES)
def test_blocks_say_what_they_are_and_why_they_are_not_run(page):
    for block in blocks_of(page):
        assert block.language, f"{page}: a block without a language: {block.text[:60]}"
        assert block.why_not is None or block.why_not in REASONS, f"{page}: {block.why_not!r} is no reason"


@pytest.mark.parametrize("page", PAGES)
def test_no_command_hides_in_an_indented_block(page):
    page_text = (ROOT / page).read_text(encoding="utf-8")
    text = re.sub(r"^( *)```\w*\n.*?^\1```", "", page_text, flags=re.DOTALL | re.MULTILINE)
    hidden = re.findall(r"^ {4,}(?:\S*wsi-patches|make|pip|sbatch) .*", text, flags=re.MULTILINE)
    assert not hidden, f"put these into a block of ```bash: {hidden}"


@pytest.mark.parametrize("page", PAGES)
def test_commands_within_sentences_have_the_options_that_they_name(page):
    context = click.Context(main, info_name="wsi-patches")
    for line in INLINE.findall((ROOT / page).read_text(encoding="utf-8")):
        name, *words = words_of(line)
        if name in COMMANDS:
            options = main.get_command(context, name).params
            known = {word for option in options for word in (*option.opts, *option.secondary_opts)}
            for word in words:
                assert not word.startswith("-") or word in known | {"--help", "-h"}, f"{page}: `{line}` has no {word}"
        else:
            assert name in ("COMMAND", "--help", "--version"), f"{page}: `{line}`"


def test_links_of_the_pages_outside_of_the_site_lead_somewhere():
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")]
    for page in pages:
        for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"


def test_every_command_is_in_the_readme_and_on_its_page():
    for name in COMMANDS:
        assert f"wsi-patches {name}" in (ROOT / "README.md").read_text()
        assert f"`{name}" in (ROOT / "docs" / "commands.md").read_text()
