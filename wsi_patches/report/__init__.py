"""What a slide came to, for machines (CSV, JSON, GeoJSON) and for people (picture, page)."""

from wsi_patches.report.counts import COLUMNS, write_counts
from wsi_patches.report.files import read_report, remove_slide_reports, write_slide_report
from wsi_patches.report.overlay import draw_overlay, overview

__all__ = [
    "COLUMNS",
    "draw_overlay",
    "overview",
    "read_report",
    "remove_slide_reports",
    "write_counts",
    "write_slide_report",
]
