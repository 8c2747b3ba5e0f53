"""Cells of types cut for training: which types are learnt, and which of them are blasts."""

import json

import numpy as np
import pytest

from wsi_patches.annotations import AnnotationFile
from wsi_patches.cells import Cells
from wsi_patches.datasets import SlideItem
from wsi_patches.errors import UsageError
from wsi_patches.geometry import Size
from wsi_patches.synthetic import SmearSettings, write_slide
from wsi_patches.train.cell_types import TypeSettings, cut_types


class NoFinder:
    """Slides that state their resolution need no cell measured."""


def marked(tmp_path, slides, kinds):
    """Write slides on which so many cells of each class are marked, wherever they may lie."""
    items = []
    for number in range(slides):
        path = tmp_path / f"S{number}.svs"
        write_slide(path, Size(200, 200), SmearSettings(seed=number, blasts=0, others=1))
        names = [name for name, count in kinds.items() for _ in range(count)]
        classes = tuple(dict.fromkeys(names))
        xy = np.random.default_rng(number).uniform(20, 180, (len(names), 2))
        cells = Cells.at(xy, classes, [classes.index(name) for name in names])
        file = tmp_path / f"S{number}.geojson"
        file.write_text(json.dumps(cells.to_geojson()))
        items.append(SlideItem(str(path), (AnnotationFile(str(file)),)))
    return items


def settings(**more):
    return TypeSettings(input_px=16, least_cells=6, patch_um=12, **more)


def test_types_keep_their_names_and_rare_ones_are_left_out_and_named(tmp_path):
    kinds = {"Lymphoblast": 3, "monocyte": 2, "Smudge cell": 2, "basophil": 1, "white_cell": 2}
    patches, words = cut_types(settings(), marked(tmp_path, 3, kinds), tmp_path / "cut", finder=NoFinder())
    assert patches.class_names == ("lymphoblast", "monocyte", "smudge_cell")
    assert np.bincount(patches.truth).tolist() == [9, 6, 6]
    assert words.blasts == ("lymphoblast",)
    assert "left out: 3 basophil" in " ".join(patches.left_out)
    assert "6 cells are marked as white cells alone" in " ".join(patches.left_out)


@pytest.mark.parametrize(
    ("kinds", "classes", "message"),
    [
        ({"hairy cell": 3, "monocyte": 3}, {}, "hairy_cell, which may or may not be blasts"),
        ({"basophil": 3, "monocyte": 3}, {}, "none of the types basophil, monocyte is a blast"),
        ({"lymphoblast": 3, "monocyte": 1}, {}, "two of them are needed; found 9 lymphoblast on 3 slides, 3 monocyte"),
        ({"lymphoblast": 3, "monocyte": 3}, {"monocyte": "mature"}, "blast, other or null"),
    ],
)
def test_what_cannot_be_learnt_is_refused_before_a_slide_is_opened(tmp_path, kinds, classes, message):
    items = marked(tmp_path, 3, kinds)
    with pytest.raises(UsageError, match=message):
        cut_types(settings(classes=classes), items, tmp_path / "cut", finder=NoFinder())


def test_what_the_recipe_says_of_a_type_wins_and_null_leaves_it_out(tmp_path):
    items = marked(tmp_path, 3, {"hairy cell": 3, "monocyte": 3, "myeloblast": 3})
    said = {"hairy cell": "blast", "myeloblast": None}
    patches, words = cut_types(settings(classes=said), items, tmp_path / "cut", finder=NoFinder())
    assert (patches.class_names, words.blasts) == (("hairy_cell", "monocyte"), ("hairy_cell",))
