"""Text for formats that hold UTF-8 alone."""

from __future__ import annotations

__all__ = ["spelt_out"]


def spelt_out(text: str) -> str:
    """Return a text, with bytes of a file's name that are no UTF-8 spelt out; other text is returned as it is."""
    return text.encode("utf-8", "backslashreplace").decode()
