"""Where a query and its neighbours are alike: the maps that ``explain`` puts on its page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import needs_extra
from wsi_patches.report.explained import Alike
from wsi_patches.workflows.explain_settings import ExplainSettings

if TYPE_CHECKING:
    from wsi_patches.models.described import DescribedNetwork, Space
    from wsi_patches.models.similarity_maps import LastMap

__all__ = ["CAMS", "MapDrawer"]

CAMS = {"rgrad": "RGrad-CAM", "grad": "Grad-CAM"}


class MapDrawer:
    """Draws the maps of likeness of a query and its neighbours.

    Parameters
    ----------
    settings
        Which maps.
    described
        The network.

    Raises
    ------
    ModelError
        The network has no maps of likeness, and they were not left out.
    MissingExtra
        The extra ``explain`` is not installed.
    """

    def __init__(self, settings: ExplainSettings, described: DescribedNetwork) -> None:
        self.settings, self.described = settings, described
        self.space: Space = "logits" if settings.in_logits else "embedding"
        self.notes: list[str] = []
        self.last: LastMap | None = None
        if settings.cam != "none":
            with needs_extra("explain", "a map of likeness"):
                import captum.attr  # noqa: F401 - asked for before hours of work, not after them

            from wsi_patches.models.similarity_maps import LastMap

            self.last = LastMap.of(described)
            if self.last.averaged is None:
                self.notes.append(
                    "This network's features are no averages of its last map, so that there are no maps of pairs."
                )

    def alike(self, query: NDArray[np.uint8], near: NDArray[np.uint8]) -> list[tuple[Alike, ...]]:
        """Return the maps of each neighbour, uint8 RGB ``(k, s, s, 3)``."""
        if self.last is None or self.settings.cam == "none":
            return [()] * len(near)
        from wsi_patches.models.similarity_maps import overall_maps, similarity_cams

        found = [
            (
                CAMS[self.settings.cam],
                similarity_cams(self.described, self.last, query, near, self.space, self.settings.cam),
            )
        ]
        if self.last.averaged is not None:
            found.append(
                ("All places", overall_maps(self.described, self.last, query, near, self.space, self.settings.pool))
            )
        return [
            tuple(Alike(name, maps.query[rank], maps.neighbours[rank]) for name, maps in found)
            for rank in range(len(near))
        ]
