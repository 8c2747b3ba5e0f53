"""Opening slides: one file a backend, one door, `open_slide`."""

from wsi_patches.slides.image import ImageSlide
from wsi_patches.slides.opening import READERS, SUFFIXES, open_slide
from wsi_patches.slides.openslide_reader import OpenSlideSlide
from wsi_patches.slides.tiff import TiffSlide

__all__ = ["READERS", "SUFFIXES", "ImageSlide", "OpenSlideSlide", "TiffSlide", "open_slide"]
