"""Cells: points on slides with a class and a score, whoever marked them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wsi_patches.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["ALL_IDB_CLASSES", "ALL_IDB_RULE", "WHITE_CELL", "Cells", "LabelRule"]

ALL_IDB_CLASSES = ("blast", "other")
"""The two annotation classes of ALL-IDB: probable lymphoblasts, and any other white cell."""

WHITE_CELL = "white_cell"
"""The class of a white cell that nothing has told apart further."""


@dataclass(frozen=True)
class LabelRule:
    """How annotated cells make a patch's labels.

    Raises
    ------
    UsageError
        The tolerance is negative, or a class is named twice.
    """

    tolerance_px: int = 0
    """How far outside of a patch, in level-0 pixels, a centre may lie and still belong to it."""
    clamp: bool = True
    """Whether the local coordinates of such a centre are moved to the patch's border."""
    class_names: tuple[str, ...] = ALL_IDB_CLASSES
    """The classes, in the order of the counts' columns."""

    def __post_init__(self) -> None:
        if self.tolerance_px < 0:
            msg = f"tolerance must be 0 px or more, found {self.tolerance_px}"
            raise UsageError(msg)
        if len(set(self.class_names)) != len(self.class_names):
            msg = f"each class is named once, found {', '.join(self.class_names)}"
            raise UsageError(msg)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that `from_dict` reads."""
        return {**asdict(self), "class_names": list(self.class_names)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> LabelRule:
        """Read what `to_dict` wrote."""
        return cls(**{**values, "class_names": tuple(values.get("class_names", ALL_IDB_CLASSES))})


ALL_IDB_RULE = LabelRule(tolerance_px=5)
"""The published rule: 5 px, clamped, both annotation classes."""


@dataclass(frozen=True)
class Cells:
    """Cells of one or more slides, one row each.

    Parameters
    ----------
    x, y
        Centres in level-0 pixels, 0-based, float64 of shape ``(n,)``.
    class_index
        Index into ``class_names``, int32 of shape ``(n,)``.
    score
        Confidence in 0..1, float32 of shape ``(n,)``; 1 for annotated cells.
    class_names
        What the classes are called.
    slide
        Slide id of each cell, shape ``(n,)``; an empty string where all cells are of one unnamed slide.
    attributes
        Further columns of shape ``(n,)``, such as ``radius_px``.

    Raises
    ------
    ValueError
        The columns differ in length, or a class index has no name.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    class_index: NDArray[np.int32]
    score: NDArray[np.float32]
    class_names: tuple[str, ...]
    slide: NDArray[np.str_] = field(default_factory=lambda: np.empty(0, str))
    attributes: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.slide) == 0 and len(self.x):
            object.__setattr__(self, "slide", np.full(len(self.x), ""))
        columns: dict[str, NDArray[Any]] = dict(self.attributes)
        columns |= {"y": self.y, "class_index": self.class_index, "score": self.score, "slide": self.slide}
        for name, column in columns.items():
            if len(column) != len(self.x):
                msg = f"column {name} has {len(column)} rows where x has {len(self.x)}"
                raise ValueError(msg)
        if len(self) and not 0 <= self.class_index.min() <= self.class_index.max() < len(self.class_names):
            msg = f"class indices {self.class_index.min()}..{self.class_index.max()} for classes {self.class_names}"
            raise ValueError(msg)

    @classmethod
    def at(
        cls,
        xy: ArrayLike,
        class_names: Sequence[str],
        class_index: ArrayLike = 0,
        score: ArrayLike = 1.0,
        slide: str = "",
        **attributes: ArrayLike,
    ) -> Self:
        """Build cells from points ``(n, 2)``; a single class index or score is given to all of them."""
        points = np.asarray(xy, np.float64).reshape(-1, 2)
        rows = len(points)
        return cls(
            x=points[:, 0],
            y=points[:, 1],
            class_index=np.broadcast_to(np.asarray(class_index, np.int32), rows).copy(),
            score=np.broadcast_to(np.asarray(score, np.float32), rows).copy(),
            class_names=tuple(class_names),
            slide=np.full(rows, slide),
            attributes={name: np.asarray(column) for name, column in attributes.items()},
        )

    def __len__(self) -> int:
        return len(self.x)

    @property
    def xy(self) -> NDArray[np.float64]:
        """Centres, shape ``(n, 2)``, level-0 pixels."""
        return np.stack([self.x, self.y], axis=1)

    def count(self, class_name: str) -> int:
        """Return how many cells are of a class; 0 for a class that is not known here."""
        if class_name not in self.class_names:
            return 0
        return int(np.count_nonzero(self.class_index == self.class_names.index(class_name)))

    def take(self, rows: ArrayLike) -> Self:
        """Return the cells at ``rows``, indices or one truth value a cell."""
        picked = np.asarray(rows)
        if picked.size == 0:
            picked = picked.astype(np.int64)
        return replace(
            self,
            x=self.x[picked],
            y=self.y[picked],
            class_index=self.class_index[picked],
            score=self.score[picked],
            slide=self.slide[picked],
            attributes={name: column[picked] for name, column in self.attributes.items()},
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Cells]) -> Cells:
        """Join cells that share their class names; attributes that not all have are left out."""
        if not parts:
            msg = "there is nothing to join: give at least one Cells"
            raise ValueError(msg)
        if len({part.class_names for part in parts}) > 1:
            msg = f"class names differ: {sorted({part.class_names for part in parts})}"
            raise ValueError(msg)
        shared = [name for name in parts[0].attributes if all(name in part.attributes for part in parts)]
        return Cells(
            x=np.concatenate([part.x for part in parts]),
            y=np.concatenate([part.y for part in parts]),
            class_index=np.concatenate([part.class_index for part in parts]),
            score=np.concatenate([part.score for part in parts]),
            class_names=parts[0].class_names,
            slide=np.concatenate([part.slide for part in parts]),
            attributes={name: np.concatenate([part.attributes[name] for part in parts]) for name in shared},
        )

    def to_arrow(self) -> pa.Table:
        """Return one Arrow table; the class names are a dictionary column's dictionary."""
        import pyarrow as pa

        classes = pa.DictionaryArray.from_arrays(pa.array(self.class_index, pa.int32()), pa.array(self.class_names))
        columns = {"slide": pa.array(self.slide.tolist(), pa.string()), "x": pa.array(self.x), "y": pa.array(self.y)}
        extra = {name: pa.array(column) for name, column in self.attributes.items()}
        return pa.table({**columns, "class": classes, "score": pa.array(self.score), **extra})

    @classmethod
    def from_arrow(cls, table: pa.Table) -> Self:
        """Read what `to_arrow` wrote."""
        classes = table["class"].combine_chunks()
        known = ("slide", "x", "y", "class", "score")
        return cls(
            x=table["x"].to_numpy(),
            y=table["y"].to_numpy(),
            class_index=classes.indices.to_numpy(),
            score=table["score"].to_numpy(),
            class_names=tuple(classes.dictionary.to_pylist()),
            slide=np.array(table["slide"].to_pylist(), str),
            attributes={name: table[name].to_numpy() for name in table.column_names if name not in known},
        )

    def to_geojson(self) -> dict[str, Any]:
        """Return a GeoJSON FeatureCollection of points, level-0 pixels, that `annotations.read_geojson` reads.

        QuPath opens it as detections, whose classes can be changed there. Score and numbers are measurements, where
        they are known; texts are metadata, which QuPath keeps since 0.5.
        """
        return {"type": "FeatureCollection", "features": [self._feature(row) for row in range(len(self))]}

    def _feature(self, row: int) -> dict[str, Any]:
        said = {key: column[row].item() for key, column in self.attributes.items()}
        texts = {key: value for key, value in said.items() if isinstance(value, str)}
        # JSON has no NaN: what is not known is left out.
        numbers = {key: value for key, value in said.items() if key not in texts and not np.isnan(value)}
        properties: dict[str, Any] = {
            "objectType": "detection",
            "classification": {"name": self.class_names[self.class_index[row]]},
            "slide": str(self.slide[row]),
            "measurements": {"score": float(self.score[row]), **numbers},
        }
        return {
            "type": "Feature",
            "geometry": {"type": "Point", "coordinates": [float(self.x[row]), float(self.y[row])]},
            "properties": properties | ({"metadata": texts} if texts else {}),
        }
