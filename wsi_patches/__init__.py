"""Slides of blood into labelled patches and counts of leukemic blasts. For research use, never a diagnosis."""

from wsi_patches._version import __version__

__all__ = ["__version__"]
