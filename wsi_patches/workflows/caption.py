"""``wsi-patches caption``: what patches or pictures look like, in the words of a captioner on this machine."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from wsi_patches.datasets.captioned import read_picture
from wsi_patches.errors import UsageError
from wsi_patches.models.caption import Captioner, hash_of, load_adapter, load_captioner
from wsi_patches.models.classifier import choose_device
from wsi_patches.pipeline import Progress
from wsi_patches.stores import is_store, open_store
from wsi_patches.stores.files import replacing, write_json
from wsi_patches.workflows.labelled import readable_patches
from wsi_patches.workflows.output import Existing, check_output, make_folder

__all__ = ["CaptionRequest", "CaptionResult", "caption"]

CAPTIONS, ABOUT = "captions.csv", "captions.json"
SIDE_PX = 384
"""Pictures are brought to BLIP's usual side first; the network's own side is taken from that."""
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
LIMITS = "A model wrote these captions. They describe what single cells look like, and say nothing of a patient."


@dataclass(frozen=True)
class CaptionRequest:
    """What ``caption`` is asked to do; the keys of a recipe, and the command's options."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    inputs: tuple[Path, ...]
    """A store, or pictures and folders of pictures."""
    out: Path
    model: Path
    """The folder of a BLIP checkpoint."""
    lora: Path | None = None
    """The folder of adapters that belong to it."""
    device: str = "auto"
    batch_size: int = 16
    longest: int = 60
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.longest < 1:
            msg = f"--batch-size and longest take 1 or more, found {self.batch_size} and {self.longest}"
            raise UsageError(msg)


@dataclass(frozen=True)
class CaptionResult:
    """What was written."""

    out: Path
    captions: int
    model_sha256: str
    lora_sha256: str | None


def caption(request: CaptionRequest, progress: Progress | None = None) -> CaptionResult:
    """Write a caption for each patch of a store, or for each picture.

    Raises
    ------
    UsageError
        There is nothing to caption, or a picture cannot be read.
    ModelError
        The checkpoint or its adapters cannot be used.
    StoreError
        The store cannot be read.
    MissingExtra
        The extra ``caption`` is not installed.
    """
    ours = (request.out / CAPTIONS).is_file()
    check_output(request.out, Existing(overwrite=request.overwrite), ours=ours, what="captions", resumable=False)
    names, batches = _source(request)
    device = choose_device(request.device)
    captioner = load_captioner(request.model)
    if request.lora is not None:
        load_adapter(captioner, request.lora)
    captioner = captioner.to(device)
    model, lora = hash_of(request.model), None if request.lora is None else hash_of(request.lora)
    make_folder(request.out)
    done = 0
    with replacing(request.out / CAPTIONS) as path, path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("slide", "index", "text"))
        for images in batches:
            for text in _told(captioner, images, device, request.longest):
                writer.writerow((*names[done], text))
                done += 1
            if progress is not None:
                progress(done, len(names))
    about = {"model": request.model.name, "model_sha256": model, "lora_sha256": lora, "limits": LIMITS}
    write_json(request.out / ABOUT, about, durable=False)
    return CaptionResult(request.out, done, model, lora)


def _told(captioner: Captioner, images: NDArray[np.uint8], device: torch.device, longest: int) -> list[str]:
    pixels = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    return captioner.captions(pixels.to(device), longest)


def _source(request: CaptionRequest) -> tuple[list[tuple[str, str]], Iterator[NDArray[np.uint8]]]:
    """Return a name for each picture, and their pixels batch by batch, uint8 ``(n, h, w, 3)``."""
    size = request.batch_size
    stores = [one for one in request.inputs if one.is_dir() and is_store(one)]
    if stores and len(request.inputs) > 1:
        msg = f"{stores[0]} is a store: give one store, or pictures and folders of pictures, and not both"
        raise UsageError(msg)
    if stores:
        store = open_store(stores[0])
        rows = np.flatnonzero(readable_patches(store))
        names = [(store.slides[store.slide_rows[row]].id, str(store.grid_index[row])) for row in rows.tolist()]
        found: Iterator[NDArray[np.uint8]] = (store.read(rows[at : at + size]) for at in range(0, len(rows), size))
    else:
        files = [file for one in request.inputs for file in _pictures(one)]
        names = [(file.name, "") for file in files]
        found = (_stacked(files[at : at + size]) for at in range(0, len(files), size))
    if not names:
        msg = f"there is nothing to caption in {', '.join(map(str, request.inputs))}: give a store, or pictures"
        raise UsageError(msg)
    return names, found


def _pictures(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES)
    if not path.is_file():
        msg = f"{path} does not exist: give a store, or pictures"
        raise UsageError(msg)
    return [path]


def _stacked(files: list[Path]) -> NDArray[np.uint8]:
    return np.stack([read_picture(file, SIDE_PX) for file in files])
