"""The models that come with the package; no classifier is ever used unless it is asked for by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from wsi_patches.errors import ModelError

__all__ = ["DEFAULT_FINDER", "MODELS", "Kind", "ShippedModel", "find_model"]

Kind = Literal["classifier", "finder"]
"""What a model does: tell the class of a cell's patch, or find cells."""
DEFAULT_FINDER = "white-cells"


@dataclass(frozen=True)
class ShippedModel:
    """One weight file of the package."""

    file: str
    """Under ``wsi_patches/models/weights/``."""
    sha256: str
    """Of the file's bytes; checked at every load."""
    description: str
    """One line for people."""
    kind: Kind = "classifier"

    @property
    def path(self) -> Path:
        """Where the file lies."""
        return Path(__file__).parent / "weights" / self.file


MODELS: dict[str, ShippedModel] = {
    "painted-cells-lbp": ShippedModel(
        file="painted_cells_lbp.safetensors",
        sha256="74d16ccc689683b470cf05f65a053a97adda42e95e87b6df39ade325fb82ead5",
        description="The demo's small LBP network: blast or other, knows only painted cells, of no use on real blood",
    ),
    DEFAULT_FINDER: ShippedModel(
        file="white_cells.safetensors",
        sha256="f43ad32f4cd01c4d1cd6cbbc2b60e68110bdc0865d4fca53a166a10cbcaf71f2",
        description="Finds white cells on stained smears at any scale; what `infer` uses unless told otherwise",
        kind="finder",
    ),
}
"""Name to model."""


def find_model(name_or_file: str | Path, kind: Kind = "classifier") -> tuple[Path, str | None]:
    """Return the weight file that a name or a path means, and the sha256 that it must have (None for a path).

    Parameters
    ----------
    name_or_file
        Name of a shipped model, or a file.
    kind
        What the model must do.

    Raises
    ------
    ModelError
        It is neither the name of a shipped model nor a file; the message lists the names.
    """
    of_kind = {name: model for name, model in MODELS.items() if model.kind == kind}
    shipped = of_kind.get(str(name_or_file))
    if shipped is not None:
        return shipped.path, shipped.sha256
    path, other = Path(name_or_file), MODELS.get(str(name_or_file))
    if other is not None:
        msg = f"{name_or_file} is a {other.kind}, and a {kind} is needed here: give one of {', '.join(sorted(of_kind))}"
        raise ModelError(msg + ", or a .safetensors file")
    if not path.is_file():
        msg = f"no {kind} {str(name_or_file)!r}: give a .safetensors file or one of {', '.join(sorted(of_kind))}"
        raise ModelError(msg)
    return path, None
