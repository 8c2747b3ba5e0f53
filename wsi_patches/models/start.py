"""Weights that a training starts from: a file of ours, or one as torchvision publishes it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from wsi_patches.errors import ModelError
from wsi_patches.models.system import Colours
from wsi_patches.models.weight_file import bytes_of, load_fitting, unpickled
from wsi_patches.models.weights import load_trained

__all__ = ["colours_of", "load_start", "renamed_densenet"]

OURS = ".safetensors"
HASHED_NAME = re.compile(r"-([0-9a-f]{8,64})\.pth$")
"""torchvision's files bear the first digits of their sha256, as in ``resnet18-f37072fd.pth``."""
OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")
"""The file of DenseNet-201 is older than its layers' names, which torchvision mends when it loads it."""
AUXILIARY = "AuxLogits."
"""A second classifier in Inception v3's file, of that training alone; networks without one do without it."""


def colours_of(path: Path | None) -> Colours | None:
    """Return how the input was scaled that a file of ours learnt from; None for any other file, or none.

    Raises
    ------
    ModelError
        The file cannot be used.
    """
    if path is None or path.suffix != OURS:
        return None
    _, card, _ = load_trained(path)
    return Colours(card.mean, card.std)


def load_start(network: nn.Module, head: str, path: Path, *, whole: bool = False) -> None:
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
    whole
        Its last layer must be the file's too.

    Raises
    ------
    ModelError
        The file cannot be read, is not what its name says, or is of another network.
    """
    state = load_trained(path)[0] if path.suffix == OURS else _published(path)
    own = network.state_dict()
    if not any(name.startswith(AUXILIARY) for name in own):
        state = {name: value for name, value in state.items() if not name.startswith(AUXILIARY)}
    last = {name for name in {*own, *state} if name.startswith(f"{head}.")}
    other = any(name not in own or (name in state and state[name].shape != own[name].shape) for name in last)
    if other and not whole:
        state = {name: value for name, value in state.items() if name not in last}
    load_fitting(network, state, path, optional=() if whole else last)


def _published(path: Path) -> dict[str, Tensor]:
    content = bytes_of(path)
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
    return renamed_densenet(unpickled(path, content))


def renamed_densenet(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors with the names that layers of DenseNet have today; all others keep theirs."""
    return {OLD_DENSENET.sub(r"\1\2", name): value for name, value in state.items()}
