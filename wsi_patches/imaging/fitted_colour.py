"""What all fitted colour methods are: small frozen numbers that are saved as JSON and applied to batches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import UsageError
from wsi_patches.imaging.rgb import rgb_batch

__all__ = ["FittedColour"]


@dataclass(frozen=True)
class FittedColour(ABC):
    """A colour method with all its numbers; a subclass says in `_normalised` what it does to one image.

    Fields are numbers, None, and tuples of such.
    """

    method: ClassVar[str]
    """Name in `COLOUR_METHODS`."""

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return normalised images, uint8 RGB ``(n, h, w, 3)``.

        Parameters
        ----------
        images
            uint8 RGB of shape ``(n, h, w, 3)``, or one image ``(h, w, 3)``.

        Raises
        ------
        UsageError
            ``images`` are anything else.
        """
        return np.stack([self._normalised(image) for image in rgb_batch(images)])

    @abstractmethod
    def _normalised(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return one normalised image, uint8 RGB ``(h, w, 3)``."""

    def to_dict(self) -> dict[str, Any]:
        """Return what `from_dict` needs, fit for JSON."""
        return {"method": self.method, **asdict(self)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Return what `to_dict` described.

        Raises
        ------
        UsageError
            ``data`` has other keys, or another method's name.
        """
        names = {"method", *(field.name for field in fields(cls))}
        if set(data) != names or data["method"] != cls.method:
            msg = f"a saved {cls.method} has the keys {sorted(names)}, found {sorted(data)}"
            raise UsageError(msg)
        return cls(**{name: _frozen(value) for name, value in data.items() if name != "method"})


def _frozen(value: Any) -> Any:
    """Return JSON's lists as tuples."""
    return tuple(_frozen(each) for each in value) if isinstance(value, list | tuple) else value
