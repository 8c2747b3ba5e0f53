"""What a slide came to, for machines (CSV, JSON, GeoJSON) and for people (picture, page)."""

from wsi_patches.report.album import cut_galleries
from wsi_patches.report.cohort import COHORT, write_cohort
from wsi_patches.report.counts import COLUMNS, CountsFile, write_counts
from wsi_patches.report.files import read_report, read_reports, remove_slide_reports, write_slide_report
from wsi_patches.report.groups import GROUP_COLUMNS, GroupCount, group_counts, write_groups
from wsi_patches.report.overlay import draw_overlay, overview
from wsi_patches.report.types import TypeCounts, read_types, write_types

__all__ = [
    "COHORT",
    "COLUMNS",
    "GROUP_COLUMNS",
    "CountsFile",
    "GroupCount",
    "TypeCounts",
    "cut_galleries",
    "draw_overlay",
    "group_counts",
    "overview",
    "read_report",
    "read_reports",
    "read_types",
    "remove_slide_reports",
    "write_cohort",
    "write_counts",
    "write_groups",
    "write_slide_report",
    "write_types",
]
