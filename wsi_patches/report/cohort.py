"""``report.html`` of all slides: who stands out, how counts are spread, and a table that can be sorted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

from wsi_patches.html_page import SORT_SCRIPT, details_table, html_document
from wsi_patches.locations import patiently
from wsi_patches.outcome import DONE, FAILED, PARTIAL, Interval, SlideReport
from wsi_patches.report.groups import GroupCount
from wsi_patches.report.histogram import histogram
from wsi_patches.report.outliers import is_soft, outliers, percent
from wsi_patches.stores.files import replacing

__all__ = ["COHORT", "render_cohort", "write_cohort"]

COHORT = "report.html"
"""The page's name, beside ``counts.csv``."""
MOST_ROWS = 2000
"""Slides, and groups, of a table: more of them make a page slow. Slides that stand out go first, then the order."""
MOST_NAMED = 200
"""Slides that stand out, named with their reasons."""
SLIDE_HEADS = (
    "Slide",
    "Group",
    "Status",
    "Blasts (95 %)",
    "White cells (95 %)",
    "Blasts among white cells (95 %)",
    "Out of focus",
    "Looked at",
    "Unlike training",
)
GROUP_HEADS = (
    "Group",
    "Slides counted",
    "Failed",
    "With blasts",
    "Blasts (95 %)",
    "White cells (95 %)",
    "Blasts among white cells (95 %)",
)
Field = tuple[str, float | None]
"""A table's text, and what it is sorted by where that is another."""


def write_cohort(out: Path, reports: Sequence[SlideReport], groups: Sequence[GroupCount]) -> None:
    """Write the page of all slides into an output folder; it replaces an earlier one only once it is whole.

    Parameters
    ----------
    out
        The output folder, with a folder for each slide that did not fail.
    reports
        Of all slides, in input order.
    groups
        Patients, or slides of several fields, where they are known.
    """
    page = render_cohort(reports, groups)
    patiently(lambda: _write(out / COHORT, page))


def _write(path: Path, page: str) -> None:
    with replacing(path) as partial:
        partial.write_text(page, encoding="utf-8")


def render_cohort(reports: Sequence[SlideReport], groups: Sequence[GroupCount]) -> str:
    """Return the page; parameters as of `write_cohort`.

    It has at most `MOST_ROWS` rows a table, and says so where there are more, so that it stays below 4 MB.
    """
    named = outliers(reports, [one.group for one in groups])
    title = f"{len(reports)} slides" if len(reports) != 1 else "1 slide"
    body = [
        f"<h1>{title}</h1>",
        details_table(_summary(reports, named)),
        *_outliers(reports, named),
        "<h2>How counts are spread</h2>",
        *_spread(reports),
        *_groups(groups),
        *_slides(reports, named),
    ]
    return html_document(title, "\n".join(body), SORT_SCRIPT)


def _summary(reports: Sequence[SlideReport], named: Mapping[str, object]) -> dict[str, str]:
    status = [report.status for report in reports]
    return {
        "Counted": str(status.count(DONE)),
        "Counted in part (places could not be read)": str(status.count(PARTIAL)),
        "Failed": str(status.count(FAILED)),
        "Mostly out of focus": str(sum(is_soft(report) for report in reports)),
        "Unlike the model's training slides": str(sum(report.abstains for report in reports)),
        "Stand out for any reason": str(len(named)),
        "Models": ", ".join(sorted({report.model for report in reports if report.model})) or "none",
    }


def _outliers(reports: Sequence[SlideReport], named: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    yield "<h2>Slides that stand out</h2>"
    if not named:
        yield "<p>None: no slide failed, is out of focus, unlike the training, or far from others of its group.</p>"
        return
    shown = [report for report in reports if report.slide_id in named][:MOST_NAMED]
    if len(named) > len(shown):
        yield f"<p>The first {len(shown)} of {len(named)}; all are in counts.csv.</p>"
    rows = [(_linked(report), f"<td>{escape('; '.join(named[report.slide_id]))}</td>") for report in shown]
    yield _table("What to look at first", ("Slide", "Why"), rows)


def _spread(reports: Sequence[SlideReport]) -> Iterator[str]:
    """Yield a histogram of each figure that is known of some slide."""
    shares = [one.blast_fraction.value for one in reports if one.blast_fraction is not None]
    blasts = [one.blasts.value for one in reports if one.blasts is not None]
    white = [one.white_cells.value for one in reports if one.white_cells is not None]
    if shares:
        yield f"<figure>{histogram(shares, 'Blasts among white cells of a slide', share=True)}</figure>"
    for values, label in ((blasts, "Blasts on a slide"), (white, "White cells on a slide")):
        if values:
            yield f"<figure>{histogram([max(0.0, one) for one in values], label)}</figure>"
    if not white:
        yield "<p>No slide was counted.</p>"
    else:
        yield "<p>Above each bar stands the number of slides in it.</p>"


def _groups(groups: Sequence[GroupCount]) -> Iterator[str]:
    if not groups:
        return
    kind = groups[0].group_kind or "group"
    yield f"<h2>By {escape(kind)}</h2>"
    if len(groups) > MOST_ROWS:
        yield f"<p>The first {MOST_ROWS} of {len(groups)}; all are in groups.csv.</p>"
    rows = [(f'<th scope="row">{escape(one.group)}</th>', _cells(_group_fields(one))) for one in groups[:MOST_ROWS]]
    yield _table(f"Slides of each {kind} taken together", GROUP_HEADS, rows)


def _group_fields(group: GroupCount) -> list[Field]:
    with_blasts = group.slides_with_blasts
    return [
        (str(group.slides), group.slides),
        (str(group.slides_failed), group.slides_failed),
        ("not known" if with_blasts is None else str(with_blasts), with_blasts),
        _count(group.blasts),
        _count(group.white_cells if group.slides else None),
        _share(group.blast_fraction),
    ]


def _slides(reports: Sequence[SlideReport], named: Mapping[str, object]) -> Iterator[str]:
    yield '<h2 id="all-slides">All slides</h2>'
    shown = reports
    if len(reports) > MOST_ROWS:
        first = [report.slide_id for report in reports if report.slide_id in named]
        first += [report.slide_id for report in reports if report.slide_id not in named]
        kept = set(first[:MOST_ROWS])
        shown = [report for report in reports if report.slide_id in kept]
        yield f"<p>{MOST_ROWS} of {len(reports)} slides, those that stand out among them; all are in counts.csv.</p>"
    rows = [(_linked(report), _cells(_slide_fields(report))) for report in shown]
    yield _table("Counts of each slide", SLIDE_HEADS, rows)


def _slide_fields(report: SlideReport) -> list[Field]:
    soft, judged, unlike = report.patches_out_of_focus, report.extra.get("focus_patches"), report.unlike_training
    done = report.status != FAILED
    return [
        (report.group or "", None),
        (report.status, None),
        _count(report.blasts),
        _count(report.white_cells),
        _share(report.blast_fraction),
        ("", None) if soft is None else (f"{soft} of {judged}", soft / judged) if judged else (str(soft), float(soft)),
        (f"{100 * report.coverage:.1f} %", report.coverage) if done else ("", None),
        ("", None) if unlike is None else (f"{unlike:.2f}", unlike),
    ]


def _count(interval: Interval | None) -> Field:
    if interval is None:
        return "", None
    return f"{interval.value:.0f} ({interval.low:.0f} to {interval.high:.0f})", interval.value


def _share(interval: Interval | None) -> Field:
    return ("", None) if interval is None else (percent(interval), interval.value)


def _linked(report: SlideReport) -> str:
    """Return the head of a slide's row: a link to its page, which a failed slide has not."""
    name = escape(report.slide_id)
    if report.status == FAILED:
        return f'<th scope="row">{name}</th>'
    return f'<th scope="row"><a href="{escape(quote(report.slide_id))}/report.html">{name}</a></th>'


def _cells(fields: Sequence[Field]) -> str:
    return "".join(
        f"<td>{escape(text)}</td>" if value is None else f'<td data-value="{value:.6g}">{escape(text)}</td>'
        for text, value in fields
    )


def _table(caption: str, heads: Sequence[str], rows: Sequence[tuple[str, str]]) -> str:
    """Return a table that can be sorted, of the head and the cells of each row, both HTML."""
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in heads)
    body = "\n".join(f"<tr>{first}{rest}</tr>" for first, rest in rows)
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{escape(caption)}">\n<table class="sortable">\n'
        f"<caption>{escape(caption)}</caption>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"
    )
