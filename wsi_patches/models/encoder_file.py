"""Encoders of one's own: a YAML file of a few lines names a network, its weights, what it takes and what it gives."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
import yaml
from pydantic import TypeAdapter, ValidationError
from torch import nn

from wsi_patches.errors import ModelError
from wsi_patches.models.encoder import Encoder
from wsi_patches.models.encoder_libraries import LIBRARIES, Library, Pool
from wsi_patches.models.system import Triple
from wsi_patches.models.weight_file import bytes_of, tensors_of

__all__ = ["EncoderFile", "is_encoder_file", "read_encoder"]

NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
"""A name becomes that of a group in a store, ``features/NAME``."""
SUFFIXES = (".yaml", ".yml")
FORBIDDEN = re.compile(r"pretrained|checkpoint|weights|cache")
"""Beginnings of arguments that would make a library fetch or open weights by itself."""


@dataclass(frozen=True, kw_only=True)
class EncoderFile:
    """The keys of such a file.

    Raises
    ------
    ModelError
        A value cannot be.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    name: str
    """Features are kept in a store as ``features/NAME``: small letters, digits, - and _."""
    library: Library
    network: str
    """As the library names it."""
    weights: Path
    """A ``.safetensors`` or ``.pth`` file, beside the YAML file or with its whole path."""
    sha256: str = ""
    """Of the weights; a file of another is refused."""
    input_px: int
    """Side of the network's square input."""
    mean: Triple
    std: Triple
    """Red, green and blue of 0 to 1 become ``(value - mean) / std``."""
    dim: int
    """How many features come out."""
    pool: Pool | None = None
    """What is taken of a network of tokens; what the network itself takes if None."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of the network, such as ``depth``."""
    licence: str = "not stated"
    """Of the weights."""

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            msg = f"{self.name!r} cannot be an encoder's name: give small letters, digits, - and _"
            raise ModelError(msg)
        if self.input_px < 1 or self.dim < 1 or min(self.std) <= 0:
            msg = f"input_px, dim and std are above 0, found {self.input_px}, {self.dim} and {self.std}"
            raise ModelError(msg)
        fetched = sorted(name for name in self.options if FORBIDDEN.match(name))
        if fetched:
            msg = f"options.{fetched[0]} is not taken: nothing but the file that weights names is ever opened"
            raise ModelError(msg)


def is_encoder_file(name: str) -> bool:
    """Return whether an encoder's name is that of a YAML file."""
    return name.endswith(SUFFIXES)


def read_encoder(path: Path) -> Encoder:
    """Return the encoder that a YAML file describes; its weights are read when it is loaded.

    Raises
    ------
    ModelError
        The file cannot be read, a key is missing, unknown or of the wrong kind, or it states no sha256; the message
        says the one that the weights have.
    """
    said = _read(path)
    where = path.parent / said.weights
    if not said.sha256:
        msg = f"{path} states no sha256 of its weights, that of {where} is {_sha256(bytes_of(where))}: write it there"
        raise ModelError(msg)
    own = {"mean": list(said.mean), "std": list(said.std), "options": dict(said.options)}
    return Encoder(
        name=said.name,
        dim=said.dim,
        input_px=said.input_px,
        mean=said.mean,
        std=said.std,
        sha256=said.sha256.lower(),
        licence=said.licence,
        load=partial(_load, said, path, where),
        details={"library": said.library, "network": said.network, "pool": said.pool, **own},
    )


def _read(path: Path) -> EncoderFile:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        return TypeAdapter(EncoderFile).validate_python(values)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        msg = f"encoder {path} cannot be read: {' '.join(str(error).split())}"
        raise ModelError(msg) from error
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}".lstrip(": ") for one in error.errors())
        msg = f"encoder {path} cannot be used: {faults}"
        raise ModelError(msg) from error


def _load(said: EncoderFile, path: Path, where: Path) -> nn.Module:
    """Return the network with its weights; one picture through it tells whether input and dim are right."""
    content = bytes_of(where)
    found = _sha256(content)
    if found != said.sha256.lower():
        msg = f"{where} has the sha256 {found}, and {path} says {said.sha256}: fetch it again, or mend the YAML"
        raise ModelError(msg)
    network = LIBRARIES[said.library](said, where, tensors_of(where, content)).eval()
    try:
        with torch.inference_mode():
            shape = tuple(network(torch.zeros(1, 3, said.input_px, said.input_px)).shape)
    except (RuntimeError, AssertionError, ValueError) as error:
        msg = f"{path}: {said.network} does not take images of {said.input_px} px: {' '.join(str(error).split())}"
        raise ModelError(msg) from error
    if shape != (1, said.dim):
        msg = f"{path} says dim {said.dim}, and {said.network} gives features of shape {shape[1:]}: mend dim or pool"
        raise ModelError(msg)
    return network


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
