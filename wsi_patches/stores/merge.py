"""Parts of several stores in one: copied file by file, never decoded.

A part of a merged store is the part that it was, so what ``verify`` finds in it is what it would have found before. Its
own metadata are written last, and until then it does not count.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wsi_patches.locations import copy_tree, path_of, patiently, remove_tree
from wsi_patches.stores.arrays import METADATA
from wsi_patches.stores.derived import DERIVED, derived_groups
from wsi_patches.stores.files import new_folder, sync_tree, write_json, write_whole
from wsi_patches.stores.format import PARTS
from wsi_patches.stores.reader import Store
from wsi_patches.stores.writer import create_group

__all__ = ["CopyTask", "copy_part", "copy_pictures", "derived_of"]


@dataclass(frozen=True)
class CopyTask:
    """One part to be copied: names only."""

    store: str
    part_id: str
    out: str
    prefix: str = ""
    """Put before the part's name and its slides' ids."""
    derived: tuple[str, ...] = ()
    """The derived groups that come along."""
    patches: int = 0
    durable: bool = True

    @property
    def name(self) -> str:
        """What the part is called in the merged store."""
        return f"{self.prefix}{self.part_id}"


def derived_of(store: Store) -> dict[str, list[dict[str, Any]]]:
    """Return the derived groups that every part of a store holds complete, and each one's different settings."""
    found: dict[str, list[dict[str, Any]]] = {}
    for part in store.parts:
        for name, group in derived_groups(part.folder):
            if group is not None:
                found.setdefault(name, []).append(group.settings)
    whole = {name: settings for name, settings in found.items() if len(settings) == len(store.parts)}
    return {name: [one for at, one in enumerate(all_) if one not in all_[:at]] for name, all_ in whole.items()}


def copy_part(task: CopyTask) -> int:
    """Copy one part and return how many patches it has.

    Raises
    ------
    OSError
        A file cannot be read or written.
    """
    return patiently(lambda: _copy(task))


def _copy(task: CopyTask) -> int:
    old, new = path_of(task.store) / PARTS / task.part_id, path_of(task.out) / PARTS / task.name
    try:
        new_folder(new)
        for folder in (entry for entry in old.iterdir() if entry.is_dir() and entry.name != DERIVED):
            copy_tree(folder, new / folder.name)
        for name in task.derived:
            _copy_derived(old / DERIVED, new / DERIVED, name, durable=task.durable)
        if task.durable:
            sync_tree(new)
        # The part's own metadata come last: they are what makes it count.
        content = (old / METADATA).read_bytes()
        if task.prefix:
            write_json(new / METADATA, _renamed(json.loads(content), task.prefix), durable=task.durable)
        else:
            write_whole(new / METADATA, content, durable=task.durable)
    finally:
        if not (new / METADATA).exists():
            remove_tree(new, ignore_errors=True)
    return task.patches


def _copy_derived(old: Path, new: Path, name: str, *, durable: bool) -> None:
    """Copy a derived group, below the plain groups that it lies in."""
    *above, _ = name.split("/")
    for depth in range(len(above) + 1):
        create_group(new.joinpath(*above[:depth]), durable=durable)
    copy_tree(old / name, new / name)


def _renamed(metadata: dict[str, Any], prefix: str) -> dict[str, Any]:
    for row in metadata["attributes"]["slides"]:
        row["id"] = f"{prefix}{row['id']}"
    return metadata


def copy_pictures(folder: Path, out: Path, prefix: str, *, durable: bool = True) -> None:
    """Copy the pictures of slides in a folder beside a store's parts, if there is one."""
    if not folder.is_dir():
        return
    create_group(out, durable=durable)
    for picture in folder.glob("*.png"):
        write_whole(out / f"{prefix}{picture.name}", picture.read_bytes(), durable=False)
