"""Annotation files in, labels out; a file's own convention ends at its reader."""

from wsi_patches.annotations.file import AnnotationFile
from wsi_patches.annotations.files import read_annotations
from wsi_patches.annotations.geojson import read_geojson
from wsi_patches.annotations.labels import PatchLabels, label_patches, local_xy
from wsi_patches.annotations.xyc import read_xyc, write_xyc

__all__ = [
    "AnnotationFile",
    "PatchLabels",
    "label_patches",
    "local_xy",
    "read_annotations",
    "read_geojson",
    "read_xyc",
    "write_xyc",
]
