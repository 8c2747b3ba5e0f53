"""Slides of blood into labelled patches and counts of leukemic blasts. For research use, never a diagnosis.

Names are loaded when they are asked for, so that importing the package loads neither torch nor dask nor zarr.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from wsi_patches._version import __version__

if TYPE_CHECKING:
    from wsi_patches.cells import Cells
    from wsi_patches.grid import PatchGrid, PatchSpec
    from wsi_patches.slides import open_slide
    from wsi_patches.stores import open_store

__all__ = ["Cells", "PatchGrid", "PatchSpec", "__version__", "open_slide", "open_store"]

_HOME = {"Cells": "cells", "PatchGrid": "grid", "PatchSpec": "grid", "open_slide": "slides", "open_store": "stores"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
