"""A folder with a table of labels and the images that it names, as ADP is handed out."""

from __future__ import annotations

from pathlib import Path

from wsi_patches.datasets.folders import listing, pictures
from wsi_patches.errors import UsageError

__all__ = ["find_label_table"]


def find_label_table(folder: Path) -> tuple[Path, Path]:
    """Return the one CSV file in a folder, and the folder of the images: itself, or the one in it that has pictures.

    Raises
    ------
    UsageError
        The folder is not there, holds no table or several, or no pictures or several folders of them.
    """
    if not folder.is_dir():
        msg = f"{folder} is no folder: give the one that holds the table of labels, and the images"
        raise UsageError(msg)
    there = listing(folder)
    tables = [name for name in there.files if name.lower().endswith(".csv")]
    if len(tables) != 1:
        msg = f"{folder} must hold one table of labels (CSV), found {', '.join(tables) or 'none'}"
        raise UsageError(msg)
    homes = [place for place in (folder, *(folder / name for name in there.folders)) if pictures(place)]
    if len(homes) != 1:
        found = ", ".join(map(str, homes)) or "none"
        msg = f"the images of {folder / tables[0]} must lie in one folder, beside it or one below, found {found}"
        raise UsageError(msg)
    return folder / tables[0], homes[0]
