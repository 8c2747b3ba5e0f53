"""What a file says of its pixel size: taken where it is plausible, never guessed."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["UNSTATED", "PixelSize", "mean_mpp", "number", "plausible_mpp", "um_per_unit"]

PLAUSIBLE_MPP = (0.05, 20.0)
"""um; general resolution tags outside of this are a printer's (72 dpi is 353 um, 300 dpi is 85 um)."""
AGREEMENT = 0.05
"""Largest relative difference of x and y for which their mean is used."""
METRE_PREFIXES = {"k": 9, "": 6, "d": 5, "c": 4, "m": 3, "µ": 0, "μ": 0, "u": 0, "n": -3, "p": -6, "f": -9}
METRE_WORDS = {"milli": 3, "centi": 4, "micro": 0, "nano": -3, "pico": -6, "": 6}
UM_PER_UNIT = {
    **{f"{prefix}m": 10.0**power for prefix, power in METRE_PREFIXES.items()},
    **{f"{prefix}{metre}": 10.0**power for prefix, power in METRE_WORDS.items() for metre in ("meter", "metre")},
    **dict.fromkeys(("micron", "microns", "\\u00B5m", "\\u00b5m"), 1.0),  # ImageJ escapes what is not ASCII
    **dict.fromkeys(("Å", "angstrom"), 1e-4),
    **dict.fromkeys(("in", "inch"), 25_400.0),
    "thou": 25.4,
    "pt": 25_400.0 / 72,
}
"""Symbols as OME-XML and ImageJ write them, words as OME-Zarr does."""


@dataclass(frozen=True)
class PixelSize:
    """A level-0 pixel as a file states it, in um; None where the file does not, or states nonsense."""

    x_um: float | None = None
    y_um: float | None = None

    @property
    def mpp(self) -> float | None:
        """Return the pixel size where pixels are square, else None."""
        return mean_mpp(self.x_um, self.y_um)

    @property
    def notes(self) -> tuple[str, ...]:
        """Return a sentence for the user where a size is stated and cannot be used."""
        if self.x_um is None or self.y_um is None or self.mpp is not None:
            return ()
        return (
            f"the file states pixels of {self.x_um:g} x {self.y_um:g} um, which are not square: its resolution "
            "counts as unknown",
        )

    def if_plausible(self) -> PixelSize:
        """Return the same where a microscope may have made it: the place it comes from may as well be a printer's."""
        return self if all(plausible_mpp(side) for side in (self.x_um, self.y_um)) else UNSTATED


UNSTATED = PixelSize()
"""The file does not say."""


def number(text: str | None) -> float | None:
    """Return a finite number above 0, or None where the text holds none."""
    try:
        value = float(text) if text is not None else math.nan
    except ValueError:
        return None
    return value if 0 < value < math.inf else None


def um_per_unit(unit: str) -> float | None:
    """Return how many um a unit of length is, by its symbol or its English name; None for any other."""
    unit = unit.strip()
    return UM_PER_UNIT.get(unit, UM_PER_UNIT.get(unit.lower()) if len(unit) > 2 else None)


def mean_mpp(x_mpp: float | None, y_mpp: float | None) -> float | None:
    """Return the pixel size of square pixels, or None where either is unknown or they differ by over 5 %."""
    if x_mpp is None or y_mpp is None:
        return None
    mean = (x_mpp + y_mpp) / 2
    return mean if abs(x_mpp - y_mpp) <= AGREEMENT * mean else None


def plausible_mpp(mpp: float | None) -> float | None:
    """Return ``mpp`` where a microscope may have made it, else None."""
    lowest, highest = PLAUSIBLE_MPP
    return mpp if mpp is not None and lowest <= mpp <= highest else None
