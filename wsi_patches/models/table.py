"""The models that come with the package; nothing here is ever used unless it is asked for by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from wsi_patches.errors import ModelError

__all__ = ["MODELS", "ShippedModel", "find_model"]


@dataclass(frozen=True)
class ShippedModel:
    """One weight file of the package."""

    file: str
    """Under ``wsi_patches/models/weights/``."""
    sha256: str
    """Of the file's bytes; checked at every load."""
    description: str
    """One line for people."""

    @property
    def path(self) -> Path:
        """Where the file lies."""
        return Path(__file__).parent / "weights" / self.file


MODELS: dict[str, ShippedModel] = {
    "painted-cells-lbp": ShippedModel(
        file="painted_cells_lbp.safetensors",
        sha256="4f76b693244b741a792aba77ae8a74ac496622ff0bc027d7a29226b04730b585",
        description="The demo's small LBP network: blast or other, knows only painted cells, of no use on real blood",
    ),
}
"""Name to model."""


def find_model(name_or_file: str | Path) -> tuple[Path, str | None]:
    """Return the weight file that a name or a path means, and the sha256 that it must have (None for a path).

    Raises
    ------
    ModelError
        It is neither the name of a shipped model nor a file; the message lists the names.
    """
    shipped = MODELS.get(str(name_or_file))
    if shipped is not None:
        return shipped.path, shipped.sha256
    path = Path(name_or_file)
    if not path.is_file():
        msg = f"no model {str(name_or_file)!r}: give a .safetensors file or one of {', '.join(sorted(MODELS))}"
        raise ModelError(msg)
    return path, None
