"""Annotation files in, labels out; a file's own convention ends at its reader."""

from wsi_patches.annotations.all_idb_patches import AllIdbPatch, all_idb_patches_index, read_all_idb_patches
from wsi_patches.annotations.coco import CocoIndex, coco_index, read_coco, write_coco
from wsi_patches.annotations.dicom import read_dicom, write_dicom
from wsi_patches.annotations.file import AnnotationFile
from wsi_patches.annotations.files import FORMATS, SUFFIXES, classes_in, read_annotations
from wsi_patches.annotations.geojson import geojson_classes, read_geojson
from wsi_patches.annotations.labels import PatchLabels, label_patches, local_xy
from wsi_patches.annotations.marks import BOX_COLUMNS, boxes_of, in_class_order, rename_classes
from wsi_patches.annotations.masks import cells_from_labels, cells_from_mask
from wsi_patches.annotations.table import read_table
from wsi_patches.annotations.voc import read_voc, voc_image_size, write_voc
from wsi_patches.annotations.xyc import read_xyc, write_xyc
from wsi_patches.annotations.yolo import read_yolo, read_yolo_names, write_yolo, write_yolo_names

__all__ = [
    "BOX_COLUMNS",
    "FORMATS",
    "SUFFIXES",
    "AllIdbPatch",
    "AnnotationFile",
    "CocoIndex",
    "PatchLabels",
    "all_idb_patches_index",
    "boxes_of",
    "cells_from_labels",
    "cells_from_mask",
    "classes_in",
    "coco_index",
    "geojson_classes",
    "in_class_order",
    "label_patches",
    "local_xy",
    "read_all_idb_patches",
    "read_annotations",
    "read_coco",
    "read_dicom",
    "read_geojson",
    "read_table",
    "read_voc",
    "read_xyc",
    "read_yolo",
    "read_yolo_names",
    "rename_classes",
    "voc_image_size",
    "write_coco",
    "write_dicom",
    "write_voc",
    "write_xyc",
    "write_yolo",
    "write_yolo_names",
]
