"""`models` lists what ships and what can be trained, and tells all of one."""

import json

import pytest
from click.testing import CliRunner

from wsi_patches.cli.main import main
from wsi_patches.models.published import published_systems
from wsi_patches.models.table import MODELS


def run(*arguments):
    return CliRunner().invoke(main, ["models", *arguments])


def test_all_models_and_systems_are_listed():
    lines = run().stdout.splitlines()
    assert {f"{name} ({model.kind})" for name, model in MODELS.items()} <= set(lines)
    assert {card.name for card in published_systems()} <= set(lines)


@pytest.mark.parametrize("card", published_systems(), ids=lambda card: card.name)
def test_one_system_is_told_with_its_paper_and_what_differs(card):
    told = " ".join(run(card.name).stdout.split())
    for text in (card.title, card.paper, card.doi, card.changed, card.reported):
        assert " ".join(text.split()) in told


def test_json_has_the_whole_cards():
    listed = json.loads(run("--json").stdout)
    assert set(listed["models"]) == set(MODELS)
    assert [card["name"] for card in listed["systems"]] == [card.name for card in published_systems()]


def test_an_unknown_name_is_refused():
    done = run("alnet")
    assert done.exit_code == 2
    assert "choose from" in done.stderr
    assert "allnet" in done.stderr
