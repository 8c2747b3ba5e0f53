"""From detections to cells that are counted once, with intervals."""

from wsi_patches.counting.intervals import fraction_interval
from wsi_patches.counting.matching import assign_points_to_boxes, assign_points_to_points, match_points_to_boxes
from wsi_patches.counting.merge import merge_points
from wsi_patches.counting.windows import CellFinder, find_cells

__all__ = [
    "CellFinder",
    "assign_points_to_boxes",
    "assign_points_to_points",
    "find_cells",
    "fraction_interval",
    "match_points_to_boxes",
    "merge_points",
]
