"""Writes painted fields as a folder that is laid out like ALL-IDB1: ``im/``, ``xyc/`` and ``other/``.

ALL-IDB1: Labati, Piuri and Scotti, ICIP 2011, doi 10.1109/ICIP.2011.6115881.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from wsi_patches.cells import Cells
from wsi_patches.errors import OutputExists, UsageError
from wsi_patches.geometry import Size
from wsi_patches.synthetic.settings import SmearSettings
from wsi_patches.synthetic.smear import paint_smear

__all__ = ["LARGE_FIELD", "SMALL_FIELD", "AllIdbField", "all_idb1_fields", "write_all_idb1"]

SMALL_FIELD, LARGE_FIELD = Size(1712, 1368), Size(2592, 1944)
"""The two sizes of ALL-IDB1's images."""
LEUKEMIC = (*range(1, 34), *range(48, 64))
"""The numbers of the images of patients with leukemia; the other numbers up to 108 are of healthy people."""
HEALTHY = tuple(number for number in range(1, 109) if number not in LEUKEMIC)
LAST_SMALL = 33


@dataclass(frozen=True)
class AllIdbField:
    """One image of a painted ALL-IDB1 folder."""

    number: int
    """The NNN of ``ImNNN_C``."""
    leukemic: bool
    """The C of ``ImNNN_C``; only then are there blasts."""
    settings: SmearSettings
    """What is on it."""
    size: Size = SMALL_FIELD
    """Width and height in pixels."""

    def __post_init__(self) -> None:
        if not self.leukemic and self.settings.blasts != 0:
            msg = f"{self.name} is of a healthy person, so its settings must say blasts=0, found {self.settings.blasts}"
            raise UsageError(msg)

    @property
    def name(self) -> str:
        """The image's name without suffix, such as ``Im001_1``."""
        return f"Im{self.number:03d}_{int(self.leukemic)}"


def all_idb1_fields(count: int = 4, seed: int = 0, leukemic: int | None = None) -> list[AllIdbField]:
    """Draw fields as they are in ALL-IDB1, in the order of their numbers.

    Parameters
    ----------
    count
        How many fields, 108 at most.
    seed
        Where chance comes from; a field's look depends on it and on the field's number only.
    leukemic
        How many are of patients, 49 at most; half of them, rounded up, if not given. Small and large fields take turns.

    Raises
    ------
    UsageError
        More are asked than the real set has.
    """
    patients = (count + 1) // 2 if leukemic is None else leukemic
    if not 0 <= patients <= min(len(LEUKEMIC), count) or count - patients > len(HEALTHY):
        msg = f"ALL-IDB1 has 49 fields of patients and 59 others, found {patients} and {count - patients} asked"
        raise UsageError(msg)
    small, large = LEUKEMIC[:LAST_SMALL], LEUKEMIC[LAST_SMALL:]
    taking_turns = [number for pair in zip(small, large, strict=False) for number in pair] + list(small[len(large) :])
    numbers = sorted((*taking_turns[:patients], *HEALTHY[: count - patients]))
    return [_draw_field(number, seed) for number in numbers]


def _draw_field(number: int, seed: int) -> AllIdbField:
    rng = np.random.default_rng([seed, 7501, number])
    is_leukemic, size = number in LEUKEMIC, SMALL_FIELD if number <= LAST_SMALL else LARGE_FIELD
    settings = SmearSettings.random(
        int(rng.integers(1 << 31)),
        cell_diameter_px=float(rng.uniform(62, 90) if size == SMALL_FIELD else rng.uniform(84, 120)),
        blasts=int(rng.integers(3, 25)) if is_leukemic else 0,
        others=int(rng.integers(2, 14) if is_leukemic else rng.integers(8, 26)),
    )
    return AllIdbField(number, is_leukemic, settings, size)


def write_all_idb1(
    folder: str | Path, images: Sequence[AllIdbField] | int = 4, seed: int = 0, *, quality: int = 95
) -> dict[str, Cells]:
    """Paint fields into a folder that is laid out like ALL-IDB1.

    ``im/ImNNN_C.jpg`` holds the image, ``xyc/ImNNN_C.xyc`` the blasts (a tab between x and y; an empty file where
    there are none), ``other/ImNNN_C.xyc`` the other white cells (a space); coordinates are whole and 1-based, lines end
    in LF.

    Parameters
    ----------
    folder
        Created if absent.
    images
        The fields, or how many `all_idb1_fields` is to draw.
    seed
        Only used when ``images`` is a number.
    quality
        JPEG quality, 1..100.

    Returns
    -------
    dict
        The truth by image name, such as ``Im001_1``; 0-based level-0 pixels, exactly one less than what is written.

    Raises
    ------
    OutputExists
        One of the images exists.
    UsageError
        Two fields share a name, or white cells do not fit.
    """
    fields = all_idb1_fields(images, seed) if isinstance(images, int) else list(images)
    if len({field.name for field in fields}) < len(fields):
        msg = f"two fields share a name: {', '.join(field.name for field in fields)}"
        raise UsageError(msg)
    root = Path(folder)
    for part in ("im", "xyc", "other"):
        (root / part).mkdir(parents=True, exist_ok=True)
    return {field.name: _write_field(root, field, quality) for field in fields}


def _write_field(root: Path, field: AllIdbField, quality: int) -> Cells:
    image = root / "im" / f"{field.name}.jpg"
    if image.exists():
        msg = f"{image} exists: choose another folder or remove it"
        raise OutputExists(msg)
    pixels, cells = paint_smear(field.size, field.settings)
    _, encoded = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    image.write_bytes(encoded.tobytes())
    for part, class_name, between in (("xyc", "blast", "\t"), ("other", "other", " ")):
        rows = cells.xy[cells.class_index == cells.class_names.index(class_name)].astype(int) + 1
        text = "".join(f"{x}{between}{y}\n" for x, y in rows.tolist())
        (root / part / f"{field.name}.xyc").write_text(text, encoding="ascii", newline="\n")
    return cells
