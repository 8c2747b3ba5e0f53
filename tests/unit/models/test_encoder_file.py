"""Encoders of one's own: files of each library give what the library gives, and whatever is wrong is said."""

import hashlib

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file
from torch import nn

from tests.unit.models.dinov2_by_hand import as_trained, dinov2_features, dinov2_state
from wsi_patches.errors import ModelError
from wsi_patches.models import ALLNet, ModelCard, save_weights
from wsi_patches.models.classifier import normalised
from wsi_patches.models.encoder_libraries import DINOV2
from wsi_patches.models.encoders import FrozenEncoder, find_encoder

timm = pytest.importorskip("timm")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
DEPTH = 2


@pytest.fixture
def images(rng):
    return rng.integers(0, 256, (3, 40, 40, 3), dtype=np.uint8)


@pytest.fixture
def described(tmp_path):
    """Return a function that writes weights and the YAML that describes them, and returns the YAML's path."""

    def write(content, suffix=".pth", **keys):
        weights = tmp_path / f"weights{suffix}"
        if suffix == ".safetensors":
            save_file({name: value.clone() for name, value in content.items()}, weights)
        else:
            torch.save(content, weights)
        values = {
            "name": "mine",
            "weights": weights.name,
            "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
            "mean": list(MEAN),
            "std": list(STD),
            **keys,
        }
        path = tmp_path / "mine.yaml"
        path.write_text(yaml.safe_dump({name: value for name, value in values.items() if value is not None}))
        return str(path)

    return write


def tiny_vit(px=32, **more):
    torch.manual_seed(3)
    return timm.create_model("vit_tiny_patch16_224", pretrained=False, img_size=px, depth=DEPTH, **more).eval()


TINY_VIT = {
    "library": "timm", "network": "vit_tiny_patch16_224", "input_px": 32, "dim": 192, "options": {"depth": DEPTH},
}  # fmt: skip
DINO = {
    "library": "dinov2", "network": "dinov2_vits14", "input_px": 28, "dim": 384, "options": {"depth": DEPTH},
}  # fmt: skip


def shown(images, px):
    """Return pixels as the encoder is to show them to its network."""
    pixels = torch.tensor(images).permute(0, 3, 1, 2) / 255
    resized = nn.functional.interpolate(pixels, (px, px), mode="bilinear", antialias=True)
    return (resized - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


@torch.inference_mode()
def same(features, expected):
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, expected.numpy(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_features_of_timm_are_timms_own(described, images, suffix):
    network = tiny_vit()
    path = described(network.state_dict(), suffix, **TINY_VIT)

    features = FrozenEncoder.load(path, "cpu").features(images)

    with torch.inference_mode():
        tokens = network.forward_features(shown(images, 32))
        same(features, network.forward_head(tokens, pre_logits=True))


@pytest.mark.parametrize("pool", ["cls", "mean", "cls_mean"])
def test_tokens_are_pooled_as_asked(described, images, pool):
    network, dim = tiny_vit(), 384 if pool == "cls_mean" else 192
    path = described({"state_dict": network.state_dict()}, **{**TINY_VIT, "pool": pool, "dim": dim})

    features = FrozenEncoder.load(path, "cpu").features(images)

    with torch.inference_mode():
        tokens = network.forward_features(shown(images, 32))
        parts = {"cls": tokens[:, 0], "mean": tokens[:, 1:].mean(dim=1)}
        same(features, torch.cat([parts[one] for one in pool.split("_")], dim=1))


def test_a_convolutional_network_of_timm_gives_its_average(described, images):
    torch.manual_seed(5)
    network = timm.create_model("resnet10t", pretrained=False).eval()
    path = described(network.state_dict(), library="timm", network="resnet10t", input_px=40, dim=512)

    features = FrozenEncoder.load(path, "cpu").features(images)

    with torch.inference_mode():
        same(features, network.forward_features(shown(images, 40)).mean(dim=(2, 3)))


def test_features_of_torchvision_are_what_its_last_layer_takes(described, images):
    from torchvision import models

    torch.manual_seed(5)
    network = models.resnet18(weights=None).eval()
    path = described(network.state_dict(), library="torchvision", network="resnet18", input_px=40, dim=512)

    features = FrozenEncoder.load(path, "cpu").features(images)

    network.fc = nn.Identity()
    with torch.inference_mode():
        same(features, network(shown(images, 40)))


def test_a_network_of_ours_that_was_trained_here_is_an_encoder(tmp_path, described, images):
    network = ALLNet(classes=3, widths=(4, 8), seed=2).eval()
    card = ModelCard(
        name="own", title="t", architecture="allnet", settings={"widths": [4, 8]}, classes=("a", "b", "c"), input_px=40,
        mean=MEAN, std=STD, trained_on="nothing", limits="none", licence="MIT", patch_cell_diameters=1.5,
    )  # fmt: skip
    save_weights(tmp_path / "own.safetensors", network, card)
    sha256 = hashlib.sha256((tmp_path / "own.safetensors").read_bytes()).hexdigest()
    path = described(
        {}, library="wsi-patches", network="allnet", input_px=40, dim=8, options={"widths": [4, 8]},
        weights="own.safetensors", sha256=sha256,
    )  # fmt: skip

    features = FrozenEncoder.load(path, "cpu").features(images)

    network.fc = nn.Identity()
    with torch.inference_mode():
        same(features, network(shown(images, 40)))


@pytest.mark.parametrize("registers", [0, 4])
@pytest.mark.parametrize("gated", [False, True])
def test_dinov2_is_computed_as_its_paper_writes_it(described, images, registers, gated):
    """Against forty lines of plain PyTorch that use DINOv2's own names."""
    state = dinov2_state(384, DEPTH, grid=2, registers=registers, gated=gated)
    # A small network with the gated layers that only the giant one has: timm's arguments for it.
    swiglu = {"mlp_layer": timm.layers.SwiGLUPacked, "mlp_ratio": 2.66667 * 2, "act_layer": nn.SiLU} if gated else {}
    path = described(state, **{**DINO, "network": f"dinov2_vits14{'_reg' * bool(registers)}"})
    encoder = find_encoder(path)
    said = encoder.load.args[0]
    said.options.update(swiglu)

    features = FrozenEncoder(encoder.load(), encoder, torch.device("cpu")).features(images)

    same(features, dinov2_features(state, shown(images, 28), DEPTH, heads=6, registers=registers))


@pytest.mark.parametrize("registers", ["", "_reg"])
@pytest.mark.parametrize(
    ("letter", "dim", "millions"), [("s", 384, 22), ("b", 768, 86), ("l", 1024, 304), ("g", 1536, 1136)]
)
def test_the_four_sizes_are_those_of_dinobloom(letter, dim, millions, registers):
    """Koch et al., MICCAI 2024, table 1: the width of the class token, and parameters."""
    with torch.device("meta"):
        network = timm.create_model(DINOV2[f"dinov2_vit{letter}14{registers}"], num_classes=0, img_size=224)
    assert network.num_features == dim
    assert round(sum(one.numel() for one in network.parameters()) / 1e6) == pytest.approx(millions, abs=1)


def test_a_checkpoint_as_dinobloom_publishes_it_is_unwrapped(described, images):
    state = dinov2_state(384, DEPTH, grid=2)
    plain = FrozenEncoder.load(described(state, **DINO), "cpu").features(images)

    wrapped = FrozenEncoder.load(described(as_trained(state), **DINO), "cpu").features(images)

    assert np.array_equal(plain, wrapped)
    same(plain, dinov2_features(state, shown(images, 28), DEPTH, heads=6))


def test_positions_of_another_grid_are_interpolated(described, images):
    """Positions that rise along a row keep doing so on a finer grid; the class token's stays."""
    state = dinov2_state(384, DEPTH, grid=4)
    rising = torch.linspace(-1, 1, 4).repeat(4).view(1, 16, 1).expand(1, 16, 384)
    state["pos_embed"] = torch.cat([torch.full((1, 1, 384), 7.0), rising], dim=1)

    network = find_encoder(described(state, **{**DINO, "input_px": 112})).load().network

    places = network.pos_embed[0]
    assert torch.equal(places[0], torch.full((384,), 7.0))
    rows = places[1:, 0].view(8, 8)
    assert bool((rows.diff(dim=1) > 0).all())
    torch.testing.assert_close(rows, rows[:1].expand(8, 8))


def test_nothing_is_fetched(described, monkeypatch, images):
    def refuse(*_args, **_kwargs):
        pytest.fail("the network was asked for something")

    monkeypatch.setattr("socket.socket.connect", refuse)
    path = described(tiny_vit().state_dict(), **TINY_VIT)
    assert FrozenEncoder.load(path, "cpu").features(images).shape == (3, 192)


def broken(**change):
    return pytest.param(change, id=" ".join(change))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"dim": 384}, r"says dim 384, and vit_tiny_patch16_224 gives features of shape \(192,\): mend dim or pool"),
        ({"pool": "cls_mean"}, r"says dim 192, .* gives features of shape \(384,\)"),
        ({"pool": "max"}, r"mine.yaml cannot be used: pool: .*'cls', 'mean' or 'cls_mean'"),
        ({"input_px": 40}, "input_px 40 is no multiple of the 16 px patches of vit_tiny_patch16_224"),
        ({"input_px": 0}, "input_px, dim and std are above 0, found 0"),
        ({"std": [0.2, 0.0, 0.2]}, r"input_px, dim and std are above 0, .*0\.0"),
        ({"mean": None}, "cannot be used: mean: .*"),
        ({"colour": "red"}, "cannot be used: colour: "),
        ({"library": "keras"}, "cannot be used: library: "),
        ({"network": "vit_tiny_patch16_225"}, "timm has no network 'vit_tiny_patch16_225': there are vit_tiny"),
        ({"network": "vit_small_patch16_224"}, "holds weights of another network: .* tensors do not fit"),
        ({"options": {"depth": 3}}, "holds weights of another network: .* such as blocks.2"),
        ({"options": {"deep": 3}}, r"vit_tiny_patch16_224 cannot be built with input_px 32 and options \{'deep': 3\}"),
        ({"options": {"pretrained": True}}, "options.pretrained is not taken: nothing but the file"),
        ({"options": {"checkpoint_path": "x"}}, "options.checkpoint_path is not taken"),
        ({"sha256": "0" * 64}, r"weights.pth has the sha256 [0-9a-f]{64}, and .*mine.yaml says 0{64}"),
        ({"sha256": None}, r"states no sha256 of its weights, that of .*weights.pth is [0-9a-f]{64}: write it there"),
        ({"weights": "elsewhere.pth"}, "elsewhere.pth cannot be read: No such file or directory"),
        ({"name": "../mine"}, "'../mine' cannot be an encoder's name"),
        ({"name": "a/b"}, "'a/b' cannot be an encoder's name"),
        ({"name": "lite0"}, "takes the name lite0, which is that of one that comes with the package"),
        ({"library": "dinov2"}, "DINOv2 has no network 'vit_tiny_patch16_224': there are dinov2_vit"),
        ({"library": "torchvision", "network": "resnet"}, "torchvision has no network 'resnet': there are resnet"),
        ({"library": "wsi-patches", "network": "nobody"}, "no architecture 'nobody'"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file_is_said(described, change, told):
    path = described(tiny_vit().state_dict(), **{**TINY_VIT, **change})
    with pytest.raises(ModelError, match=told):
        FrozenEncoder.load(path, "cpu")


def test_registers_are_not_left_out_in_silence(described):
    with_them = described(dinov2_state(384, DEPTH, grid=2, registers=4), **DINO)
    with pytest.raises(ModelError, match=r"has registers, and the network is without them: choose .* with _reg"):
        FrozenEncoder.load(with_them, "cpu")
    without = described(dinov2_state(384, DEPTH, grid=2), **{**DINO, "network": "dinov2_vits14_reg"})
    with pytest.raises(ModelError, match=r"has no registers, and the network is with them: choose .* without _reg"):
        FrozenEncoder.load(without, "cpu")


class Ran:
    def __reduce__(self):
        return (pytest.fail, ("the pickle was run",))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"model": Ran()}, "holds more than tensors, or is damaged, and is not opened"),
        ({"epoch": 3, "optimizer": {"lr": 0.1}}, "holds no tensors by name .* found epoch, optimizer"),
        ([1, 2], "holds no tensors by name .* found list"),
    ],
)
def test_what_is_no_network_is_not_opened(described, content, told):
    path = described(content, **TINY_VIT)
    with pytest.raises(ModelError, match=told):
        FrozenEncoder.load(path, "cpu")


def test_pool_of_a_network_without_tokens_is_refused(described):
    network = timm.create_model("resnet10t", pretrained=False)
    path = described(network.state_dict(), library="timm", network="resnet10t", input_px=40, dim=512, pool="cls")
    with pytest.raises(ModelError, match="pool: cls is for networks of tokens, and resnet10t has no such ones"):
        FrozenEncoder.load(path, "cpu")


def test_what_features_depend_on_is_in_what_the_store_keeps(described):
    """Plain values, so that what was written is equal to what is read."""
    import json

    details = find_encoder(described(tiny_vit().state_dict(), **{**TINY_VIT, "pool": "mean"})).details
    assert json.loads(json.dumps(details)) == details
    assert details == {
        "library": "timm", "network": "vit_tiny_patch16_224", "pool": "mean", "mean": list(MEAN), "std": list(STD),
        "options": {"depth": DEPTH},
    }  # fmt: skip


def test_the_frame_is_the_files(described, images):
    encoder = find_encoder(described(tiny_vit().state_dict(), **TINY_VIT))
    pixels = torch.tensor(images).permute(0, 3, 1, 2) / 255
    torch.testing.assert_close(normalised(pixels, encoder), shown(images, 32))
