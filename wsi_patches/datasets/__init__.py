"""Known folder layouts in, slides with their annotations, labels and groups out."""

from wsi_patches.datasets.all_idb1 import is_all_idb1, read_all_idb1
from wsi_patches.datasets.find import find_slides
from wsi_patches.datasets.ids import assign_ids, safe_id
from wsi_patches.datasets.item import SlideItem

__all__ = ["SlideItem", "assign_ids", "find_slides", "is_all_idb1", "read_all_idb1", "safe_id"]
