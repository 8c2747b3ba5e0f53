"""Opening slides: one file a backend, one door, `open_slide`."""

from wsi_patches.slides.array import ArraySlide
from wsi_patches.slides.fingerprint import fingerprint
from wsi_patches.slides.image import ImageSlide
from wsi_patches.slides.opening import READERS, SUFFIXES, open_as, open_slide
from wsi_patches.slides.openslide_reader import OpenSlideSlide
from wsi_patches.slides.tiff import TiffSlide

__all__ = [
    "READERS",
    "SUFFIXES",
    "ArraySlide",
    "ImageSlide",
    "OpenSlideSlide",
    "TiffSlide",
    "fingerprint",
    "open_as",
    "open_slide",
]
