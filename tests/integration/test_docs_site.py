"""The documentation is built without a warning, asks no network for anything, and knows every command and model."""

import html
import os
import re
import subprocess
import sys

import click
import pytest

from tests.conftest import ROOT
from wsi_patches.cli.main import COMMANDS, main
from wsi_patches.models.table import MODELS

pytest.importorskip("material", reason="needs mkdocs-material, of the dev group")
pytest.importorskip("mkdocstrings", reason="needs mkdocstrings, of the dev group")

LOADED = re.compile(r"<(script|link|img|iframe|source|video|audio|embed)\b([^>]*)>")
ADDRESS = re.compile(r"""(?:src|href)=["']?((?:https?:)?//[^"'\s>]+)""")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Build the site; a link or an anchor that leads nowhere is a warning, and a warning an error."""
    out = tmp_path_factory.mktemp("docs") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(out)]
    settings = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=settings, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def words(page):
    return html.unescape(re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8")))


def test_no_page_loads_anything_from_the_network(site):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        for tag, attributes in LOADED.findall(page.read_text(encoding="utf-8")):
            address = ADDRESS.search(attributes)
            assert address is None or 'rel="canonical"' in attributes, f"{page.name} loads {tag} {attributes}"
    for style in site.rglob("*.css"):
        assert not re.search(r"""(@import|url\()\s*["']?(https?:)?//""", style.read_text(encoding="utf-8")), style.name


def test_the_pages_can_be_searched_without_a_server_of_others(site):
    index = (site / "search" / "search_index.json").read_text(encoding="utf-8")
    assert "sharpen" in index


def test_every_command_and_option_is_on_the_page_of_options(site):
    page = words(site / "options.html")
    for name in COMMANDS:
        command = main.get_command(click.Context(main), name)
        assert f"wsi-patches {name}" in page
        for option in command.params:
            if isinstance(option, click.Option):
                assert max(option.opts, key=len) in page, f"{name} {option.opts}"


def test_what_looks_like_a_tag_is_shown_as_it_is_typed(site):
    assert "'(?P<patient>P[0-9]+)_'" in words(site / "options.html")


def test_every_recipe_and_model_is_on_its_page(site):
    recipes = words(site / "recipes.html")
    for path in (ROOT / "configs").glob("*.yaml"):
        assert path.stem in recipes
    cards = words(site / "model-cards.html")
    for model in MODELS.values():
        assert model.sha256 in cards


def test_the_reference_shows_signatures_and_no_private_names(site):
    page = (site / "api" / "workflows.html").read_text(encoding="utf-8")
    names = re.findall(r'id="(wsi_patches\.[\w.]+)"', page)
    assert "wsi_patches.workflows.extract.extract" in names
    assert not [name for name in names if re.search(r"\._(?!_)", name)]
    assert "settings: ExtractSettings" in words(site / "api" / "workflows.html")
