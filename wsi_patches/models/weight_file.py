"""Files of tensors: read once, hashed, and opened without running anything that they hold."""

from __future__ import annotations

import io
import pickle
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from wsi_patches.errors import ModelError

__all__ = ["bytes_of", "load_fitting", "tensors_of", "unpickled"]


def bytes_of(path: Path) -> bytes:
    """Return a file's bytes.

    Raises
    ------
    ModelError
        It cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}"
        raise ModelError(msg) from error


def unpickled(path: Path, content: bytes) -> Any:
    """Return what a PyTorch file holds, of which only tensors and plain values are built.

    Raises
    ------
    ModelError
        It holds anything else, or is damaged.
    """
    try:
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        msg = f"{path} holds more than tensors, or is damaged, and is not opened: {str(error).splitlines()[0]}"
        raise ModelError(msg) from error


def tensors_of(path: Path, content: bytes) -> Any:
    """Return what a weight file holds: a ``.safetensors`` file's tensors by name, else what `unpickled` returns.

    Raises
    ------
    ModelError
        It is damaged, or holds more than tensors and plain values.
    """
    if path.suffix != ".safetensors":
        return unpickled(path, content)
    try:
        return load(content)
    except SafetensorError as error:
        msg = f"{path} is no intact safetensors file ({error}): fetch it again"
        raise ModelError(msg) from error


def load_fitting(network: nn.Module, state: Mapping[str, Tensor], path: Path, optional: Collection[str] = ()) -> None:
    """Give a network tensors that fit it exactly.

    Parameters
    ----------
    network
        It is changed.
    state
        Tensors by name.
    path
        Where they come from, for messages.
    optional
        Names of the network's own tensors that may be absent, and then stay as they are.

    Raises
    ------
    ModelError
        A tensor is missing, unknown or of another shape.
    """
    own = network.state_dict()
    wrong = sorted(
        name
        for name in {*own, *state} - (set(optional) - state.keys())
        if name not in own or name not in state or own[name].shape != state[name].shape
    )
    if wrong:
        msg = f"{path} holds weights of another network: {len(wrong)} tensors do not fit, such as {wrong[0]}"
        raise ModelError(msg)
    network.load_state_dict({**own, **state})
