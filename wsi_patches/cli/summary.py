"""What a batch came to, in words, in JSON, and as an exit code."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, NoReturn

import click

from wsi_patches.outcome import DONE, FAILED, PARTIAL, Outcome

__all__ = ["INTERRUPTED", "finish", "leave_now"]

WARNINGS_SHOWN = 3
INTERRUPTED = 130
"""Exit code of what was stopped from the keyboard, as shells have it."""


def finish(
    outcomes: Sequence[Outcome],
    lines: Sequence[str],
    summary: Mapping[str, Any],
    *,
    as_json: bool = False,
    strict: bool = False,
    quiet: bool = False,
    verbose: bool = False,
) -> NoReturn:
    """Print what was done and leave with 0 if all slides are done, 1 if some failed.

    Parameters
    ----------
    outcomes
        One a slide.
    lines
        Sentences for people.
    summary
        Further keys of the JSON summary.
    as_json, strict, quiet, verbose
        The options of the same names.
    """
    counts = Counter(outcome.status for outcome in outcomes)
    code = 1 if counts[FAILED] or (strict and counts[PARTIAL]) else 0
    if as_json:
        slides = [asdict(outcome) for outcome in outcomes]
        click.echo(json.dumps({**summary, "exit_code": code, "slides": slides}))
    elif not quiet:
        for line in (*_told(outcomes, verbose=verbose), *lines):
            click.echo(line)
    for outcome in outcomes:
        if outcome.status == FAILED:
            click.echo(f"failed: {outcome.slide_id}: {outcome.error}", err=True)
    click.get_current_context().exit(code)


def leave_now(code: int) -> NoReturn:
    """Leave without waiting for threads that are in the middle of a slide: what they write counts only once whole."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _told(outcomes: Sequence[Outcome], *, verbose: bool) -> list[str]:
    counts = Counter(outcome.status for outcome in outcomes)
    told = [f"{counts[status]} {status}" for status in (DONE, PARTIAL, FAILED) if counts[status]]
    lines = [f"slides: {', '.join(told)}"]
    if verbose:
        lines += [f"{outcome.status}: {outcome.slide_id}: {outcome.path}" for outcome in outcomes]
    warned = _warnings(outcomes)
    shown = warned if verbose else warned[:WARNINGS_SHOWN]
    rest = len(warned) - len(shown)
    return [*lines, *shown, *([f"and {rest} more warnings (see them all with -v)"] if rest else [])]


def _warnings(outcomes: Sequence[Outcome]) -> list[str]:
    """Return a line for each different warning, with the slide or how many slides it is of."""
    slides: dict[str, list[str]] = {}
    for outcome in outcomes:
        for text in outcome.warnings:
            slides.setdefault(text, []).append(outcome.slide_id)
    return [f"warning: {of[0] if len(of) == 1 else f'{len(of)} slides'}: {text}" for text, of in slides.items()]
