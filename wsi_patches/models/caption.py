"""BLIP from a folder on this machine, with low-rank adapters (LoRA), for captions of cells.

Sources: J. Li and others, "BLIP", ICML 2022 (arXiv 2201.12086); E. Hu and others, "LoRA", ICLR 2022 (arXiv 2106.09685);
J. van Logtestijn, P. Manescu, "HemBLIP", arXiv 2601.03915. Nothing is fetched, no code of a checkpoint is run, and
weights are safetensors alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from wsi_patches.errors import ModelError, needs_extra
from wsi_patches.models.weight_file import bytes_of

__all__ = [
    "ADAPTER",
    "Captioner",
    "LoraShape",
    "hash_of",
    "is_adapter",
    "load_adapter",
    "load_captioner",
    "save_adapter",
]

ADAPTER, ADAPTER_CONFIG = "adapter_model.safetensors", "adapter_config.json"
"""As peft names them, so that it reads what is written here."""
PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""BLIP's own, where a folder has no preprocessor_config.json."""
ALL = -100
"""The label of a token that no loss is taken of."""


@dataclass(frozen=True)
class LoraShape:
    """Which matrices get adapters, and how large these are."""

    rank: int = 8
    alpha: float = 16.0
    """The adapters' sum is multiplied by ``alpha / rank``."""
    dropout: float = 0.05
    targets: tuple[str, ...] = ("query", "value")
    """Ends of the names of the layers that get one: of the text decoder's attention by default."""


class Captioner(nn.Module):
    """BLIP with adapters: what is trained, and all that is kept of a training, is the adapters."""

    def __init__(self, blip: nn.Module, tokenizer: Any, frame: tuple[int, Sequence[float], Sequence[float]]) -> None:
        super().__init__()
        self.blip = blip
        self._tokenizer = tokenizer
        self.side_px, mean, std = frame
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def tokens(self, texts: Sequence[str], longest: int) -> tuple[Tensor, Tensor]:
        """Return the numbers of texts' words ``(n, t)``, which begin as BLIP's decoder does, and which are real."""
        said = self._tokenizer(list(texts), padding=True, truncation=True, max_length=longest, return_tensors="pt")
        numbers: Tensor = said["input_ids"].clone()
        numbers[:, 0] = self._text_config.bos_token_id
        return numbers, said["attention_mask"]

    def forward(self, images: Tensor, numbers: Tensor, real: Tensor) -> Tensor:
        """Return the logits of each next word ``(n, t, words)`` of images uint8 ``(n, 3, h, w)`` and their texts."""
        out = self.blip(pixel_values=self._shown(images), input_ids=numbers, attention_mask=real)
        logits: Tensor = out.logits
        return logits

    def loss(self, images: Tensor, numbers: Tensor, real: Tensor) -> Tensor:
        """Return the mean cross entropy of the next word, nats, over all real words but the first."""
        logits = self(images, numbers, real)[:, :-1].float()
        wanted = numbers[:, 1:].masked_fill(real[:, 1:] == 0, ALL)
        return nn.functional.cross_entropy(logits.flatten(0, 1), wanted.flatten(), ignore_index=ALL)

    @torch.inference_mode()
    def captions(self, images: Tensor, longest: int = 60) -> list[str]:
        """Return a caption for each image, uint8 ``(n, 3, h, w)``: at each step the likeliest word."""
        blip: Any = self.blip
        numbers = blip.generate(pixel_values=self._shown(images), max_new_tokens=longest, do_sample=False, num_beams=1)
        return [text.strip() for text in self._tokenizer.batch_decode(numbers, skip_special_tokens=True)]

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """Return the adapters' tensors alone: the rest is that of the checkpoint, which is never changed."""
        return {name: one for name, one in super().state_dict(*args, **kwargs).items() if ".lora_" in name}

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Take the adapters' tensors; all of them, and no others, if ``strict``."""
        if strict and set(state_dict) != set(self.state_dict()):
            msg = "the adapters are of other layers than those that are loaded: give the checkpoint that they belong to"
            raise ModelError(msg)
        return super().load_state_dict(state_dict, strict=False, assign=assign)

    def add_adapters(self, shape: LoraShape) -> None:
        """Give layers their adapters, which change nothing until they are trained; the rest is frozen.

        Raises
        ------
        ModelError
            No layer has such a name.
        MissingExtra
            peft is not installed.
        """
        with needs_extra("caption", "LoRA"):
            from peft import LoraConfig, inject_adapter_in_model
        alpha: Any = shape.alpha  # peft's type is a whole number, and it takes any
        config = LoraConfig(
            r=shape.rank, lora_alpha=alpha, lora_dropout=shape.dropout, target_modules=list(shape.targets)
        )
        try:
            inject_adapter_in_model(config, self.blip)
        except ValueError as error:
            msg = f"no adapters can be added to layers named {', '.join(shape.targets)}: {' '.join(str(error).split())}"
            raise ModelError(msg) from error
        for name, one in self.named_parameters():
            one.requires_grad_(".lora_" in name)

    @property
    def _text_config(self) -> Any:
        blip: Any = self.blip
        return blip.config.text_config

    def _shown(self, images: Tensor) -> Tensor:
        """Return images as the network takes them."""
        mean: Any = self.mean
        std: Any = self.std
        size = (self.side_px, self.side_px)
        pixels = images.to(mean.device).float() / 255
        pixels = nn.functional.interpolate(pixels, size, mode="bicubic", align_corners=False, antialias=True)
        shown: Tensor = (pixels.clamp(0, 1) - mean) / std
        return shown


def load_captioner(folder: Path) -> Captioner:
    """Load BLIP from a folder, on the CPU, in evaluation mode.

    Parameters
    ----------
    folder
        ``config.json``, ``model.safetensors`` (or several), ``vocab.txt`` or ``tokenizer.json``, and maybe
        ``preprocessor_config.json``, as ``save_pretrained`` of transformers leaves them.

    Raises
    ------
    ModelError
        It is no such folder, has pickled weights alone, or does not fit.
    MissingExtra
        transformers is not installed.
    """
    _check_folder(folder, "config.json", "*.safetensors", "a BLIP checkpoint")
    kind = _json(folder / "config.json").get("model_type")
    if kind != "blip":
        msg = f"{folder} holds a model of the type {kind!r}, and captions are made by one of the type 'blip'"
        raise ModelError(msg)
    _check_words(folder)
    blip, absent, tokenizer = _opened(folder)
    if absent:  # transformers would draw them by chance
        msg = f"{folder} lacks {len(absent)} tensors of a captioner, such as {absent[0]}: give a checkpoint of captions"
        raise ModelError(msg)
    blip.requires_grad_(requires_grad=False)
    return Captioner(blip, tokenizer, _frame(folder, blip.config.vision_config.image_size)).eval()


def _check_words(folder: Path) -> None:
    """Refuse words that are not there or damaged, of which the tokenizer itself says nothing, or nothing clear."""
    words = b"".join(bytes_of(one) for one in folder.glob("vocab.txt")).strip()
    if not (words or any(folder.glob("tokenizer.json"))) or words.decode("utf-8", "ignore").encode() != words:
        msg = f"{folder} has neither vocab.txt nor tokenizer.json with words in UTF-8: save the checkpoint's tokenizer"
        raise ModelError(msg)
    for path in folder.glob("tokenizer*.json"):
        _json(path)


def _opened(folder: Path) -> tuple[Any, list[str], Any]:
    """Return the network, the names of tensors that its file lacks, and the tokenizer; nothing is fetched."""
    with needs_extra("caption", "captions"):
        import transformers
    loader: Any = transformers
    bars = loader.utils.logging
    bars.disable_progress_bar()
    try:
        blip, told = loader.BlipForConditionalGeneration.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, trust_remote_code=False, output_loading_info=True
        )
        tokenizer = loader.BertTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        msg = f"{folder} cannot be loaded as BLIP: {' '.join(str(error).split())[:300]}"
        raise ModelError(msg) from error
    finally:
        bars.enable_progress_bar()
    return blip, sorted(map(str, told["missing_keys"])), tokenizer


def _frame(folder: Path, side_px: int) -> tuple[int, Sequence[float], Sequence[float]]:
    path = folder / "preprocessor_config.json"
    said = _json(path) if path.is_file() else {}
    return side_px, said.get("image_mean", CLIP_MEAN), said.get("image_std", CLIP_STD)


def save_adapter(folder: Path, captioner: Captioner, shape: LoraShape, base: str, base_sha256: str) -> Path:
    """Write adapters as peft does; the checkpoint that they belong to is named and hashed."""
    folder.mkdir(parents=True, exist_ok=True)
    named = {
        f"base_model.model.{name.removeprefix('blip.').replace('.default.', '.')}": one.contiguous()
        for name, one in captioner.state_dict().items()
    }
    config = {
        "peft_type": "LORA", "task_type": None, "base_model_name_or_path": base, "r": shape.rank,
        "lora_alpha": shape.alpha, "lora_dropout": shape.dropout, "target_modules": list(shape.targets),
        "bias": "none", "inference_mode": True,
    }  # fmt: skip
    (folder / ADAPTER).write_bytes(save(named, {"base_sha256": base_sha256}))
    (folder / ADAPTER_CONFIG).write_text(json.dumps(config, indent=1), encoding="utf-8")
    return folder / ADAPTER


def is_adapter(folder: Path) -> bool:
    """Return whether a folder holds adapters."""
    return (folder / ADAPTER_CONFIG).is_file()


def load_adapter(captioner: Captioner, folder: Path) -> LoraShape:
    """Give a captioner the adapters of a folder.

    Raises
    ------
    ModelError
        It is no such folder, has pickled weights alone, or belongs to another checkpoint.
    """
    _check_folder(folder, ADAPTER_CONFIG, ADAPTER, "a LoRA adapter")
    said, content = _json(folder / ADAPTER_CONFIG), bytes_of(folder / ADAPTER)
    other = [name for name in ("use_dora", "use_rslora", "rank_pattern", "alpha_pattern") if said.get(name)]
    other += ["bias"] if said.get("bias", "none") != "none" else []
    other += ["layers by a pattern"] if isinstance(said.get("target_modules"), str) else []
    if other:
        msg = f"{folder} is an adapter of another kind ({', '.join(other)}): plain LoRA on named layers is read"
        raise ModelError(msg)
    try:
        shape = LoraShape(int(said["r"]), float(said["lora_alpha"]), 0.0, tuple(said["target_modules"]))
        tensors = load(content)
    except (KeyError, TypeError, ValueError, SafetensorError) as error:
        msg = f"{folder} cannot be read as a LoRA adapter of peft: {error!r}"
        raise ModelError(msg) from error
    captioner.add_adapters(shape)
    ours = {f"blip.{_default(name.removeprefix('base_model.model.'))}": one for name, one in tensors.items()}
    try:
        captioner.load_state_dict(ours)
    except RuntimeError as error:
        msg = f"{folder} does not fit this checkpoint: {' '.join(str(error).split())[:300]}"
        raise ModelError(msg) from error
    captioner.eval()
    return shape


def _default(name: str) -> str:
    return name.replace(".lora_A.weight", ".lora_A.default.weight").replace(".lora_B.weight", ".lora_B.default.weight")


def hash_of(folder: Path) -> str:
    """Return the SHA-256 of a folder's safetensors, of several in the order of their names."""
    told = hashlib.sha256()
    for file in sorted(folder.glob("*.safetensors")):
        told.update(bytes_of(file))
    return told.hexdigest()


def _check_folder(folder: Path, config: str, weights: str, what: str) -> None:
    if not folder.is_dir():
        msg = f"{folder} is no folder: give {what} that lies on this machine; nothing is fetched"
        raise ModelError(msg)
    if any(folder.glob(weights)) and (folder / config).is_file():
        return
    pickled = sorted(file.name for pattern in PICKLED for file in folder.glob(pattern))
    if pickled and not any(folder.glob(weights)):
        msg = f"{folder} has its weights as {pickled[0]}, which is pickled code and is not opened: save as safetensors"
        raise ModelError(msg)
    msg = f"{folder} is not {what}: it needs {config} and {weights}"
    raise ModelError(msg)


def _json(path: Path) -> dict[str, Any]:
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        msg = f"{path} cannot be read: {error}"
        raise ModelError(msg) from error
    if isinstance(said, dict):
        return said
    msg = f"{path} cannot be read: it holds no mapping"
    raise ModelError(msg)
