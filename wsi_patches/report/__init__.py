"""What a slide came to, for machines (CSV, JSON, GeoJSON) and for people (picture, page)."""

from wsi_patches.report.counts import COLUMNS, CountsFile, write_counts
from wsi_patches.report.files import read_report, read_reports, remove_slide_reports, write_slide_report
from wsi_patches.report.groups import GROUP_COLUMNS, GroupCount, group_counts, write_groups
from wsi_patches.report.overlay import draw_overlay, overview

__all__ = [
    "COLUMNS",
    "GROUP_COLUMNS",
    "CountsFile",
    "GroupCount",
    "draw_overlay",
    "group_counts",
    "overview",
    "read_report",
    "read_reports",
    "remove_slide_reports",
    "write_counts",
    "write_groups",
    "write_slide_report",
]
