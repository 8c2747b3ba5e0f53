"""What ``explain`` can be asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from wsi_patches.datasets import GroupRule
from wsi_patches.errors import UsageError
from wsi_patches.evaluate.neighbours import NeighbourSettings, TieRule

__all__ = ["ExplainSettings"]


@dataclass(frozen=True)
class ExplainSettings:
    """What ``explain`` is asked to do.

    Raises
    ------
    UsageError
        A value is out of range, or what is needed is not said.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    queries: tuple[Path, ...]
    """Pictures and folders of them, one store, or one output of ``infer``."""
    reference: tuple[Path, ...]
    """Likewise, with known classes."""
    out: Path
    model: str | None = None
    """Name or file of a classifier."""
    encoder: str | None = None
    """Name or file of a frozen encoder, instead of a model."""
    k: int = 3
    """Neighbours of a query."""
    tie: TieRule = "abstain"
    space: Literal["logits", "embedding"] | None = None
    """Where distances are measured; logits of a model, and features of an encoder, if None."""
    cam: Literal["rgrad", "grad", "none"] = "rgrad"
    """How the maps of likeness are made."""
    pool: Literal["gap", "gmp"] = "gap"
    """What a place stands for in maps of pairs."""
    map: Literal["tsne", "umap", "none"] = "tsne"
    show: int = 24
    """Queries that the page shows; all are in the table."""
    approximate_above: int = NeighbourSettings.approximate_above
    """Known patches above which an approximate index is searched."""
    target: str | None = None
    """Of stores: ``label``, or an annotated class."""
    cell_diameters: float = 2.0
    """Side of the patch around a cell that ``infer`` found, in diameters of a white cell, for an encoder; a model's
    card says its own."""
    device: str = "auto"
    group_pattern: str | None = None
    group_table: Path | None = None
    draws: int = 1000
    """Of patients or slides, for intervals."""
    seed: int = 0
    overwrite: bool = False

    def __post_init__(self) -> None:
        if (self.model is None) == (self.encoder is None):
            msg = "say with --model which classifier, or else with --encoder which frozen network describes the patches"
            raise UsageError(msg)
        if not self.queries or not self.reference:
            msg = "name what is asked about, and with --reference the known patches that it is compared with"
            raise UsageError(msg)
        if self.encoder is not None and self.space == "logits":
            msg = "--space logits is for a classifier: an encoder has features and no logits"
            raise UsageError(msg)
        if self.show < 0 or self.draws < 0 or not 0 < self.cell_diameters <= 100:
            msg = f"show and draws are 0 or more and cell_diameters above 0; got {self.show}, {self.draws} and "
            raise UsageError(msg + str(self.cell_diameters))
        _ = self.neighbours, self.rule  # which refuse what cannot be

    @property
    def neighbours(self) -> NeighbourSettings:
        """How neighbours are found and vote."""
        return NeighbourSettings(self.k, self.tie, self.approximate_above)

    @property
    def in_logits(self) -> bool:
        """Whether distances are between logits, or else between features."""
        return self.encoder is None and self.space != "embedding"

    @property
    def rule(self) -> GroupRule:
        """Where patients come from that no layout states."""
        return GroupRule(self.group_pattern, self.group_table)
