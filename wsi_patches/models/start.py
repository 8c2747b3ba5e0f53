"""Weights that a training starts from: a file of ours, or one as torchvision publishes it."""

from __future__ import annotations

import hashlib
import io
import pickle
import re
from pathlib import Path

import torch
from torch import Tensor, nn

from wsi_patches.errors import ModelError
from wsi_patches.models.system import Colours
from wsi_patches.models.weights import load_weights

__all__ = ["colours_of", "load_start"]

OURS = ".safetensors"
HASHED_NAME = re.compile(r"-([0-9a-f]{8,64})\.pth$")
"""torchvision's files bear the first digits of their sha256, as in ``resnet18-f37072fd.pth``."""
OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")
"""The file of DenseNet-201 is older than its layers' names, which torchvision mends when it loads it."""


def colours_of(path: Path | None) -> Colours | None:
    """Return how the input was scaled that a file of ours learnt from; None for any other file, or none.

    Raises
    ------
    ModelError
        The file cannot be used.
    """
    if path is None or path.suffix != OURS:
        return None
    _, card, _ = load_weights(path)
    return Colours(card.mean, card.std)


def load_start(network: nn.Module, head: str, path: Path) -> None:
    """Give a network the weights of a file, but its own last layer where the file's tells other classes.

    Parameters
    ----------
    network
        Just built; it is changed.
    head
        Name of its last layer.
    path
        A ``.safetensors`` file that was trained here, or torchvision's ``NAME-HASH.pth``, which is compared with the
        hash in its name before anything of it is read, and of which only tensors are built.

    Raises
    ------
    ModelError
        The file cannot be read, is not what its name says, or is of another network.
    """
    state = load_weights(path)[0] if path.suffix == OURS else _published(path)
    own = network.state_dict()
    last = {name for name in own if name.startswith(f"{head}.")}
    if any(name in state and state[name].shape != own[name].shape for name in last):
        state = {name: value for name, value in state.items() if name not in last}
    wrong = sorted(
        name
        for name in {*own, *state} - (last - state.keys())
        if name not in own or name not in state or own[name].shape != state[name].shape
    )
    if wrong:
        msg = f"{path} holds weights of another network: {len(wrong)} tensors do not fit, such as {wrong[0]}"
        raise ModelError(msg)
    network.load_state_dict({**own, **state})


def _published(path: Path) -> dict[str, Tensor]:
    try:
        content = path.read_bytes()
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}"
        raise ModelError(msg) from error
    told, found = HASHED_NAME.search(path.name), hashlib.sha256(content).hexdigest()
    if told is None:
        msg = (
            f"{path} is neither a .safetensors file nor named as torchvision names its files (NAME-HASH.pth), so that "
            "nothing says what it should hold: give it the name that it was published under"
        )
        raise ModelError(msg)
    if not found.startswith(told[1]):
        msg = f"{path} is not the file that its name says (sha256 {found[:16]}...): fetch it again"
        raise ModelError(msg)
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        msg = f"{path} holds more than tensors, or is damaged, and is not opened: {str(error).splitlines()[0]}"
        raise ModelError(msg) from error
    return {OLD_DENSENET.sub(r"\1\2", name): value for name, value in state.items()}
