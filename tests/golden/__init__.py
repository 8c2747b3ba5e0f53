"""Comparisons with published numbers."""

import csv
import os
from pathlib import Path

from tests.conftest import ROOT


def shared_rows(name: str) -> list[dict[str, str]]:
    """Return the rows of a table of golden numbers beside the real data; none where it is absent."""
    table = Path(os.environ.get("WSI_PATCHES_SHARED", ROOT.parent / "shared")) / "specs" / name
    if not table.is_file():
        return []
    with table.open(newline="") as file:
        return list(csv.DictReader(file))
