"""A checkpoint comes back as it was, is whole or absent, and runs no code when it is read."""

import pickle

import pytest
import torch
from torch import nn

from wsi_patches.errors import ModelError, UsageError
from wsi_patches.train.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from wsi_patches.train.logs import Epoch

SETTINGS = {"epochs": 3, "patience": None, "learning_rate": 0.1}


@pytest.fixture
def made():
    network = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.rand(4, 3)).sum().backward()
    optimizer.step()
    state = {name: tensor.detach() for name, tensor in network.state_dict().items()}
    history = (Epoch(1, 0.5, 0.1, {"loss": 0.25}, 2.0),)
    return Checkpoint(state, None, optimizer.state_dict(), history, 1, state)


def test_it_comes_back_as_it_was(tmp_path, made):
    file = tmp_path / "checkpoint.pt"
    write_checkpoint(file, made, SETTINGS)

    back = read_checkpoint(file, SETTINGS)

    assert back.history == made.history
    assert back.history[0].seconds == 2
    assert back.average is None
    assert torch.equal(back.network["weight"], made.network["weight"])
    assert torch.equal(back.optimizer["state"][0]["exp_avg"], made.optimizer["state"][0]["exp_avg"])
    assert [one.name for one in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_a_write_that_fails_leaves_the_earlier_one(tmp_path, made, monkeypatch):
    file = tmp_path / "checkpoint.pt"
    write_checkpoint(file, made, SETTINGS)
    before = file.read_bytes()

    def half(values, path):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(OSError, match="disk full"):
        write_checkpoint(file, made, SETTINGS)

    assert file.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def flipped(data):
    """Change a byte in the middle, where the tensors lie."""
    at = len(data) // 2
    return data[:at] + bytes([data[at] ^ 255]) + data[at + 1 :]


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[: len(data) // 2], lambda data: b"hello" * 99])
def test_damage_is_told(tmp_path, made, damage):
    file = tmp_path / "checkpoint.pt"
    write_checkpoint(file, made, SETTINGS)
    file.write_bytes(damage(file.read_bytes()))

    with pytest.raises(ModelError, match="no intact checkpoint"):
        read_checkpoint(file, SETTINGS)


def test_a_changed_weight_is_told(tmp_path):
    file, state = tmp_path / "checkpoint.pt", {"weight": torch.zeros(10_000)}
    write_checkpoint(file, Checkpoint(state, None, {}, (), 0, {}), SETTINGS)
    file.write_bytes(flipped(file.read_bytes()))

    with pytest.raises(ModelError, match="no intact checkpoint"):
        read_checkpoint(file, SETTINGS)


class Code:
    def __reduce__(self):
        return (print, ("this must not run",))


def test_a_pickle_with_code_is_not_run(tmp_path, capsys):
    torch.save({"format": 1, "settings": Code()}, tmp_path / "a.pt")
    (tmp_path / "b.pt").write_bytes(pickle.dumps(Code(), protocol=2))

    for name in ("a.pt", "b.pt"):
        with pytest.raises(ModelError, match="no intact checkpoint"):
            read_checkpoint(tmp_path / name, SETTINGS)
    assert capsys.readouterr().out == ""


def test_another_version_and_other_settings_are_refused(tmp_path, made):
    torch.save({"format": 99}, tmp_path / "new.pt")
    write_checkpoint(tmp_path / "old.pt", made, SETTINGS)

    with pytest.raises(ModelError, match="this version"):
        read_checkpoint(tmp_path / "new.pt", SETTINGS)
    with pytest.raises(UsageError, match="epochs 3, now 4, seed None, now 1"):
        read_checkpoint(tmp_path / "old.pt", {**SETTINGS, "epochs": 4, "seed": 1})
