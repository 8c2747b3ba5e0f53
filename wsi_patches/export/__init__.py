"""Patches of a store in the formats of other trainers: one file a format, each one function of an `ExportJob`."""

from wsi_patches.export.base import FORMATS, ExportJob, check_format, find_format
from wsi_patches.export.images import ImageSettings
from wsi_patches.export.patches import ExportPatches, PatchCells

__all__ = ["FORMATS", "ExportJob", "ExportPatches", "ImageSettings", "PatchCells", "check_format", "find_format"]
