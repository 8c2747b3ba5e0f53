"""Weight files keep network and card, and nothing but safetensors is opened."""

import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from wsi_patches.errors import ModelError
from wsi_patches.models.weights import build_model, load_weights, save_weights


def test_state_card_and_hash_come_back(weight_file, network, card):
    state, read_card, digest = load_weights(weight_file)

    assert read_card == card
    assert digest == sha256(weight_file.read_bytes()).hexdigest()
    assert all(torch.equal(state[name], tensor) for name, tensor in network.state_dict().items())
    assert len(state) == len(network.state_dict())


def test_the_file_has_the_rights_of_any_other(weight_file):
    other = weight_file.with_name("other")
    other.touch()

    assert weight_file.stat().st_mode == other.stat().st_mode


def test_the_network_is_built_from_the_card(weight_file, network):
    images = torch.rand(2, 3, 32, 32)

    built, _, _ = build_model(weight_file)

    assert not built.training
    assert torch.equal(built(images), network.eval()(images))


@pytest.mark.parametrize("name", ["model.pth", "model.safetensors"])
def test_pickles_are_never_opened(tmp_path, network, name):
    torch.save(network.state_dict(), tmp_path / name)

    with pytest.raises(ModelError, match="is a pickle"):
        load_weights(tmp_path / name)


def _without_card(path: Path) -> None:
    save_file({"x": torch.zeros(1)}, path)


def _with_bad_card(path: Path) -> None:
    save_file({"x": torch.zeros(1)}, path, {"card": "{"})


def _with_foreign_card(path: Path) -> None:
    save_file({"x": torch.zeros(1)}, path, {"card": json.dumps({"name": "x"})})


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: path.write_bytes(b""), "no intact safetensors file"),
        (lambda path: path.write_bytes(b"\xff" * 100), "no intact safetensors file"),
        (_without_card, "holds weights but no card"),
        (_with_bad_card, "its card is no JSON"),
        (_with_foreign_card, "the model's card cannot be used: title"),
    ],
)
def test_damage_is_named(tmp_path, write, message):
    write(tmp_path / "bad.safetensors")

    with pytest.raises(ModelError, match=message):
        load_weights(tmp_path / "bad.safetensors")


def test_a_cut_file_is_damaged(weight_file):
    weight_file.write_bytes(weight_file.read_bytes()[:-10])

    with pytest.raises(ModelError, match="no intact safetensors file"):
        load_weights(weight_file)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"absent\.safetensors cannot be read"):
        load_weights(tmp_path / "absent.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": "vgg"}, "asks for architecture 'vgg', this version knows allnet"),
        ({"settings": {"width": 3}}, "are not those of allnet"),
        ({"settings": {"widths": [4, 16]}}, "do not fit the network that its card describes"),
        ({"classes": ("a", "b", "c")}, "do not fit the network that its card describes"),
    ],
)
def test_card_and_weights_must_agree(tmp_path, network, card, change, message):
    save_weights(tmp_path / "odd.safetensors", network, replace(card, **change))

    with pytest.raises(ModelError, match=message):
        build_model(tmp_path / "odd.safetensors")
