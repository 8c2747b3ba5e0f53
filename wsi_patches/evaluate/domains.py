"""A table across domains: how good a model is by each microscope and camera, and which of them it learnt from."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wsi_patches.evaluate.attributes import MEAN, AttributesResult
from wsi_patches.evaluate.detection import DetectionResult
from wsi_patches.evaluate.result import Metric
from wsi_patches.evaluate.tables import cells, figure, interval_text, label, write_table

__all__ = ["DOMAINS", "DomainFigures", "domain_rows", "write_domains"]

DOMAINS = "domains.csv"
UNNAMED = "not named"


@dataclass(frozen=True)
class DomainFigures:
    """What was measured on the slides of one domain."""

    domain: str
    """Such as ``H_100x_C1``; empty where the data set names none."""
    learnt: bool
    """Whether slides of it were learnt from; not those that are measured."""
    cells: DetectionResult
    """White cells, found and marked."""
    attributes: AttributesResult | None = None
    """Of the cells that were found, where attributes are told and known."""

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """The figures of the table."""
        found = {name: self.cells.metrics[name] for name in ("f1", "precision", "recall", "average_precision")}
        return found if self.attributes is None else {**found, MEAN: self.attributes.metrics[MEAN]}


def write_domains(path: Path, figures: Sequence[DomainFigures]) -> None:
    """Write ``domains.csv``: a row a domain, each figure followed by the ends of its interval."""
    names = _names(figures)
    columns = [
        "domain",
        "learnt",
        "fields",
        "groups",
        *(f"{one}{end}" for one in names for end in ("", "_low", "_high")),
    ]
    rows = (
        [
            *(one.domain, "yes" if one.learnt else "no", one.cells.sampling.n, one.cells.sampling.groups),
            *(cell for name in names for cell in (cells(one.metrics[name]) if name in one.metrics else ["", "", ""])),
        ]
        for one in figures
    )
    write_table(path, columns, rows)


def domain_rows(figures: Sequence[DomainFigures]) -> list[list[str]]:
    """Return the same as rows of text for people, the first row being the header."""
    names = _names(figures)
    rows = [["domain", "learnt from", "fields", *(cell for name in names for cell in (label(name), "95 % interval"))]]
    for one in figures:
        told = [one.domain or UNNAMED, "yes" if one.learnt else "no", str(one.cells.sampling.n)]
        for name in names:
            metric = one.metrics.get(name)
            told += ["", ""] if metric is None else [figure(name, metric), interval_text(metric)]
        rows.append(told)
    return rows


def _names(figures: Collection[DomainFigures]) -> list[str]:
    return list(dict.fromkeys(name for one in figures for name in one.metrics))
