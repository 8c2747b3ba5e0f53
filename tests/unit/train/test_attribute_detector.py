"""A detector of types and attributes from fields that are marked in part: what is read, left open, learnt and lost."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
import pytest
import torch

from tests.painted_attributes import DOMAINS, MPP, TYPES, write_leukemia_attri
from tests.unit.train.plain_crops import PLAIN
from tests.unit.train.seen_cells import SeenCells
from wsi_patches.annotations import boxes_of, write_coco
from wsi_patches.cells import Cells
from wsi_patches.counting import assign_points_to_boxes
from wsi_patches.datasets import find_inputs
from wsi_patches.errors import UsageError
from wsi_patches.geometry import Size
from wsi_patches.infer.detect import detect_cells
from wsi_patches.models.cell_finder import FieldScale
from wsi_patches.models.detector import CellDetector
from wsi_patches.morphology import Attribute
from wsi_patches.recipe import find_recipe, read_recipe, settings_from
from wsi_patches.slides import ArraySlide, open_slide
from wsi_patches.train.attribute_fields import AttributeReading
from wsi_patches.train.attribute_settings import AttributeDetectorSettings, domain_of
from wsi_patches.train.detector import train_detector
from wsi_patches.train.detector_task import box_targets
from wsi_patches.train.engine_settings import EngineSettings
from wsi_patches.train.finder_crops import cut_crop
from wsi_patches.train.marked_fields import SplitField

pytestmark = pytest.mark.usefixtures("one_thread")

DISCS = Size(220, 160)
CHROMATIN = Attribute("nuclear_chromatin", ("open", "coarse"))
COLOURS = {"open": (190, 120, 200), "coarse": (70, 40, 150)}
PLACES = [(x, y) for x in (30, 82, 134, 186) for y in (30, 80, 130)]
SMALL = AttributeDetectorSettings(
    types=("white",),
    blasts=(),
    classes={"doubtful": "ignore"},
    attributes={CHROMATIN.name: CHROMATIN.values, "nucleus": ("inconspicuous", "prominent")},
    width=32,
    convs=1,
    crop_px=96,
    batch_size=4,
    look=PLAIN,
    slide_mpp=MPP,
    shares={"train": 0.5, "validation": 0.25, "test": 0.25},
    training=EngineSettings(epochs=2, steps_per_epoch=24, learning_rate=5e-3, device="cpu"),
)


def discs(rng):
    """Return a field of violet discs on grey, pale or dark, and what each is."""
    image = np.full((DISCS.height, DISCS.width, 3), 225, np.uint8)
    places = np.array(PLACES)[np.sort(rng.permutation(len(PLACES))[:8])] + rng.integers(-4, 5, (8, 2))
    said = rng.permutation(["open", "coarse"] * 4)
    for (x, y), value in zip(places.tolist(), said.tolist(), strict=True):
        cv2.circle(image, (x, y), 17, COLOURS[value], -1)
    image = np.clip(image + rng.normal(0, 5, image.shape), 0, 255).astype(np.uint8)
    edges = dict(
        zip(("left_px", "top_px", "right_px", "bottom_px"), np.hstack([places - 17, places + 17]).T, strict=True)
    )
    return image, Cells.at(places, ("white",), **edges, nuclear_chromatin=said)


@dataclass(frozen=True)
class DiscFinder:
    """Sees every disc, as the shipped finder sees white cells."""

    working_mpp: float = 7.5 / 39

    def calibrate(self, samples, mpp=None):
        return FieldScale(39.0)

    def find(self, image, calibration):
        count, _, stats, middle = cv2.connectedComponentsWithStats((image[..., 1] < 170).astype(np.uint8))
        kept = np.arange(1, count)[stats[1:, cv2.CC_STAT_AREA] > 300]
        radius = np.sqrt(stats[kept, cv2.CC_STAT_AREA] / np.pi)
        return SeenCells(middle[kept, 0], middle[kept, 1], radius, np.ones(len(kept), np.float32))


def write_discs(folder, count=12, *, shuffled):
    """Write fields of which half the discs are marked, and what they are told to be, or that dealt out by chance."""
    (folder / "Images").mkdir(parents=True)
    images, rng = [], np.random.default_rng(7)
    for number in range(count):
        image, cells = discs(rng)
        half = cells.take(np.sort(rng.permutation(len(cells))[:4]))
        said = (
            np.random.default_rng(number).permutation(["open", "coarse"] * 2)
            if shuffled
            else half.attributes["nuclear_chromatin"]
        )
        cv2.imwrite(str(folder / "Images" / f"{number}.png"), image[..., ::-1])
        images.append(
            (f"{number}.png", DISCS, replace(half, attributes={**half.attributes, "nuclear_chromatin": said}))
        )
    write_coco(folder / "all.json", images, ["nuclear_chromatin"])
    return find_inputs([folder]).items


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """One that leaves unmarked cells open and is told the truth; one that takes them for background, told by chance."""
    threads, made = torch.get_num_threads(), {}
    torch.set_num_threads(1)
    for unmarked in ("unknown", "background"):
        folder = tmp_path_factory.mktemp(unmarked)
        items = write_discs(folder / "data", shuffled=unmarked == "background")
        settings = replace(SMALL, unmarked=unmarked)
        made[unmarked] = train_detector(settings, items, folder / "out", finder=DiscFinder())
    torch.set_num_threads(threads)
    return made


def seen(trained, least=None):
    """Return of all discs of new fields the share that is found, and the share of the found told rightly.

    The threshold is the one that was chosen on held-back fields, if no other is given.
    """
    card = replace(trained.card, threshold=least or trained.card.threshold)
    detector = CellDetector.of(trained.network, card, "", DiscFinder(), torch.device("cpu"))
    found, right, all_of = 0, 0, 0
    for seed in range(6):
        image, cells = discs(np.random.default_rng(100 + seed))
        said, _ = detect_cells(ArraySlide(image, mpp=MPP), detector)
        row = assign_points_to_boxes(said.xy, said.score, boxes_of(cells))
        truth = cells.attributes["nuclear_chromatin"][row[row >= 0]]
        found, all_of = found + len(truth), all_of + len(cells)
        right += int((said.attributes["nuclear_chromatin"][row >= 0] == truth).sum())
    return found / all_of, right / max(found, 1)


def test_unmarked_cells_are_found_if_they_are_left_open_and_lost_as_background(trained):
    left_open, _ = seen(trained["unknown"])
    background, _ = seen(trained["background"])
    assert left_open > 0.8
    assert background < left_open - 0.3


def test_attributes_are_learnt_and_not_from_shuffled_ones(trained):
    _, learnt = seen(trained["unknown"], least=0.3)
    _, shuffled = seen(trained["background"], least=0.1)
    assert learnt > 0.9
    assert shuffled < learnt - 0.2


def test_an_attribute_that_no_cell_says_is_not_told(trained):
    one = trained["unknown"]
    assert one.card.attributes == {CHROMATIN.name: CHROMATIN.values}
    assert any("of two kinds: nucleus" in sentence for sentence in one.warnings)
    assert one.fields[0].marked.details.attributes.shape[1] == 1


def reading(**changes):
    values = {"types": ("white",), "classes": SMALL.classes, "attributes": (CHROMATIN,), "columns": {}}
    return AttributeReading(**{**values, "unmarked": "background", "finder": DiscFinder(), "slide_mpp": MPP, **changes})


def write_one(folder, kinds, boxes):
    folder.mkdir()
    cv2.imwrite(str(folder / "a.png"), discs(np.random.default_rng(0))[0])
    edges = dict(zip(("left_px", "top_px", "right_px", "bottom_px"), np.array(boxes, np.float64).T, strict=True))
    middle = (np.array(boxes)[:, :2] + np.array(boxes)[:, 2:]) / 2
    names = tuple(dict.fromkeys(kinds))
    cells = Cells.at(middle, names, [names.index(one) for one in kinds], **edges)
    write_coco(folder / "all.json", [("a.png", DISCS, cells)])
    return find_inputs([folder]).items[0]


def read(item, **changes):
    with open_slide(item.path, mpp=MPP) as slide:
        return reading(**changes).read(slide, item, 0)


def test_cells_in_regions_are_left_out_and_the_regions_lie_on_the_held_image(tmp_path):
    boxes = [[10, 10, 50, 50], [100, 20, 130, 50], [104, 22, 124, 44], [150, 100, 190, 140]]
    item = write_one(tmp_path / "a", ["white", "doubtful", "white", "white"], boxes)
    field = read(item)
    assert len(field.field.cells.x) == 2
    step = field.field.image.shape[1] / DISCS.width
    assert field.details.regions.ignored == pytest.approx(np.array([[100, 20, 131, 51]]) * step - [0, 0, 1, 1], abs=0.1)
    area = write_one(tmp_path / "b", ["white", "annotated_area", "white"], [boxes[0], [90, 0, 219, 159], boxes[3]])
    assert read(area).field.cells.x == pytest.approx([170.5 * step - 0.5])
    assert read(area).details.regions.unknown([[5, 5], [200 * step, 5]]).tolist() == [True, False]


def test_cells_outside_of_the_field_are_left_out_and_counted(tmp_path):
    item = write_one(tmp_path / "a", ["white"] * 3, [[10, 10, 50, 50], [900, 20, 930, 50], [-30, 5, -10, 25]])
    field = read(item)
    assert (len(field.field.cells.x), field.details.outside) == (1, 2)
    part = SplitField("a", item, "a", "train", field)
    settings = replace(SMALL, attributes={CHROMATIN.name: CHROMATIN.values})
    assert "2 marked cells lie outside of their fields" in settings.fitted([part])[2][0]


def test_unmarked_cells_that_the_finder_sees_are_left_open(tmp_path):
    image, cells = discs(np.random.default_rng(0))
    item = write_one(tmp_path / "a", ["white"], boxes_of(cells)[:1])
    assert len(read(item).details.regions.ignored) == 0
    unknown = read(item, unmarked="unknown").details.regions
    step = read(item).field.image.shape[1] / DISCS.width
    assert len(unknown.ignored) == len(cells) - 1
    assert unknown.unknown((cells.xy + 0.5) * step - 0.5).tolist() == [False] + [True] * (len(cells) - 1)
    assert image.shape == (*DISCS[::-1], 3)


@pytest.mark.parametrize("seed", range(4))
def test_what_is_unknown_lies_in_a_crop_where_the_region_does(tmp_path, seed):
    field = read(write_one(tmp_path / "a", ["doubtful", "white"], [[60, 40, 139, 109], [10, 10, 50, 50]]))
    image = np.full_like(field.field.image, 200)
    left, top, right, bottom = np.round(field.details.regions.ignored[0]).astype(int)
    image[top : bottom + 1, left : right + 1] = 0
    crop = cut_crop(replace(field.field, image=image), 160, PLAIN, np.random.default_rng(seed))
    target = box_targets(crop, field.class_index, field.details)
    dark = crop.image.max(axis=2) < 100
    assert (target.unknown.numpy() != dark).mean() < 0.03
    assert target.unknown.any()


def test_a_class_that_nobody_explains_is_refused(tmp_path):
    item = write_one(tmp_path / "a", ["white", "kind_7"], [[10, 10, 50, 50], [100, 20, 130, 50]])
    with pytest.raises(UsageError, match=r"marks of class 'kind_7', which is none of the types white"):
        read(item)
    assert len(read(item, classes={"kind_7": None}).field.cells.x) == 1
    assert len(read(item, classes={"kind_7": "white"}).field.cells.x) == 2


@pytest.fixture(scope="module")
def domains(tmp_path_factory):
    return find_inputs([write_leukemia_attri(tmp_path_factory.mktemp("set") / "data", 6)]).items


def test_all_domains_of_a_smear_are_on_one_side_and_named_ones_alone_are_learnt(domains, tmp_path):
    settings = replace(SMALL, types=TYPES, blasts=None, classes={}, smear_pattern=r"^(\d+)_", train_domains=DOMAINS[:1])
    settings = replace(settings, training=replace(settings.training, epochs=1, steps_per_epoch=1), pretrained=False)
    result = train_detector(settings, settings.grouped(domains), tmp_path, finder=DiscFinder())
    sides = {}
    for one in result.fields:
        sides.setdefault(one.group, set()).add(one.split)
    assert len(sides) == 6
    assert all(len(names) == 1 for names in sides.values())
    assert {domain_of(one.item) for one in result.of("train")} == {DOMAINS[0]}
    assert {domain_of(one.item) for one in result.of("test")} == set(DOMAINS)
    assert settings.learnt(result.fields) == DOMAINS[:1]
    assert result.card.blasts == ("lymphoblast",)


def test_types_are_those_of_the_data_set_if_none_is_named(domains):
    assert set(replace(SMALL, types=(), blasts=None).for_items(domains).types) >= set(TYPES)
    assert "none" not in replace(SMALL, types=(), blasts=None).for_items(domains).types
    with pytest.raises(UsageError, match=r"no picture is of H_10x_C9; there are H_100x_C1, L_100x_C2"):
        replace(SMALL, train_domains=("H_10x_C9",)).for_items(domains)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"attributes": {"cell_size": ("small",)}}, "cell_size needs two values or more"),
        ({"attribute_columns": ("hue",)}, "attribute_columns names hue"),
        ({"classes": {"x": "blasts"}}, "found blasts"),
        ({"blasts": ("myeloblast",)}, "blasts: myeloblast is none of the types"),
        ({"smear_pattern": "("}, "is no regular expression"),
        ({"smear_pattern": "a"}, "puts what names the smear in parentheses"),
        ({"counts": "white_cells"}, "counts is set by the types"),
        ({"width": 40}, "multiple of 32"),
    ],
)
def test_settings_that_cannot_be_are_refused(tmp_path, changes, told):
    with pytest.raises(UsageError, match=told):
        train_detector(
            replace(SMALL, **changes),
            write_discs(tmp_path / "data", 4, shuffled=False),
            tmp_path / "out",
            finder=DiscFinder(),
        )


def test_the_recipe_is_that_of_the_data_set():
    recipe = settings_from(AttributeDetectorSettings, {}, read_recipe(find_recipe("leukemia_attri")), "leukemia_attri")
    assert (len(recipe.types), len(recipe.attributes), len(recipe.attribute_columns)) == (13, 7, 6)
    assert set(recipe.blast_types) == {"myeloblast", "lymphoblast", "monoblast", "promonocyte"}
