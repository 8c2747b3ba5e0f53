"""BLIP from a folder, its adapters, and what is never done: fetch, unpickle, change the checkpoint."""

import json
import shutil
import socket

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.tiny_blip import SIDE_PX, write_tiny_blip
from wsi_patches.errors import ModelError
from wsi_patches.models.caption import (
    ADAPTER,
    LoraShape,
    hash_of,
    is_adapter,
    load_adapter,
    load_captioner,
    save_adapter,
)

pytestmark = pytest.mark.usefixtures("one_thread", "no_network")

TEXTS = ["A large cell with an irregular nucleus.", "A small cell."]
SHAPE = LoraShape(rank=4, alpha=8, dropout=0.0)


@pytest.fixture(scope="module")
def blip(tmp_path_factory):
    return write_tiny_blip(tmp_path_factory.mktemp("blip"))


@pytest.fixture
def no_network(monkeypatch):
    """Fail whatever opens a connection."""

    def refuse(*_args, **_kwargs):
        msg = "a connection was asked for"
        raise AssertionError(msg)

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def images():
    return torch.randint(0, 256, (2, 3, 48, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def trained_a_little(captioner, images):
    """Take some steps of the adapters."""
    numbers, real = captioner.tokens(TEXTS, 30)
    optimizer = torch.optim.AdamW([one for one in captioner.parameters() if one.requires_grad], lr=0.05)
    losses = []
    for _ in range(12):
        loss = captioner.loss(images, numbers, real)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_it_captions_pictures_of_any_size_alike_every_time(blip, images):
    captioner = load_captioner(blip)
    said = captioner.captions(images, 8)
    assert len(said) == 2
    assert said == load_captioner(blip).captions(images, 8)
    assert captioner.side_px == SIDE_PX
    assert not captioner.training


def test_texts_begin_as_the_decoder_does_and_padding_counts_for_nothing(blip, images):
    captioner = load_captioner(blip)
    numbers, real = captioner.tokens(TEXTS, 30)
    assert numbers[:, 0].tolist() == [captioner.blip.config.text_config.bos_token_id] * 2
    assert real.sum(dim=1).tolist() == [10, 6]
    assert 1 not in numbers.tolist()[0]  # every word is known
    single, its = captioner.tokens(TEXTS[1:], 30)
    alone = captioner.loss(images[1:], single, its)
    padded = captioner.loss(images[1:], numbers[1:], real[1:])
    assert float(alone) == pytest.approx(float(padded), abs=1e-5)


def test_training_changes_adapters_and_nothing_of_the_checkpoint(blip, images):
    captioner = load_captioner(blip)
    captioner.add_adapters(SHAPE)
    before = {name: one.detach().clone() for name, one in captioner.named_parameters()}
    losses = trained_a_little(captioner.train(), images)
    assert losses[-1] < losses[0]
    after = dict(captioner.named_parameters())
    changed = {name for name, one in before.items() if not torch.equal(one, after[name])}
    assert changed
    assert all(".lora_" in name for name in changed)
    assert changed == {name for name in after if ".lora_" in name}
    assert all(".lora_" in name for name in captioner.state_dict())
    fresh = load_captioner(blip)
    for name, one in fresh.blip.state_dict().items():
        mine = captioner.blip.state_dict()
        assert torch.equal(one, mine[name] if name in mine else mine[_within(name)])


def _within(name):
    """Return where peft keeps a layer that got an adapter."""
    layer, _, kind = name.rpartition(".")
    return f"{layer}.base_layer.{kind}"


def test_new_adapters_change_no_answer_and_trained_ones_come_back_to_the_bit(blip, images, tmp_path):
    plain, captioner = load_captioner(blip), load_captioner(blip)
    numbers, real = plain.tokens(TEXTS, 30)
    captioner.add_adapters(SHAPE)
    assert torch.equal(captioner(images, numbers, real), plain(images, numbers, real))
    trained_a_little(captioner.train(), images)
    captioner.eval()
    path = save_adapter(tmp_path / "adapter", captioner, SHAPE, "tiny", hash_of(blip))
    assert path.name == ADAPTER
    assert is_adapter(tmp_path / "adapter")
    again = load_captioner(blip)
    load_adapter(again, tmp_path / "adapter")
    assert torch.equal(captioner(images, numbers, real), again(images, numbers, real))
    assert not torch.equal(again(images, numbers, real), plain(images, numbers, real))


def test_peft_reads_what_is_written(blip, images, tmp_path):
    from peft import LoraConfig, inject_adapter_in_model, set_peft_model_state_dict

    captioner = load_captioner(blip)
    captioner.add_adapters(SHAPE)
    trained_a_little(captioner.train(), images)
    save_adapter(tmp_path, captioner.eval(), SHAPE, "tiny", "")
    other = load_captioner(blip)
    inject_adapter_in_model(LoraConfig.from_pretrained(str(tmp_path)), other.blip)
    told = set_peft_model_state_dict(other.blip, load_file(tmp_path / ADAPTER))
    assert not told.unexpected_keys
    numbers, real = captioner.tokens(TEXTS, 30)
    assert torch.equal(captioner(images, numbers, real), other.eval()(images, numbers, real))


def test_what_is_no_folder_of_safetensors_is_refused_in_a_sentence(blip, tmp_path):
    with pytest.raises(ModelError, match=r"is no folder: give a BLIP checkpoint .* nothing is fetched"):
        load_captioner(tmp_path / "Salesforce" / "blip")
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / "config.json").write_text((blip / "config.json").read_text())
    torch.save({"a": torch.zeros(1)}, pickled / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"pytorch_model\.bin, which is pickled code and is not opened"):
        load_captioner(pickled)
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text(json.dumps({"model_type": "git", "auto_map": {"AutoModel": "evil.Model"}}))
    (other / "model.safetensors").write_bytes((blip / "model.safetensors").read_bytes())
    with pytest.raises(ModelError, match="type 'git'"):
        load_captioner(other)
    (other / "config.json").write_text((blip / "config.json").read_text())
    with pytest.raises(ModelError, match=r"neither vocab\.txt nor tokenizer\.json"):
        load_captioner(other)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("vocab.txt", b" \n", r"neither vocab\.txt nor tokenizer\.json with words"),
        ("vocab.txt", b"a\n\xff\xfe\n", "with words in UTF-8"),
        ("tokenizer_config.json", b"[]", "it holds no mapping"),
    ],
)
def test_a_damaged_tokenizer_is_refused_in_a_sentence(blip, tmp_path, name, content, told):
    shutil.copytree(blip, tmp_path / "blip")
    (tmp_path / "blip" / name).write_bytes(content)
    with pytest.raises(ModelError, match=told):
        load_captioner(tmp_path / "blip")


def test_a_checkpoint_without_some_of_the_weights_is_refused_and_never_drawn_by_chance(blip, tmp_path):
    for file in blip.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    tensors = load_file(blip / "model.safetensors")
    kept = {name: one for name, one in tensors.items() if "crossattention.self.value" not in name}
    assert len(kept) < len(tensors)
    save_file(kept, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks 4 tensors of a captioner, such as .*crossattention"):
        load_captioner(tmp_path)


def test_adapters_that_do_not_belong_are_refused(blip, images, tmp_path):
    captioner = load_captioner(blip)
    captioner.add_adapters(SHAPE)
    save_adapter(tmp_path / "a", captioner, SHAPE, "tiny", "")
    config = tmp_path / "a" / "adapter_config.json"
    said = json.loads(config.read_text())
    config.write_text(json.dumps({**said, "r": 2}))
    with pytest.raises(ModelError, match="does not fit this checkpoint"):
        load_adapter(load_captioner(blip), tmp_path / "a")
    config.write_text(json.dumps({**said, "target_modules": ["nowhere"]}))
    with pytest.raises(ModelError, match="no adapters can be added to layers named nowhere"):
        load_adapter(load_captioner(blip), tmp_path / "a")
    config.write_text(json.dumps({**said, "use_dora": True}))
    with pytest.raises(ModelError, match=r"another kind \(use_dora\)"):
        load_adapter(load_captioner(blip), tmp_path / "a")
    (tmp_path / "a" / ADAPTER).rename(tmp_path / "a" / "adapter_model.bin")
    with pytest.raises(ModelError, match=r"adapter_model\.bin, which is pickled code"):
        load_adapter(load_captioner(blip), tmp_path / "a")
