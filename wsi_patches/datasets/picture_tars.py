"""Patches in tar files as WebDataset keeps them: members that share a name up to its first dot are one sample.

Only the tars' headers and small sidecars are read here; where each picture's bytes lie is kept, and nothing is ever
unpacked under a name that a tar gives. Source: the format of webdataset.github.io, POSIX tar.
"""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from wsi_patches.datasets.folders import SPLITS, listing, suffix
from wsi_patches.datasets.patch_pictures import Picture, PictureSet
from wsi_patches.datasets.picture_folders import PATCH_PICTURES, picture_of_row
from wsi_patches.errors import UsageError
from wsi_patches.outcome import Outcome
from wsi_patches.stores.facts import FACTS, read_facts

__all__ = ["read_picture_tars", "tar_files"]

LARGEST_SIDECAR = 1 << 20
"""Bytes; a JSON file of one patch has some hundred."""
Sample = Mapping[str, tarfile.TarInfo]
"""Members of a sample by what follows the first dot of their names, in lower case."""


def tar_files(folder: Path) -> list[Path]:
    """Return the tar files that lie directly in a folder, in order; a tar file is its own."""
    if folder.is_file():
        return [folder] if suffix(folder.name) == ".tar" else []
    return [folder / name for name in listing(folder).files if suffix(name) == ".tar"]


def read_picture_tars(folder: Path) -> PictureSet:
    """Return the pictures in the tar files of a folder.

    Of an export of ours each is a patch of its slide; of anybody else its class is in the member ``cls``, or in
    ``label`` of the JSON, and its split is a word of the shard's name, as ``train`` of ``train-000000.tar``.

    Raises
    ------
    StoreError
        What an export says of its slides cannot be read.
    UsageError
        There is no tar file, or no picture in any.
    """
    shards = tar_files(folder)
    facts_file = (folder.parent if folder.is_file() else folder) / FACTS
    facts = read_facts(facts_file) if facts_file.is_file() else None
    pictures, broken = list[Picture](), list[Outcome]()
    for shard in shards:
        try:
            with tarfile.open(shard, "r:") as tar:
                for key, sample in _samples(tar):
                    try:
                        pictures.append(_picture(tar, shard, key, sample, exported=facts is not None))
                    except UsageError as error:
                        broken.append(Outcome.failed(f"{shard.name}/{key}", str(shard), error))
                _check_end(shard, tar.offset)
        except (tarfile.TarError, OSError, EOFError) as error:
            why = f"{shard} cannot be read to its end ({error}): copy it again; a compressed tar must be unpacked first"
            broken.append(Outcome.failed(shard.name, str(shard), why))
    if not pictures:
        found = (
            f"{len(shards)} tar files without a picture ({broken[0].error})" if broken else f"{len(shards)} tar files"
        )
        msg = f"{folder}: expected tar files with pictures, as WebDataset has them, found {found}"
        raise UsageError(msg)
    return PictureSet(tuple(pictures), facts, tuple(broken))


def _check_end(shard: Path, offset: int) -> None:
    """Refuse a tar without its end mark: tarfile takes one that was cut between two members for whole."""
    with shard.open("rb") as stream:
        stream.seek(offset)
        if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            msg = "its end mark is missing"
            raise tarfile.ReadError(msg)


def _samples(tar: tarfile.TarFile) -> Iterator[tuple[str, Sample]]:
    key, sample = "", dict[str, tarfile.TarInfo]()
    for member in tar:
        tar.members = []  # type: ignore[attr-defined]  # or every member's header stays in memory
        if not member.isreg() or member.issparse():
            continue
        folder, _, name = member.name.rpartition("/")
        stem, _, kind = name.partition(".")
        own = f"{folder}/{stem}" if folder else stem
        if own != key and sample:
            yield key, sample
            sample = {}
        key = own
        sample[kind.lower()] = member
    if sample:
        yield key, sample


def _picture(tar: tarfile.TarFile, shard: Path, key: str, sample: Sample, *, exported: bool) -> Picture:
    kinds = [kind for kind in sample if f".{kind.rpartition('.')[2]}" in PATCH_PICTURES]
    if len(kinds) != 1:
        msg = f"{shard.name}/{key}: expected one picture in each sample, found {len(kinds)} ({', '.join(sample)})"
        raise UsageError(msg)
    member = sample[kinds[0]]
    where = f"{shard.name}/{key}"
    picture = Picture(f"{where}.{kinds[0]}", str(shard), member.offset_data, member.size)
    said = _json(tar, sample["json"], where) if "json" in sample else {}
    if exported:
        return picture_of_row(picture, said, where)
    label = _text(tar, sample["cls"], where).strip() if "cls" in sample else said.get("label")
    return replace(picture, label=None if label in (None, "") else str(label), split=_split_of(shard.name))


def _json(tar: tarfile.TarFile, member: tarfile.TarInfo, where: str) -> Mapping[str, Any]:
    try:
        said = json.loads(_text(tar, member, where))
    except (ValueError, RecursionError) as error:
        msg = f"{where}: its JSON cannot be read: {error}"
        raise UsageError(msg) from error
    return said if isinstance(said, dict) else {}


def _text(tar: tarfile.TarFile, member: tarfile.TarInfo, where: str) -> str:
    stream = tar.extractfile(member)
    if stream is None or member.size > LARGEST_SIDECAR:
        msg = f"{where}: expected up to {LARGEST_SIDECAR} bytes of text beside the picture, found {member.size}"
        raise UsageError(msg)
    return stream.read().decode("utf-8", "replace")


def _split_of(name: str) -> str:
    """Return the split that a shard's name speaks of, or nothing."""
    words = re.split(r"[^a-z]+", name.lower())
    return next((SPLITS[word] for word in words if word in SPLITS), "")
