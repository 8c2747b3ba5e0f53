"""One annotation file of one slide: where it lies and how it is to be understood."""

from __future__ import annotations

from dataclasses import dataclass

from wsi_patches.morphology import Attribute

__all__ = ["AnnotationFile"]


@dataclass(frozen=True)
class AnnotationFile:
    """A file with cells of a slide; small, and safe to send to a worker."""

    path: str
    format: str = ""
    """A key of ``annotations.files.FORMATS`` such as ``voc``; known by the suffix if empty."""
    class_name: str | None = None
    """The class of its points where the file itself does not name it."""
    image: str | None = None
    """What the file calls this slide's image, where one file speaks of many images, or must name the one it is of."""
    renames: tuple[tuple[str, str | None], ...] = ()
    """The file's class (a YOLO file's index as text) -> ours; None leaves the cells of a class out. A class that is not
    named here keeps its name."""
    attributes: tuple[Attribute, ...] = ()
    """What the columns behind a YOLO box are, in their order; they are called ``a1``, ``a2`` ... where nobody says."""
