"""Known folder layouts in, slides with their annotations, labels and groups out."""

from wsi_patches.datasets.find import Found, annotations_of, find_inputs, find_slides
from wsi_patches.datasets.groups import GroupRule, with_groups
from wsi_patches.datasets.ids import assign_ids, safe_id
from wsi_patches.datasets.item import SlideItem, class_names_of
from wsi_patches.datasets.layout import Dataset, Layout
from wsi_patches.datasets.layouts import LAYOUTS, recognise
from wsi_patches.datasets.pictures import picture_side

__all__ = [
    "LAYOUTS",
    "Dataset",
    "Found",
    "GroupRule",
    "Layout",
    "SlideItem",
    "annotations_of",
    "assign_ids",
    "class_names_of",
    "find_inputs",
    "find_slides",
    "picture_side",
    "recognise",
    "safe_id",
    "with_groups",
]
