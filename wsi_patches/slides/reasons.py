"""What a library says of a damaged file, fit for a user's eyes."""

from __future__ import annotations

import re

__all__ = ["reason_of"]

QUOTED = re.compile(r"""b?'.*'|b?".*"|<.*>|\{.*\}|\[.*\]""")
LONGEST = 200
OF_PYTHON = (TypeError, ArithmeticError, LookupError, AttributeError, AssertionError)
"""What a library that trusts a file runs into; "division by zero" tells a user nothing."""


def reason_of(error: BaseException) -> str:
    """Return an error's text without what it quotes of the file: a description or a label may name a patient."""
    if isinstance(error, OF_PYTHON):
        return "what it says of itself makes no sense"
    text = QUOTED.sub("...", " ".join(str(error).split()))
    return text[:LONGEST] if any(letter.isalpha() for letter in text) else type(error).__name__
