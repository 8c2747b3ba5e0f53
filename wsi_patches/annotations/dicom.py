"""DICOM Microscopy Bulk Simple Annotations: cells as points or boxes, a group a class, that refer to the slide's image.

Frame of the file: the total pixel matrix of the finest level, ``(0, 0)`` being the upper left corner of its first pixel
(DICOM PS3.3, C.37.1); whole numbers are the middles of pixels here, so half a pixel is added and taken away. A group's
label is the class; its type is coded by a scheme of our own, ``99WSIPATCHES``, since no list of the standard has all
types of cells.
"""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsi_patches._version import __version__
from wsi_patches.annotations.marks import BOX_COLUMNS, Edges, Mark, boxes_of, cells_of
from wsi_patches.cells import Cells
from wsi_patches.errors import AnnotationError, UsageError, needs_extra

__all__ = ["TYPE", "read_dicom", "write_dicom"]

SOP_CLASS = "1.2.840.10008.5.1.4.1.1.91.1"
SCHEME = "99WSIPATCHES"
HALF = 0.5
TYPE = "type"
"""The attribute whose texts are the classes of the groups, where cells have it."""
SCORE = "score"
LONGEST = 64
"""Characters of a code's meaning and of a label, at most."""
MAY_LACK = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)
"""What an image that lost its patient's name may lack, and annotations must have: it is left empty."""

NOT_INTACT = (
    AttributeError, EOFError, LookupError, NotImplementedError, OSError, OverflowError, RecursionError, TypeError,
    ValueError, struct.error, zlib.error,
)  # fmt: skip
"""What pydicom and highdicom raise over a file that is cut or changed."""


def write_dicom(path: Path, cells: Cells, source: Path) -> None:
    """Write the cells of one slide: boxes where all cells have one, else points; a group each class, or each type.

    Parameters
    ----------
    path
        The file to write.
    cells
        Level-0 pixels counted from 0; one or more.
    source
        The DICOM file of the slide's finest level, whose identifiers are referred to.

    Raises
    ------
    UsageError
        There is no cell: the standard has no annotations of nothing.
    AnnotationError
        The source is no DICOM file that can be referred to.
    MissingExtra
        highdicom is not installed.
    """
    if not len(cells):
        msg = f"{path} cannot be written: a DICOM file of annotations holds one cell or more"
        raise UsageError(msg)
    with needs_extra("dicom", "writing DICOM annotations"):
        from highdicom.ann import MicroscopyBulkSimpleAnnotations
        from highdicom.uid import UID
        from pydicom import dcmread
        from pydicom.errors import InvalidDicomError
    try:
        image = dcmread(source, stop_before_pixels=True)
    except (OSError, InvalidDicomError) as error:
        msg = f"{source} cannot be read as DICOM, so annotations cannot refer to it: {error}"
        raise AnnotationError(msg) from error
    for name in MAY_LACK:
        if name not in image:
            setattr(image, name, None)
    try:
        written = MicroscopyBulkSimpleAnnotations(
            source_images=[image],
            annotation_coordinate_type="2D",
            annotation_groups=_groups(cells),
            series_instance_uid=UID(),
            series_number=1,
            sop_instance_uid=UID(),
            instance_number=1,
            manufacturer="wsi-patches",
            manufacturer_model_name="wsi-patches",
            software_versions=__version__,
            device_serial_number="0",
            content_description="Cells of a slide, for research use",
        )
    except (AttributeError, ValueError, TypeError) as error:  # what highdicom says of an image that lacks an identifier
        msg = f"{source} is no image that annotations can refer to: {error}"
        raise AnnotationError(msg) from error
    written.save_as(path)


def _groups(cells: Cells) -> list[Any]:
    """Return a group of each class that occurs, with the scores as measurements."""
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.ann import AnnotationGroup, Measurements
    from highdicom.sr import CodedConcept
    from highdicom.uid import UID
    from pydicom.sr.codedict import codes

    names = cells.attributes.get(TYPE, np.array(cells.class_names, str)[cells.class_index])
    kind, shapes = _shapes(cells)
    algorithm = AlgorithmIdentificationSequence("wsi-patches", codes.cid7162.ArtificialIntelligence, __version__)
    groups = []
    for number, name in enumerate(dict.fromkeys(names.tolist()), start=1):
        rows = np.flatnonzero(names == name)
        score = CodedConcept(SCORE, SCHEME, "Score, 0 to 1")
        groups.append(
            AnnotationGroup(
                number=number,
                uid=UID(),
                label=name[:LONGEST],
                annotated_property_category=codes.SCT.Cell,
                annotated_property_type=CodedConcept(name[:LONGEST], SCHEME, name[:LONGEST]),
                graphic_type=kind,
                graphic_data=[shapes[row] for row in rows],
                algorithm_type="AUTOMATIC",
                algorithm_identification=algorithm,
                measurements=[Measurements(score, cells.score[rows].astype(np.float32), codes.UCUM.NoUnits)],
            )
        )
    return groups


def _shapes(cells: Cells) -> tuple[str, NDArray[np.float64]]:
    """Return the kind of the marks, and their corners ``(n, corners, 2)`` in the file's frame."""
    if not all(name in cells.attributes for name in BOX_COLUMNS):
        return "POINT", cells.xy[:, None] + HALF
    left, top, right, bottom = (boxes_of(cells) + np.array([0, 0, 1, 1])).T
    corners = [np.stack(pair, axis=1) for pair in ((left, top), (right, top), (right, bottom), (left, bottom))]
    return "RECTANGLE", np.stack(corners, axis=1)


def read_dicom(path: Path, image: str | None = None) -> Cells:
    """Read the cells of one slide; classes are the groups' labels.

    Parameters
    ----------
    path
        The file.
    image
        Identifier (SOP Instance UID) of the slide's finest level; any image is taken if not given.

    Returns
    -------
    Cells in level-0 pixels counted from 0, groups in their order: points as they are, rectangles, ellipses and outlines
    at the middle of the box around them, with boxes if all cells have one. The score is 1 where the file has none.

    Raises
    ------
    AnnotationError
        The file is no such annotations, is of another image, or marks places in space (3D) or in single frames.
    MissingExtra
        highdicom is not installed.
    """
    with needs_extra("dicom", "reading DICOM annotations"):
        from highdicom.ann import MicroscopyBulkSimpleAnnotations
        from pydicom import dcmread
    with _intact(path):
        content = dcmread(path)
        kind, frame = content.get("SOPClassUID"), content.get("AnnotationCoordinateType")
    if kind != SOP_CLASS:
        msg = f"{path} holds {_named(kind)}: cells are read from Microscopy Bulk Simple Annotations"
        raise AnnotationError(msg)
    if frame != "2D":
        msg = f"{path} marks places in space (mm), not on the image: write its annotations in 2D coordinates"
        raise AnnotationError(msg)
    _check_image(path, content, image)
    with _intact(path):
        annotations = MicroscopyBulkSimpleAnnotations.from_dataset(content)
        marks = [mark for group in annotations.get_annotation_groups() for mark in _marks(group)]
    return cells_of(marks, path)


def _check_image(path: Path, content: Any, image: str | None) -> None:
    """Refuse places counted from a frame's corner, and those of another image: another slide, or another level."""
    if content.get("PixelOriginInterpretation") == "FRAME":
        msg = f"{path} counts places from the corner of a frame: write them in the whole image (VOLUME)"
        raise AnnotationError(msg)
    with _intact(path):
        series = [one for row in content.get("ReferencedSeriesSequence", ()) for one in row.ReferencedInstanceSequence]
        named = {str(one.ReferencedSOPInstanceUID) for one in (*series, *content.get("ReferencedImageSequence", ()))}
    if image is not None and named and image not in named:
        msg = f"{path} marks the image {', '.join(sorted(named))}, and the slide's finest level is {image}: these are "
        raise AnnotationError(msg + "annotations of another slide or level; give those of this one")


@contextmanager
def _intact(path: Path) -> Iterator[None]:
    """Turn what pydicom and highdicom say of a damaged file into one error; their warnings of it say no more."""
    from pydicom.errors import InvalidDicomError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            yield
    except InvalidDicomError as error:
        msg = f"{path} cannot be read as DICOM: {error}"
        raise AnnotationError(msg) from error
    except NOT_INTACT as error:
        msg = f"{path} is no intact file of annotations: {error}"
        raise AnnotationError(msg) from error


def _named(uid: Any) -> str:
    return "no DICOM object" if uid is None else str(getattr(uid, "name", uid))


def _marks(group: Any) -> Iterator[Mark]:
    shapes: Sequence[NDArray[np.floating]] = group.get_graphic_data(coordinate_type="2D")
    scores = _scores(group, len(shapes))
    for shape, score in zip(shapes, scores.tolist(), strict=True):
        corners = np.asarray(shape, np.float64)[:, :2] - HALF
        low, high = corners.min(axis=0), corners.max(axis=0)
        x, y = ((low + high) / 2).tolist()
        box = None if len(corners) == 1 else Edges(*(low + HALF).tolist(), *(high - HALF).tolist())
        yield Mark(group.label, x, y, box, score)


def _scores(group: Any, count: int) -> NDArray[np.float64]:
    """Return the score of each mark; 1 where the file has none of ours."""
    names, values, _ = group.get_measurements()
    rows = [row for row, name in enumerate(names) if (name.value, name.scheme_designator) == (SCORE, SCHEME)]
    if not rows:
        return np.ones(count)
    told = np.asarray(values, np.float64)[:, rows[0]]
    return np.asarray(np.round(np.where(np.isnan(told), 1.0, told), 6), np.float64)
