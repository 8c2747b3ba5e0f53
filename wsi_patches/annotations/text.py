"""Bytes of annotation files into text, JSON and rows of a table; what cannot be read is named."""

from __future__ import annotations

import csv
import json
import math
import re
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wsi_patches.errors import AnnotationError
from wsi_patches.locations import patiently

__all__ = ["bytes_of", "column_key", "csv_rows", "finite", "json_of", "score_of", "text_of"]

DELIMITERS = ",;\t"
LARGEST = 1e100
"""Products of three such numbers, as areas need them, are still finite."""


def bytes_of(path: Path) -> bytes:
    """Return what a file holds."""
    try:
        return patiently(path.read_bytes)
    except OSError as error:
        msg = f"{path} cannot be read as an annotation file: {error}"
        raise AnnotationError(msg) from error


def text_of(path: Path) -> str:
    """Return a file's text: UTF-8, with or without a byte-order mark."""
    try:
        return bytes_of(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        msg = f"{path}, line {line}: expected UTF-8, found the byte {error.object[error.start]:#04x}"
        raise AnnotationError(msg) from error


def json_of(path: Path) -> Any:
    """Return what a JSON file says."""
    text = text_of(path)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        msg = f"{path} is not JSON, or ends too early: {error}"
        raise AnnotationError(msg) from error


def finite(value: Any, where: str) -> float:
    """Return a number of a file, as text or as JSON has it.

    Raises
    ------
    AnnotationError
        It is none, or it is not finite, or beyond all measure; ``where`` begins the message: file, line or element,
        and field.
    """
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not abs(number) <= LARGEST:
        msg = f"{where}: expected a number, found {reprlib.repr(value)}"
        raise AnnotationError(msg)
    return number


def score_of(value: Any, where: str) -> float:
    """Return a score; one outside of 0..1, or that is no number, is an AnnotationError as of `finite`."""
    score = finite(value, where)
    if not 0 <= score <= 1:
        msg = f"{where}: expected a score in 0..1, found {score:g}"
        raise AnnotationError(msg)
    return score


def column_key(title: str) -> str:
    """Return a column's title without case, blanks and punctuation, as titles are compared."""
    return re.sub(r"[\W_]+", "", title.lower())


def csv_rows(path: Path) -> tuple[tuple[str, ...], list[tuple[int, Mapping[str, str]]]]:
    """Read a table that has a header, its delimiter being a comma, a semicolon or a tab.

    Returns
    -------
    The columns' titles as `column_key` makes them, and each row that is not blank: its line, and its fields by title.

    Raises
    ------
    AnnotationError
        There is no header, a column is named twice, or a row has more or fewer fields than the header.
    """
    lines = text_of(path).splitlines()
    if not lines or not lines[0].strip():
        msg = f"{path}, line 1: expected a header with the names of the columns, found nothing"
        raise AnnotationError(msg)
    reader = csv.reader(lines, delimiter=max(DELIMITERS, key=lines[0].count), strict=True)
    try:
        table = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        msg = f"{path}, line {reader.line_num}: not a row of a table: {error}"
        raise AnnotationError(msg) from error
    titles = tuple(column_key(title) for title in table[0][1])
    _check_titles(path, titles)
    return titles, [(line, _fields(path, line, titles, row)) for line, row in table[1:] if any(map(str.strip, row))]


def _check_titles(path: Path, titles: tuple[str, ...]) -> None:
    twice = sorted({title for title in titles if title and titles.count(title) > 1})
    if twice:
        msg = f"{path}, line 1: each column is named once, found {', '.join(twice)} more often"
        raise AnnotationError(msg)


def _fields(path: Path, line: int, titles: tuple[str, ...], row: list[str]) -> Mapping[str, str]:
    if len(row) != len(titles):
        msg = f"{path}, line {line}: expected {len(titles)} fields as in the header, found {len(row)}"
        raise AnnotationError(msg)
    return dict(zip(titles, map(str.strip, row), strict=True))
