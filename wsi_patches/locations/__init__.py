"""Where files lie: on this machine, or in an object store under an ``s3://`` address."""

from wsi_patches.locations.address import Location, is_remote, path_of
from wsi_patches.locations.patience import PATIENCE_S, is_passing, patiently
from wsi_patches.locations.ranges import open_ranges, read_pieces
from wsi_patches.locations.remote import RemotePath
from wsi_patches.locations.trees import copy_tree, read_all, remove_tree

__all__ = [
    "PATIENCE_S",
    "Location",
    "RemotePath",
    "copy_tree",
    "is_passing",
    "is_remote",
    "open_ranges",
    "path_of",
    "patiently",
    "read_all",
    "read_pieces",
    "remove_tree",
]
