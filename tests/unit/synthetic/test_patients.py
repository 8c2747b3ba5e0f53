"""Painted patients: the cells that were drawn are the cells that are painted and written down."""

import csv
from collections import Counter

import numpy as np
import pytest

from wsi_patches.annotations import read_geojson
from wsi_patches.errors import OutputExists, UsageError
from wsi_patches.geometry import Size
from wsi_patches.slides import open_slide
from wsi_patches.synthetic import KINDS, PAINTED_DIAGNOSES, Smear, SmearSettings, paint_patients, write_patients


def test_the_kinds_that_were_asked_for_are_those_on_the_smear():
    kinds = (("small_blast", 3), ("basophil", 2), ("monocyte", 0))
    cells = Smear(Size(600, 600), SmearSettings(kinds=kinds)).cells
    assert Counter(cells.attributes["kind"].tolist()) == {"small_blast": 3, "basophil": 2}
    assert cells.count("blast") == 3


@pytest.mark.parametrize("kinds", [(("megakaryocyte", 1),), (("monocyte", -1),)])
def test_a_kind_that_is_not_painted_is_refused(kinds):
    with pytest.raises(UsageError, match="kinds of a painted smear are small_blast"):
        Smear(Size(300, 300), SmearSettings(kinds=kinds))


def test_a_folder_of_patients_says_what_is_on_each_slide(tmp_path):
    drawn = paint_patients(2, seed=4, slides_each=2, cells=(3, 6))
    written = write_patients(tmp_path, drawn, side_px=320)
    with (tmp_path / "slides.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [(one["slide_id"], one["patient"], one["diagnosis"]) for one in rows] == [
        (one.slide_id, one.patient, one.diagnosis) for one in drawn
    ]
    assert (tmp_path / "patients.csv").read_text().split() == [
        "patient,diagnosis",
        "P001,painted_all",
        "P002,painted_aml",
    ]
    for one in written:
        cells = read_geojson(tmp_path / "cells" / f"{one.slide_id}.geojson")
        counts = {name: cells.count(name) for name in KINDS}
        assert counts == dict(one.settings.kinds)
        with open_slide(one.path) as slide:
            assert (slide.info.mpp, slide.info.size) == (pytest.approx(0.25), Size(320, 320))
    with pytest.raises(OutputExists, match=r"P001_1\.svs exists"):
        write_patients(tmp_path, drawn)


def test_patients_of_a_seed_are_the_same_whatever_their_number_and_those_of_a_diagnosis_are_alike():
    many = paint_patients(200, seed=1)
    assert many[:20] == paint_patients(10, seed=1)
    assert many != paint_patients(200, seed=2)
    for name, shares in PAINTED_DIAGNOSES.items():
        counts = np.sum([[n for _, n in one.settings.kinds] for one in many if one.diagnosis == name], axis=0)
        assert sum(shares) == pytest.approx(1)
        assert counts / counts.sum() == pytest.approx(shares, abs=0.04)


def test_patients_without_cells_cannot_be_drawn():
    with pytest.raises(UsageError, match="or more are needed"):
        paint_patients(3, cells=(0, 4))
