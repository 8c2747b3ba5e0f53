"""The morphology of a white cell in named attributes, such as hematologists mark it cell by cell.

The seven are those of LeukemiaAttri and the Large Leukemia Dataset (Rehman and others, MICCAI 2024, arXiv 2405.10803;
arXiv 2504.02602). What the numbers in their files mean is not documented there: a recipe says it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["SEVEN", "Attribute", "in_words", "shares_in_words"]


@dataclass(frozen=True)
class Attribute:
    """One thing that is said of each cell."""

    name: str
    """Also the name of its column: ``nuclear_shape``."""
    values: tuple[str, ...]
    """What it may be, in the order of the numbers 0, 1, ...; a number outside of it says that it is not known."""


SEVEN = (
    Attribute("cell_size", ("small", "large")),
    Attribute("nuclear_chromatin", ("open", "coarse")),
    Attribute("nuclear_shape", ("regular", "irregular")),
    Attribute("nucleus", ("inconspicuous", "prominent")),
    Attribute("cytoplasm", ("scanty", "abundant")),
    Attribute("cytoplasmic_basophilia", ("slight", "moderate")),
    Attribute("cytoplasmic_vacuoles", ("absent", "prominent")),
)
"""Of leukemic cells; ``nucleus`` says how well nucleoli are seen."""

UNNAMED = ("none", "unknown", "other")
"""Types that say nothing of what a cell looks like."""
AS_TOLD = {
    "cell_size": {"": "{} cells"},
    "nuclear_shape": {"": "{} nuclei"},
    "nuclear_chromatin": {"": "{} chromatin"},
    "nucleus": {"": "{} nucleoli"},
    "cytoplasm": {"": "{} cytoplasm"},
    "cytoplasmic_basophilia": {"slight": "slightly basophilic cytoplasm", "moderate": "moderately basophilic cytoplasm",
                               "": "cytoplasm of {} basophilia"},
    "cytoplasmic_vacuoles": {"absent": "cytoplasm without vacuoles", "": "{} vacuoles"},
}  # fmt: skip
"""What is said of many cells, by attribute and value; ``""`` for any other value."""


def in_words(attributes: Mapping[str, str], kind: str = "") -> str:
    """Return what is known of one cell's morphology as a plain English sentence; an empty text where nothing is.

    It says what a cell looks like, and never what a patient has.

    Parameters
    ----------
    attributes
        Values by name, as of `SEVEN`; an empty one is not known and is left out. Others are told by their names, in a
        sentence of their own.
    kind
        What the cell is called, such as ``lymphoblast``; nothing is said of it if empty.

    Examples
    --------
    >>> in_words({"cell_size": "large", "nuclear_shape": "irregular", "cytoplasm": "scanty"}, "lymphoblast")
    'A large cell of the type lymphoblast with an irregular nucleus and scanty cytoplasm.'
    """
    known = {name: value.strip().lower() for name, value in attributes.items() if value.strip()}
    head = _with_article(f"{known['cell_size']} cell" if "cell_size" in known else "cell")
    kind = "" if kind.lower() in UNNAMED else kind
    named = f"{head} of the type {_plain(kind)}" if kind else head
    parts = _joined(_parts(known))
    first = f"{named} with {parts}." if parts else f"{named}."
    ours = {one.name for one in SEVEN}
    others = [f"{_plain(name)} {value}" for name, value in known.items() if name not in ours]
    second = f"{_joined(others)}." if others else ""
    told = [first] if parts or kind or "cell_size" in known else []
    return " ".join(one[0].upper() + one[1:] for one in (*told, *([second] if second else [])))


def _parts(known: Mapping[str, str]) -> list[str]:
    """Return what a cell has, nucleus first."""
    parts = [_with_article(f"{known['nuclear_shape']} nucleus")] if "nuclear_shape" in known else []
    parts += [f"{known['nuclear_chromatin']} chromatin"] if "nuclear_chromatin" in known else []
    parts += [f"{known['nucleus']} nucleoli"] if "nucleus" in known else []
    return [*parts, *_cytoplasm(known)]


def _cytoplasm(known: Mapping[str, str]) -> list[str]:
    basophilia, vacuoles = known.get("cytoplasmic_basophilia", ""), known.get("cytoplasmic_vacuoles", "")
    adverb = {"slight": "slightly basophilic", "moderate": "moderately basophilic"}.get(basophilia, "")
    words = [one for one in (known.get("cytoplasm", ""), adverb) if one]
    after = f" of {basophilia} basophilia" if basophilia and not adverb else ""
    after += {"": "", "absent": " without vacuoles"}.get(vacuoles, f" with {vacuoles} vacuoles")
    return [f"{', '.join(words)} cytoplasm{after}".strip()] if words or after else []


def shares_in_words(columns: Mapping[str, Sequence[str]], of: str) -> str:
    """Return how often each value of the attributes of several cells occurs, as a sentence; empty where none is known.

    Parameters
    ----------
    columns
        Values of all cells by attribute; an empty one is not known, and counts for nothing.
    of
        What the cells are, in the plural.

    Examples
    --------
    >>> shares_in_words({"nuclear_shape": ["irregular", "irregular", "regular", ""]}, "blasts")
    'Of 4 blasts, as far as known: irregular nuclei 67 %, regular nuclei 33 %.'
    """
    told = []
    for name, values in columns.items():
        known = [value.strip().lower() for value in values if value.strip()]
        for value in sorted(set(known), key=lambda one: (-known.count(one), one)):
            told.append(f"{_of_many(name, value)} {100 * known.count(value) / len(known):.0f} %")
    count = max((len(values) for values in columns.values()), default=0)
    return f"Of {count} {of}, as far as known: {', '.join(told)}." if told else ""


def _of_many(name: str, value: str) -> str:
    phrases = AS_TOLD.get(name, {"": f"{_plain(name)} {{}}"})
    return phrases.get(value, phrases[""]).format(value)


def _plain(name: str) -> str:
    return name.replace("_", " ").strip()


def _with_article(words: str) -> str:
    return f"{'an' if words[:1] in 'aeiou' else 'a'} {words}"


def _joined(parts: Sequence[str]) -> str:
    """Return parts as people list them."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else "".join(parts)
