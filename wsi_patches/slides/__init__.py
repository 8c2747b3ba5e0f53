"""Opening slides: one file a backend, one door, `open_slide`."""

from wsi_patches.slides.array import ArraySlide
from wsi_patches.slides.associated import associated_names, read_associated
from wsi_patches.slides.fingerprint import fingerprint
from wsi_patches.slides.forgiving import ForgivingSlide
from wsi_patches.slides.image import ImageSlide
from wsi_patches.slides.ome_zarr import OmeZarrSlide
from wsi_patches.slides.opening import READERS, SUFFIXES, is_slide_folder, open_as, open_slide
from wsi_patches.slides.openslide_reader import OpenSlideSlide
from wsi_patches.slides.tiff import TiffSlide

__all__ = [
    "READERS",
    "SUFFIXES",
    "ArraySlide",
    "ForgivingSlide",
    "ImageSlide",
    "OmeZarrSlide",
    "OpenSlideSlide",
    "TiffSlide",
    "associated_names",
    "fingerprint",
    "is_slide_folder",
    "open_as",
    "open_slide",
    "read_associated",
]
