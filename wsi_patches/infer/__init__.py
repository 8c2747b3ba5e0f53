"""Finding the white cells of a slide and classifying them, into a report."""

from wsi_patches.infer.classify import classify_cells, load_classifier
from wsi_patches.infer.count import FOUND, MARKED, count_slide
from wsi_patches.infer.marked import MARKED_CLASSES, diameter_of

__all__ = ["FOUND", "MARKED", "MARKED_CLASSES", "classify_cells", "count_slide", "diameter_of", "load_classifier"]
