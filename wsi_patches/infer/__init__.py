"""Finding the white cells of a slide and classifying them, into a report."""

from wsi_patches.counting.centred import diameter_of
from wsi_patches.infer.choice import METHODS, ModelChoice
from wsi_patches.infer.classify import FINDER_SCORE, classify_cells, load_classifier
from wsi_patches.infer.count import FOUND, MARKED, count_slide
from wsi_patches.infer.detect import DETECTED
from wsi_patches.infer.finder import CLASSICAL, ChosenFinder, load_finder
from wsi_patches.infer.marked import MARKED_CLASSES
from wsi_patches.infer.methods import Counted, ask_patches, count_by, lay_patches
from wsi_patches.infer.patches import PATCHES
from wsi_patches.infer.slide_patches import PatchTable

__all__ = [
    "CLASSICAL",
    "DETECTED",
    "FINDER_SCORE",
    "FOUND",
    "MARKED",
    "MARKED_CLASSES",
    "METHODS",
    "PATCHES",
    "ChosenFinder",
    "Counted",
    "ModelChoice",
    "PatchTable",
    "ask_patches",
    "classify_cells",
    "count_by",
    "count_slide",
    "diameter_of",
    "lay_patches",
    "load_classifier",
    "load_finder",
]
