"""Every published system has a card that says what it must, and names networks and recipes that there are."""

import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from wsi_patches.errors import ModelError
from wsi_patches.models.published import CARDS, published_systems, read_card
from wsi_patches.models.systems import SYSTEMS

ALL = {card.name: card for card in published_systems()}
RECIPES = {path.stem for path in (ROOT / "configs").glob("*.yaml")}


@pytest.mark.parametrize("name", ALL)
def test_a_card_names_networks_and_recipes_that_there_are(name):
    card = ALL[name]
    assert set(card.networks) <= set(SYSTEMS)
    assert set(card.recipes) <= RECIPES
    assert re.search(r"(19|20)\d\d|undated", card.paper)


def test_every_network_is_on_a_card():
    assert {network for card in ALL.values() for network in card.networks} == set(SYSTEMS)


def test_cards_are_read_without_torch():
    code = "import sys, wsi_patches.models.published as p; p.published_systems(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_card_with_a_key_too_many_is_refused(tmp_path):
    text = (CARDS / "allnet.yaml").read_text()
    (tmp_path / "allnet.yaml").write_text(text + "accuracy: 99 %\n")
    with pytest.raises(ModelError, match=r"allnet\.yaml cannot be used.*accuracy"):
        read_card(tmp_path / "allnet.yaml")


def test_a_card_is_named_as_its_file(tmp_path):
    (tmp_path / "other.yaml").write_text((CARDS / "allnet.yaml").read_text())
    with pytest.raises(ModelError, match="is of 'allnet'"):
        read_card(tmp_path / "other.yaml")


@pytest.mark.parametrize("name", ALL)
def test_the_table_of_the_docs_has_each_system_with_its_recipes(name):
    lines = (ROOT / "docs" / "models.md").read_text(encoding="utf-8").splitlines()
    row = next(line for line in lines if line.startswith(f"| `{name}` |"))
    assert all(f"`{recipe}`" in row for recipe in ALL[name].recipes if recipe != "demo_cells")
