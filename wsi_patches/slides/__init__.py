"""Files into slides: one file a reader, and one function that chooses among them."""

from wsi_patches.slides.choose import READERS, SUFFIXES, open_slide

__all__ = ["READERS", "SUFFIXES", "open_slide"]
