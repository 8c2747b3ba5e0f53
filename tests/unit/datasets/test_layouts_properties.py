"""Whatever lies in a folder, looking at it raises nothing, and no item lies outside of it."""

import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tests import made_datasets as made
from wsi_patches.datasets.class_words import class_word
from wsi_patches.datasets.folders import stem, suffix, within
from wsi_patches.datasets.layouts import recognise
from wsi_patches.datasets.sentences import some

FOLDERS = (
    "images",
    "labels",
    "Annotations",
    "train",
    "val",
    "im",
    "xyc",
    "other",
    "Benign",
    "Pro",
    "BAS",
    "NGS",
    "all",
)
FOLDERS = (*FOLDERS, "fold_0", "phase2", "H_100x_C1", "control", "NPM1", "Dataset 1", "neutrophil", "basophil", "BCCD")
FILES = ("a.jpg", "a.png", "a.txt", "a.xml", "a.xyc", "Im001_1.tif", "Im001_1_patch_1.tif", "BAS_0001.tiff", "001.bmp")
FILES = (*FILES, "UID_1_1_1_all.bmp", "BA_1.jpg", "classes.txt", "train.json", "phase2.csv", "BloodImage_00001.jpg")
CONTENTS = (
    "",
    "0 0.5 0.5 0.1 0.1\n",
    "<annotation><object><name>WBC</name></object></annotation>",
    "1 2\n",
    "a,b\n1\n",
)
CONTENTS = (
    *CONTENTS,
    '{"images": [{"id": 1, "file_name": "../a.jpg"}], "annotations": [], "categories": []}',
    '{"info"',
)
TREES = st.lists(
    st.tuples(st.lists(st.sampled_from(FOLDERS), max_size=3), st.sampled_from(FILES), st.sampled_from(CONTENTS)),
    max_size=12,
)


@given(TREES)
def test_any_folder_is_read_or_left_alone(tree):
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for folders, file, content in tree:
            path = root.joinpath(*folders, file)
            if not content and path.suffix in {".jpg", ".png", ".bmp", ".tif", ".tiff"}:
                made.picture(path)
            else:
                made.text(path, content)
        known = recognise(root)
        if known is None:
            return
        layout, folder = known
        dataset = layout.read(folder)
        assert all(Path(item.path).is_relative_to(root) and Path(item.path).is_file() for item in dataset.items)
        assert len({item.path for item in dataset.items}) == len(dataset.items)
        assert all(Path(file.path).is_file() for item in dataset.items for file in item.annotations)
        assert all(item.layout == layout.name for item in dataset.items)


@given(st.text(alphabet="ab./\\:C\0 ", max_size=12))
def test_a_stated_path_stays_within_or_is_refused(name):
    plain = within(name)
    if plain is not None:
        assert Path("/set", plain).is_relative_to("/set")
        assert ".." not in Path(plain).parts
        assert "\0" not in plain


@given(st.text(max_size=20))
def test_a_class_word_is_stable_and_never_empty_for_a_name(name):
    word = class_word(name)
    assert bool(word) == bool(name)
    assert class_word(word) == word


def test_class_words():
    assert [class_word(name) for name in ("WBC", " RBC", "Platelets", "White blood cell")] == [
        *("white_cell", "red_cell", "platelet", "white_cell")
    ]
    assert class_word("Neutrophil Band") == "neutrophil_band"
    assert class_word("lymphoblast") == "lymphoblast"
    assert class_word("Лимфоцит") == "лимфоцит"


@given(st.lists(st.text(max_size=300), max_size=8))
def test_a_sentences_names_can_be_printed(names):
    said = some(names)
    assert said.isprintable()
    assert len(said) < 5 * 10 * 205
    assert ("more" in said) or len(names) <= 5 or any("more" in name for name in names)


@given(st.text(max_size=12))
def test_stem_and_suffix_make_the_name(name):
    assert (stem(name) + suffix(name)).lower() == name.lower() or not name.isascii()
