"""Weight files: safetensors only, with the model's card in the header."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from wsi_patches.errors import ModelError
from wsi_patches.models.aggregators import AGGREGATORS
from wsi_patches.models.bag_card import BagCard
from wsi_patches.models.card import Card, CounterCard, FinderCard, LabelCard, ModelCard
from wsi_patches.models.count_network import CellCountNet
from wsi_patches.models.detector_card import DetectorCard
from wsi_patches.models.encoder_card import EncoderCard
from wsi_patches.models.finder_network import CellFinderNet
from wsi_patches.models.systems import SYSTEMS
from wsi_patches.models.weight_file import bytes_of

__all__ = [
    "ARCHITECTURES",
    "build_aggregator",
    "build_counter",
    "build_detector",
    "build_finder",
    "build_model",
    "check_sha256",
    "kind_of",
    "load_trained",
    "load_weights",
    "save_weights",
]


def _cell_detector(**settings: Any) -> nn.Module:
    # torchvision's detectors take seconds to load, which nobody else should wait for.
    from wsi_patches.models.detector_network import CellDetectorNet

    return CellDetectorNet(**settings)


ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {name: system.build for name, system in SYSTEMS.items()}
"""What a classifier's card may say; called with the number of classes and the card's settings."""
FINDERS: dict[str, Callable[..., nn.Module]] = {"cell_finder": CellFinderNet}
"""What a finder's card may say, called likewise."""
COUNTERS: dict[str, Callable[..., nn.Module]] = {"cell_counter": CellCountNet}
"""What a counter's card may say, called likewise."""
DETECTORS: dict[str, Callable[..., nn.Module]] = {"cell_detector": _cell_detector}
"""What a detector's card may say, called likewise."""
C = TypeVar("C", ModelCard, FinderCard, CounterCard, DetectorCard, LabelCard, BagCard, EncoderCard)
LABELS, ENCODER, BAGS = "labels", "encoder", "bags"
KINDS: dict[type[Card], str] = {
    ModelCard: "classifier",
    FinderCard: "finder",
    CounterCard: "counter",
    DetectorCard: "detector",
    LabelCard: LABELS,
    EncoderCard: ENCODER,
    BagCard: BAGS,
}
OPTIONS = {
    "classifier": "--model",
    "finder": "--finder",
    "counter": "--method patches --model",
    "detector": "--method detector --model",
}

START = "a training may start from it (`start:` of its recipe)"
ELSEWHERE = {
    LABELS: f"tells the labels of tissue, and no cells: {START}",
    ENCODER: f"learnt from patches without labels, and tells no classes: {START}",
    BAGS: "tells the labels of whole slides, and no cells: give it with `wsi-patches bags --model`",
}
"""What a file of such a kind is for, where another is needed."""
PICKLE_SUFFIXES = {".pt", ".pth", ".pkl", ".pickle", ".bin", ".ckpt"}
PICKLE_HEADS = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


def save_weights(path: str | Path, module: nn.Module, card: Card) -> None:
    """Write the state of a network, running statistics and fixed kernels included, with its card in the header."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
    # Not save_file: it makes the file readable by its owner alone.
    Path(path).write_bytes(save(state, {"card": json.dumps(card.to_dict())}))


def kind_of(path: str | Path) -> str:
    """Return what a weight file holds: ``classifier``, ``finder``, ``counter``, ``detector``, or as its card says.

    Raises
    ------
    ModelError
        The file cannot be read, is a pickle, is damaged, or holds no card.
    """
    values = _read_card(path, _content(path)[0])
    return str(values.get("kind", "classifier")) if isinstance(values, dict) else "classifier"


def load_weights(path: str | Path) -> tuple[dict[str, Tensor], ModelCard, str]:
    """Read a classifier's weight file that `save_weights` wrote.

    Returns
    -------
    state, card, sha256
        Tensors on the CPU by name, the model's card, and the hash of the file's bytes.

    Raises
    ------
    ModelError
        The file cannot be read, is a pickle, is damaged, holds no card, or holds that of another kind of model.
    """
    return _load(path, ModelCard)


def load_trained(path: str | Path) -> tuple[dict[str, Tensor], ModelCard | LabelCard | EncoderCard, str]:
    """Read the weight file of a network of whole patches, which a training may start from; else as `load_weights`."""
    kind = kind_of(path)
    if kind == ENCODER:
        return _load(path, EncoderCard)
    return _load(path, LabelCard) if kind == LABELS else _load(path, ModelCard)


def build_model(path: str | Path) -> tuple[nn.Module, ModelCard, str]:
    """Read a weight file and return its classifier in evaluation mode, on the CPU, with its card and sha256.

    Raises
    ------
    ModelError
        The file cannot be used (see `load_weights`), or card, architecture and tensors do not agree.
    """
    return _build(path, ModelCard, ARCHITECTURES)


def build_finder(path: str | Path) -> tuple[nn.Module, FinderCard, str]:
    """Read a weight file and return its finder in evaluation mode, on the CPU, with its card and sha256.

    Raises
    ------
    ModelError
        The file cannot be used, or card, architecture and tensors do not agree.
    """
    return _build(path, FinderCard, FINDERS)


def build_counter(path: str | Path) -> tuple[nn.Module, CounterCard, str]:
    """Read a weight file and return its counter in evaluation mode, on the CPU, with its card and sha256.

    Raises
    ------
    ModelError
        The file cannot be used, or card, architecture and tensors do not agree.
    """
    return _build(path, CounterCard, COUNTERS)


def build_detector(path: str | Path) -> tuple[nn.Module, DetectorCard, str]:
    """Read a weight file and return its detector in evaluation mode, on the CPU, with its card and sha256.

    Raises
    ------
    ModelError
        The file cannot be used, or card, architecture and tensors do not agree.
    """
    return _build(path, DetectorCard, DETECTORS)


def build_aggregator(path: str | Path) -> tuple[nn.Module, BagCard, str]:
    """Read a weight file and return its aggregator in evaluation mode, on the CPU, with its card and sha256.

    Raises
    ------
    ModelError
        The file cannot be used, or card, architecture and tensors do not agree.
    """
    return _build(path, BagCard, AGGREGATORS)


def check_sha256(path: str | Path, found: str, expected: str | None) -> None:
    """Refuse a shipped file that is not the one that was shipped; a file of a user's own has no expected hash.

    Raises
    ------
    ModelError
        The hashes differ.
    """
    if expected is not None and found != expected:
        msg = f"{path} is not the file that was shipped (sha256 {found}, not {expected}): install the package again"
        raise ModelError(msg)


def _content(path: str | Path) -> tuple[bytes, dict[str, Tensor]]:
    """Return the bytes of a weight file, and its tensors."""
    content = bytes_of(Path(path))
    _refuse_pickle(Path(path), content)
    try:
        return content, load(content)
    except SafetensorError as error:
        msg = f"{path} is no intact safetensors file ({error}): fetch or train it again"
        raise ModelError(msg) from error


def _load(path: str | Path, kind: type[C]) -> tuple[dict[str, Tensor], C, str]:
    content, state = _content(path)
    values = _read_card(path, content)
    has = str(values.get("kind", "classifier")) if isinstance(values, dict) else "classifier"
    if has in ELSEWHERE and has != KINDS[kind]:
        msg = f"{path} {ELSEWHERE[has]}"
        raise ModelError(msg)
    if KINDS[kind] == BAGS != has:
        msg = f"{path} holds a {has}, and a model of slide bags is needed: `wsi-patches train slide_bags` makes one"
        raise ModelError(msg)
    if has != KINDS[kind] and has in OPTIONS:
        msg = f"{path} holds a cell {has}, and a cell {KINDS[kind]} is needed here: give it with {OPTIONS[has]}"
        raise ModelError(msg)
    return state, kind.from_dict(values), hashlib.sha256(content).hexdigest()


def _build(
    path: str | Path, kind: type[C], architectures: Mapping[str, Callable[..., nn.Module]]
) -> tuple[nn.Module, C, str]:
    state, card, sha256 = _load(path, kind)
    module = _network(path, card, architectures)
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        msg = f"the weights in {path} do not fit the network that its card describes: {' '.join(str(error).split())}"
        raise ModelError(msg) from error
    return module.eval(), card, sha256


def _network(path: str | Path, card: Card, architectures: Mapping[str, Callable[..., nn.Module]]) -> nn.Module:
    if card.architecture not in architectures:
        msg = f"{path} asks for architecture {card.architecture!r}, this version knows {', '.join(architectures)}"
        raise ModelError(msg)
    try:
        return architectures[card.architecture](classes=len(card.classes), **card.settings)
    except TypeError as error:
        msg = f"{path}: the card's settings {card.settings} are not those of {card.architecture}: {error}"
        raise ModelError(msg) from error


def _refuse_pickle(path: Path, content: bytes) -> None:
    if path.suffix.lower() in PICKLE_SUFFIXES or content.startswith(PICKLE_HEADS):
        msg = (
            f"{path} is a pickle, which can run any code when it is opened, so it is never opened here: "
            "give the weights as a .safetensors file"
        )
        raise ModelError(msg)


def _read_card(path: str | Path, content: bytes) -> Any:
    """Read the card from a file's header: eight bytes of length, then JSON (safetensors has checked both)."""
    header: dict[str, Any] = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    text = header.get("__metadata__", {}).get("card")
    if text is None:
        msg = f"{path} holds weights but no card: give a file that `wsi-patches train` or save_weights wrote"
        raise ModelError(msg)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        msg = f"{path}: its card is no JSON ({error}): fetch or train it again"
        raise ModelError(msg) from error
