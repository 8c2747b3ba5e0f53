"""How a painted smear looks: every knob, and how a slide draws its own."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np

from wsi_patches.errors import UsageError

__all__ = ["SmearSettings"]

SHARES = ("red_coverage", "rouleaux", "pallor", "rim", "nucleus_hue", "red_hue", "touching", "platelets_on_red")
NOT_NEGATIVE = (
    "seed",
    "blasts_per_mpx",
    "others_per_mpx",
    "blasts",
    "others",
    "margin_diameters",
    "platelets_per_red",
    "debris_per_mpx",
    "smudges_per_mpx",
    "precipitate_per_mpx",
    "dirt_per_mpx",
    "platelet_clumps_per_mpx",
    "uneven_light",
    "blur_px",
    "noise_sigma",
)


@dataclass(frozen=True)
class SmearSettings:
    """What is on a painted smear and how it is stained, lit and photographed.

    Raises
    ------
    UsageError
        A value is out of range.
    """

    seed: int = 0
    """Everything that is drawn by chance follows from it."""
    cell_diameter_px: float = 48.0
    """Typical diameter of a white cell in level-0 pixels: about 12 um divided by the pixel size."""
    blasts_per_mpx: float = 4.0
    """Blasts for each million pixels, drawn by chance around this."""
    others_per_mpx: float = 4.0
    """Other white cells for each million pixels, drawn by chance around this."""
    blasts: int | None = None
    """Exactly so many blasts; the density is then not used."""
    others: int | None = None
    """Exactly so many other white cells; the density is then not used."""
    kinds: tuple[tuple[str, int], ...] | None = None
    """Exactly so many white cells of each kind, a name of `wsi_patches.synthetic.KINDS` each; what is said of blasts
    and others is then not used."""
    touching: float = 0.2
    """Share of the white cells that are laid against another one."""
    margin_diameters: float = 0.2
    """How far the centres of white cells stay from the border of the image, in cell diameters."""
    red_coverage: float = 0.35
    """Area of all red cells over the area of the image, overlaps counted twice."""
    rouleaux: float = 0.1
    """Share of the red cells that lie in rolls."""
    pallor: float = 0.6
    """How pale the middle of a red cell is, 0..1."""
    rim: float = 0.2
    """How dark the rim of a red cell is, and how bright the halo around it, 0..1."""
    platelets_per_red: float = 0.06
    """Platelets for each red cell."""
    debris_per_mpx: float = 0.5
    """Specks of dirt for each million pixels."""
    smudges_per_mpx: float = 0.0
    """Nuclei that burst when the film was drawn, for each million pixels; they are no cells and lie on none."""
    precipitate_per_mpx: float = 0.0
    """Heaps of stain granules for each million pixels."""
    dirt_per_mpx: float = 0.0
    """Grains, fibres and spots out of focus for each million pixels, larger than debris."""
    platelets_on_red: float = 0.0
    """Share of the red cells on which a platelet lies in a pale halo, besides all other platelets."""
    platelet_clumps_per_mpx: float = 0.0
    """Clumps of 3 to 10 platelets for each million pixels, besides all other platelets."""
    stain_strength: float = 1.0
    """Factor on the optical density of everything that is stained."""
    nucleus_hue: float = 0.5
    """Colour of nuclei, from blue-violet (0) to red-purple (1)."""
    red_hue: float = 0.3
    """Colour of red cells, from salmon (0) over violet-grey (0.5) to blue-grey (1)."""
    lamp_rgb: tuple[float, float, float] = (232.0, 228.0, 232.0)
    """Colour of empty glass in the middle of the image, 0..255."""
    uneven_light: float = 0.1
    """Optical density that the corners of the image have more than its middle."""
    blur_px: float = 0.8
    """Standard deviation of the lens's blur in pixels."""
    noise_sigma: float = 2.0
    """Standard deviation of the camera's noise in grey levels."""

    def __post_init__(self) -> None:
        for name in SHARES:
            self._refuse(name, not 0 <= getattr(self, name) <= 1, "lie in 0..1")
        for name in NOT_NEGATIVE:
            self._refuse(name, (getattr(self, name) or 0) < 0, "be 0 or more")
        self._refuse("cell_diameter_px", not 8 <= self.cell_diameter_px <= 1000, "lie in 8..1000 px")
        self._refuse("stain_strength", not self.stain_strength > 0, "be greater than 0")
        lamp_is_off = len(self.lamp_rgb) != 3 or not all(1 <= channel <= 255 for channel in self.lamp_rgb)
        self._refuse("lamp_rgb", lamp_is_off, "be three values in 1..255")

    def _refuse(self, name: str, refused: bool, rule: str) -> None:
        if refused:
            msg = f"{name} of a painted smear must {rule}, found {getattr(self, name)}"
            raise UsageError(msg)

    @classmethod
    def random(cls, seed: int, **fixed: Any) -> Self:
        """Draw a slide's own look from a seed.

        Parameters
        ----------
        seed
            Equal seeds give equal looks.
        **fixed
            Fields that are given and not drawn; none of the others changes with them.

        Raises
        ------
        UsageError
            A field is unknown, or a value out of range.
        """
        unknown = sorted(set(fixed) - {field.name for field in fields(cls)})
        if unknown:
            msg = f"unknown smear setting {', '.join(unknown)}"
            raise UsageError(msg)
        return cls(**{**_draw_look(seed), **fixed})


def _draw_look(seed: int) -> dict[str, Any]:
    rng = np.random.default_rng([seed, 7001])
    glass = rng.uniform(195, 250)
    return {
        "seed": seed,
        "cell_diameter_px": float(rng.uniform(40, 72)),
        "touching": float(rng.uniform(0.05, 0.35)),
        "red_coverage": float(rng.uniform(0.2, 0.5)),
        "rouleaux": float(rng.choice([0.0, 0.1, 0.45], p=[0.4, 0.4, 0.2])),
        "pallor": float(rng.uniform(0.2, 0.95)),
        "rim": float(rng.uniform(0.05, 0.5)),
        "platelets_per_red": float(rng.uniform(0.01, 0.12)),
        "debris_per_mpx": float(rng.uniform(0, 1.5)),
        "stain_strength": float(rng.lognormal(0, 0.2)),
        "nucleus_hue": float(rng.uniform(0, 1)),
        "red_hue": float(rng.beta(1.2, 1.6)),
        "lamp_rgb": tuple(float(min(255.0, glass * factor)) for factor in rng.normal(1, 0.035, 3)),
        "uneven_light": float(rng.gamma(1.5, 0.06)),
        "blur_px": float(rng.uniform(0.5, 1.4)),
        "noise_sigma": float(rng.uniform(0.8, 3.5)),
    }
