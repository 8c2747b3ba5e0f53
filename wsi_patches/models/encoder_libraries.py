"""Networks of other libraries as encoders: built without weights, given those of a local file, cut before the head.

DINOv2: Oquab et al., TMLR 2024, arXiv 2304.07193; with registers: Darcet et al., ICLR 2024, arXiv 2309.16588. Its
checkpoints, and DinoBloom's (Koch et al., MICCAI 2024, arXiv 2404.05022), are run by timm's networks of that shape.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from wsi_patches.errors import ModelError, needs_extra
from wsi_patches.models.start import renamed_densenet
from wsi_patches.models.systems import find_system
from wsi_patches.models.weight_file import load_fitting

__all__ = ["DINOV2", "LIBRARIES", "Library", "Pool", "PooledTokens", "without_head"]

Library = Literal["timm", "torchvision", "dinov2", "wsi-patches"]
Pool = Literal["cls", "mean", "cls_mean"]
"""The class token, the mean over the patches' tokens, or both, one after the other."""
State = dict[str, Tensor]
WRAPPERS = ("teacher", "model", "state_dict", "model_state_dict")
"""Keys under which checkpoints keep a network's tensors."""
PREFIXES = ("module.", "teacher.", "backbone.", "model.")
CHUNK = re.compile(r"^blocks\.\d+\.(\d+)\.")
"""DINOv2 trains its blocks in chunks, within which they keep their numbers."""
DINOV2 = {
    f"dinov2_vit{letter}14{'_reg' * registers}": f"vit_{size}_patch14{'_reg4' * registers}_dinov2"
    for letter, size in (("s", "small"), ("b", "base"), ("l", "large"), ("g", "giant"))
    for registers in (0, 1)
}
"""DINOv2's names of its networks, and timm's."""


class Asked(Protocol):
    """What an encoder's file says of its network."""

    @property
    def name(self) -> str: ...
    @property
    def network(self) -> str: ...
    @property
    def input_px(self) -> int: ...
    @property
    def pool(self) -> Pool | None: ...
    @property
    def options(self) -> Mapping[str, Any]: ...


class PooledTokens(nn.Module):
    """A network of tokens, of which some are taken as features.

    Parameters
    ----------
    network
        Of timm.
    pool
        Which tokens.
    """

    def __init__(self, network: nn.Module, pool: Pool) -> None:
        super().__init__()
        self.network, self.pool = network, pool
        self.before = int(getattr(network, "num_prefix_tokens", 0))
        """Class token and registers, which lie before the patches."""

    def forward(self, images: Tensor) -> Tensor:
        """Return features ``(n, dim)`` of images ``(n, 3, h, w)``."""
        tokens: Tensor = self.network.forward_features(images)  # type: ignore[operator]
        taken = {"cls": tokens[:, :1], "mean": tokens[:, self.before :].mean(dim=1, keepdim=True)}
        return torch.cat([taken[one] for one in self.pool.split("_")], dim=1).flatten(1)


def without_head(network: nn.Module, head: str) -> nn.Module:
    """Return a network that gives what its last layer took."""
    network.set_submodule(head, nn.Identity())
    return network


def _timm(asked: Asked, path: Path, content: Any) -> nn.Module:
    return _of_timm(asked, asked.network, asked.pool, path, _tensors(content, path))


def _dinov2(asked: Asked, path: Path, content: Any) -> nn.Module:
    name = _known(asked.network, DINOV2, "DINOv2")
    return _of_timm(asked, DINOV2[name], asked.pool or "cls", path, _from_dinov2(_tensors(content, path)))


def _of_timm(asked: Asked, name: str, pool: Pool | None, path: Path, state: State) -> nn.Module:
    with needs_extra("encoders", f"the encoder {asked.name}"):
        import timm
    _known(name, timm.list_models(), "timm")
    told = timm.get_pretrained_cfg(name)
    side: dict[str, Any] = {"img_size": asked.input_px} if told is not None and told.fixed_input_size else {}
    network = _built(asked, lambda: timm.create_model(name, pretrained=False, num_classes=0, **side, **asked.options))
    _check_patches(asked, network)
    _check_registers(path, state, network)
    heads = told.classifier if told is not None and told.classifier else ()
    state = _without(state, (heads,) if isinstance(heads, str) else heads)
    load_fitting(network, _on_grid(state, network), path)
    if pool is None:
        return network
    if not (hasattr(network, "cls_token") or (pool == "mean" and hasattr(network, "num_prefix_tokens"))):
        msg = f"pool: {pool} is for networks of tokens, and {asked.network} has no such ones: leave pool out"
        raise ModelError(msg)
    return PooledTokens(network, pool)


def _torchvision(asked: Asked, path: Path, content: Any) -> nn.Module:
    with needs_extra("train", f"the encoder {asked.name}"):
        from torchvision import models
    _known(asked.network, models.list_models(module=models), "torchvision")
    network = _built(asked, lambda: models.get_model(asked.network, weights=None, **asked.options))
    layers = [name for name, layer in network.named_modules() if isinstance(layer, nn.Linear)]
    if not layers:
        msg = f"{asked.network} does not end in a linear layer that could be taken away: choose another network"
        raise ModelError(msg)
    return _cut(asked, network, layers[-1], path, renamed_densenet(_tensors(content, path)))


def _own(asked: Asked, path: Path, content: Any) -> nn.Module:
    system = find_system(asked.network)
    network = _built(asked, lambda: system.build(2, **asked.options))
    return _cut(asked, network, system.head, path, _tensors(content, path))


LIBRARIES: dict[Library, Callable[[Asked, Path, Any], nn.Module]] = {
    "timm": _timm,
    "torchvision": _torchvision,
    "dinov2": _dinov2,
    "wsi-patches": _own,
}
"""Each returns the network that a file asks for, from what its weight file holds; raises `ModelError`."""


def _cut(asked: Asked, network: nn.Module, head: str, path: Path, state: State) -> nn.Module:
    if asked.pool is not None:
        msg = (
            f"pool is for networks of timm and DINOv2; of {asked.network} it is what its last layer takes: leave it out"
        )
        raise ModelError(msg)
    network = without_head(network, head)
    load_fitting(network, _without(state, (head,)), path)
    return network


def _built(asked: Asked, build: Callable[[], nn.Module]) -> nn.Module:
    try:
        return build()
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        msg = (
            f"{asked.network} cannot be built with input_px {asked.input_px} and options {dict(asked.options)}: {error}"
        )
        raise ModelError(msg) from error


def _known(name: str, names: Collection[str], library: str) -> str:
    if name not in names:
        near = difflib.get_close_matches(name, names) or sorted(names)[:8]
        msg = f"{library} has no network {name!r}: there are {', '.join(near)}"
        raise ModelError(msg)
    return name


def _check_patches(asked: Asked, network: nn.Module) -> None:
    """Refuse an input of which the network would leave out a border without a word."""
    embed = getattr(network, "patch_embed", None)
    sides = getattr(embed, "patch_size", (1,))
    if any(asked.input_px % side for side in sides):
        msg = f"input_px {asked.input_px} is no multiple of the {sides[0]} px patches of {asked.network}"
        raise ModelError(msg)


def _check_registers(path: Path, state: State, network: nn.Module) -> None:
    has, takes = "reg_token" in state, getattr(network, "reg_token", None) is not None
    if has != takes:
        told = ("has", "is without") if has else ("has no", "is with")
        msg = f"{path} {told[0]} registers, and the network {told[1]} them: choose the network with{'out' * takes} _reg"
        raise ModelError(msg)


def _tensors(content: Any, path: Path) -> State:
    """Return the tensors of a network from a checkpoint that may hold much else."""
    while isinstance(content, Mapping):
        inner = next((content[key] for key in WRAPPERS if isinstance(content.get(key), Mapping)), None)
        if inner is None:
            break
        content = inner
    if not isinstance(content, Mapping) or not content or not all(isinstance(one, Tensor) for one in content.values()):
        found = ", ".join(map(str, list(content)[:5])) if isinstance(content, Mapping) else type(content).__name__
        msg = f"{path} holds no tensors by name under {', '.join(WRAPPERS)}, or at its top: found {found or 'nothing'}"
        raise ModelError(msg)
    return _stripped(dict(content))


def _stripped(state: State) -> State:
    """Take wrappers' names off tensors' names; what lies beside a wrapped network, such as DINO's heads, goes."""
    for prefix in PREFIXES:
        inside = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
        state = inside or state
    return state


def _without(state: State, heads: Collection[str]) -> State:
    return {name: value for name, value in state.items() if not name.startswith(tuple(f"{one}." for one in heads))}


def _from_dinov2(state: State) -> State:
    """Return a DINOv2 network's tensors under the names that timm gives them.

    With registers timm keeps the class token's position in the token itself, which is the same sum.
    """
    named = {"w12": "fc1", "w3": "fc2"}
    out = {}
    for name, value in state.items():
        renamed = CHUNK.sub(r"blocks.\1.", name)
        out[re.sub(r"\.mlp\.(w12|w3)\.", lambda found: f".mlp.{named[found[1]]}.", renamed)] = value
    out.pop("mask_token", None)
    if "register_tokens" in out and {"cls_token", "pos_embed"} <= out.keys():
        out["reg_token"], places = out.pop("register_tokens"), out["pos_embed"]
        out["cls_token"], out["pos_embed"] = out["cls_token"] + places[:, 0], places[:, 1:]
    return out


def _on_grid(state: State, network: nn.Module) -> State:
    """Return tensors whose positions fit the network's grid of patches, interpolated where they were of another."""
    own, given = network.state_dict().get("pos_embed"), state.get("pos_embed")
    if own is None or given is None or own.shape == given.shape or own.ndim != 3 or own.shape[2] != given.shape[2]:
        return state
    from timm.layers.pos_embed import resample_abs_pos_embed  # its network is there already

    before = 0 if getattr(network, "no_embed_class", False) else int(getattr(network, "num_prefix_tokens", 0))
    side, was = (math.isqrt(one.shape[1] - before) for one in (own, given))
    if was**2 != given.shape[1] - before:
        return state  # of no square grid: it is refused as any tensor that does not fit
    places = resample_abs_pos_embed(given, [side, side], num_prefix_tokens=before)
    return {**state, "pos_embed": places}
