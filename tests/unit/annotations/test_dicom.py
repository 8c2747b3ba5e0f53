"""DICOM annotations: what is written is read back, by us and by highdicom, and refers to the slide's image."""

import json
import shutil

import numpy as np
import pydicom
import pytest
from click.testing import CliRunner
from highdicom.ann import MicroscopyBulkSimpleAnnotations

from tests.painted_dicom import write_dicom_slide
from wsi_patches.annotations import AnnotationFile, boxes_of, read_annotations, read_dicom, write_dicom
from wsi_patches.cells import Cells
from wsi_patches.cli.main import main
from wsi_patches.datasets import find_slides
from wsi_patches.datasets.find import annotations_of
from wsi_patches.errors import AnnotationError, UsageError
from wsi_patches.geometry import Size
from wsi_patches.stores import open_store
from wsi_patches.synthetic import SmearSettings, paint_smear

GLASS = np.full((256, 256, 3), 230, np.uint8)
POINTS = [(3.0, 4.0), (10.5, 2.25), (100.0, 200.0)]


@pytest.fixture
def image(tmp_path):
    (tmp_path / "slides").mkdir()
    return write_dicom_slide(tmp_path / "slides" / "smear.dcm", GLASS)


def test_points_come_back_and_their_classes_are_the_types_where_cells_have_one(tmp_path, image):
    types = np.array(["promonocyte", "promonocyte", "plasma cell"])
    cells = Cells.at(POINTS, ("blast", "other"), [0, 0, 1], [0.5, 0.75, 1.0], type=types)
    write_dicom(tmp_path / "cells.dcm", cells, image)
    read = read_dicom(tmp_path / "cells.dcm")
    assert read.xy.tolist() == [list(point) for point in POINTS]
    assert [read.class_names[one] for one in read.class_index] == types.tolist()
    assert read.score.tolist() == [0.5, 0.75, 1.0]


def test_boxes_come_back_with_their_first_and_last_pixels(tmp_path, image):
    boxes = {"left_px": [1, 8], "top_px": [2, 0], "right_px": [5, 12], "bottom_px": [6, 4]}
    cells = Cells.at([(3, 4), (10, 2)], ("blast", "other"), [0, 1], **boxes)
    write_dicom(tmp_path / "cells.dcm", cells, image)
    read = read_dicom(tmp_path / "cells.dcm")
    assert boxes_of(read).tolist() == boxes_of(cells).tolist()
    assert read.xy.tolist() == cells.xy.tolist()


def test_the_file_is_in_the_standards_frame_and_refers_to_the_image(tmp_path, image):
    write_dicom(tmp_path / "cells.dcm", Cells.at([(0, 0)], ("blast",)), image)
    source, written = pydicom.dcmread(image), pydicom.dcmread(tmp_path / "cells.dcm")
    told = MicroscopyBulkSimpleAnnotations.from_dataset(written)
    [group] = told.get_annotation_groups()
    # The middle of the first pixel: the total pixel matrix begins at that pixel's corner.
    assert group.get_graphic_data("2D")[0].tolist() == [[0.5, 0.5]]
    assert (written.AnnotationCoordinateType, written.PixelOriginInterpretation) == ("2D", "VOLUME")
    assert written.ReferencedImageSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
    assert (written.StudyInstanceUID, written.PatientID) == (source.StudyInstanceUID, "P001")
    assert written.SeriesInstanceUID != source.SeriesInstanceUID
    assert (group.label, group.annotated_property_type.scheme_designator) == ("blast", "99WSIPATCHES")


def test_annotations_of_another_program_need_no_score(tmp_path, image):
    write_dicom(tmp_path / "cells.dcm", Cells.at(POINTS, ("blast",), score=0.5), image)
    content = pydicom.dcmread(tmp_path / "cells.dcm")
    del content.AnnotationGroupSequence[0].MeasurementsSequence
    content.save_as(tmp_path / "theirs.dcm")
    assert read_annotations([AnnotationFile(str(tmp_path / "theirs.dcm"))]).score.tolist() == [1, 1, 1]


def test_what_are_no_annotations_on_an_image_is_refused(tmp_path, image):
    with pytest.raises(AnnotationError, match=r"smear\.dcm holds VL Whole Slide Microscopy Image Storage"):
        read_dicom(image)
    (tmp_path / "text.dcm").write_text("no DICOM")
    with pytest.raises(AnnotationError, match=r"text\.dcm cannot be read as DICOM"):
        read_dicom(tmp_path / "text.dcm")
    write_dicom(tmp_path / "cells.dcm", Cells.at(POINTS, ("blast",)), image)
    content = pydicom.dcmread(tmp_path / "cells.dcm")
    content.AnnotationCoordinateType = "3D"
    content.save_as(tmp_path / "space.dcm")
    with pytest.raises(AnnotationError, match="marks places in space"):
        read_dicom(tmp_path / "space.dcm")
    with pytest.raises(UsageError, match="one cell or more"):
        write_dicom(tmp_path / "none.dcm", Cells.at([], ("blast",)), image)
    with pytest.raises(AnnotationError, match="so annotations cannot refer to it"):
        write_dicom(tmp_path / "none.dcm", Cells.at(POINTS, ("blast",)), tmp_path / "text.dcm")


def test_annotations_beside_a_slide_are_no_slide_and_the_slide_is_no_annotation_of_itself(tmp_path, image):
    write_dicom(image.parent / "cells.dcm", Cells.at(POINTS, ("blast",)), image)
    assert [item.path for item in find_slides([image.parent])] == [str(image)]
    assert annotations_of(image.parent, "smear") == ()
    (tmp_path / "marks").mkdir()
    write_dicom(tmp_path / "marks" / "smear.dcm", Cells.at(POINTS, ("blast",)), image)
    [found] = annotations_of(tmp_path / "marks", "smear")
    assert len(read_annotations([found])) == 3


def test_annotations_of_another_slide_or_in_single_frames_are_refused(tmp_path, image):
    (tmp_path / "marks").mkdir()
    other = write_dicom_slide(tmp_path / "other.dcm", GLASS)
    write_dicom(tmp_path / "marks" / "smear.dcm", Cells.at(POINTS, ("blast",)), other)
    [wrong] = find_slides([image], tmp_path / "marks")
    with pytest.raises(AnnotationError, match="annotations of another slide or level; give those of this one"):
        read_annotations(wrong.annotations)
    out = tmp_path / "counts"
    told = CliRunner().invoke(
        main, ["infer", str(image), "-o", str(out), "--annotations", str(tmp_path / "marks"), "-q"]
    )
    assert told.exit_code == 1
    assert "annotations of another slide" in (out / "counts.csv").read_text()
    write_dicom(tmp_path / "marks" / "smear.dcm", Cells.at(POINTS, ("blast",)), image)
    [right] = find_slides([image], tmp_path / "marks")
    assert len(read_annotations(right.annotations)) == 3
    content = pydicom.dcmread(tmp_path / "marks" / "smear.dcm")
    content.PixelOriginInterpretation = "FRAME"
    content.save_as(tmp_path / "frames.dcm")
    with pytest.raises(AnnotationError, match="from the corner of a frame"):
        read_dicom(tmp_path / "frames.dcm")


def test_a_dicom_slide_is_cut_and_counted_and_its_cells_are_dicom_too(tmp_path):
    folder = tmp_path / "slides"
    folder.mkdir()
    pixels, truth = paint_smear(Size(600, 500), SmearSettings(seed=3, blasts=3, others=5))
    write_dicom_slide(folder / "smear.dcm", pixels)
    run = CliRunner().invoke
    told = run(main, ["infer", str(folder), "-o", str(tmp_path / "counts"), "--annotations-format", "dicom", "-q"])
    assert told.exit_code == 0, told.output
    written = read_dicom(tmp_path / "counts" / "smear" / "cells.dcm")
    features = json.loads((tmp_path / "counts" / "smear" / "cells.geojson").read_text())["features"]
    assert sorted(map(tuple, written.xy.tolist())) == sorted(tuple(one["geometry"]["coordinates"]) for one in features)
    assert abs(len(written) - len(truth)) <= 1
    marks, counts = tmp_path / "marks", tmp_path / "counts"
    marks.mkdir()
    (counts / "smear" / "cells.dcm").rename(marks / "smear.dcm")
    # A slide that was counted already is counted again where its annotations lack, and then no more.
    resume = ["infer", str(folder), "-o", str(counts), "--resume", "-q"]
    wanted = [*resume, "--annotations-format", "dicom"]
    assert run(main, wanted).exit_code == 0
    assert (counts / "smear" / "cells.dcm").is_file()
    assert "0 to count, 1 kept" in run(main, [*wanted, "--dry-run"]).output
    # One that is counted anew by another model, without annotations, keeps none of the old one.
    other = [*resume, "--model", "painted-cells-lbp", "--device", "cpu"]
    assert run(main, other).exit_code == 0
    assert not (counts / "smear" / "cells.dcm").exists()
    extract = ["extract", str(folder), "-o", str(tmp_path / "store.zarr"), "--annotations", str(marks), "-q"]
    assert run(main, extract).exit_code == 0
    assert open_store(tmp_path / "store.zarr").slides[0].mpp == pytest.approx(0.25)


def test_a_slide_of_another_format_says_that_it_has_no_dicom_annotations(tmp_path):
    from wsi_patches.synthetic import write_slide

    write_slide(tmp_path / "smear.svs", Size(400, 400), SmearSettings(blasts=1, others=2))
    out = tmp_path / "counts"
    arguments = ["infer", str(tmp_path / "smear.svs"), "-o", str(out), "--annotations-format", "dicom", "-q"]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    assert "no DICOM file here" in (out / "counts.csv").read_text()
    assert not (out / "smear" / "cells.dcm").exists()
    shutil.rmtree(out)
    assert CliRunner().invoke(main, ["infer", str(tmp_path / "smear.svs"), "-o", str(out), "-q"]).exit_code == 0
    told = CliRunner().invoke(main, [*arguments[:-1], "--resume"])
    assert told.exit_code == 0
    assert "note: 1 slides that were counted before have no DICOM annotations: they are no DICOM files" in told.output
