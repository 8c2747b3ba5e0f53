"""Cells on every kind of seam are counted once: between windows, at corners, at borders, between patches and parts.

The cells are discs, each dark in one colour channel, and the finder is a perfect one that sees a window's pixels alone:
what fails here is the handling of seams.
"""

from dataclasses import dataclass
from itertools import pairwise, product

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_patches.cells import ALL_IDB_RULE, Cells
from wsi_patches.counting import find_cells
from wsi_patches.counting.boxes import find_boxes
from wsi_patches.geometry import Size
from wsi_patches.grid import PatchGrid, PatchSpec
from wsi_patches.patch import SlideRecord
from wsi_patches.slides import ArraySlide
from wsi_patches.stores import MosaicSlide, PartWriter, StoreSettings, create_store, open_store
from wsi_patches.stores.writer import PatchRows

DIAMETER = 20.0
RADII = st.floats(7, 13)
OFFSETS = st.floats(-15, 15) | st.floats(-1.5, 0.5)
"""Of a centre from a seam, level-0 pixels; the middle of the pixels' seam lies at -0.5."""
CHANNELS = 3


@dataclass(frozen=True)
class Dots:
    """Cells of one image: columns of shape ``(n,)``."""

    x: np.ndarray
    y: np.ndarray
    radius_px: np.ndarray
    score: np.ndarray


@dataclass(frozen=True)
class Diameter:
    cell_diameter_px: float

    def scaled(self, downsample):
        return Diameter(self.cell_diameter_px / downsample)


@dataclass(frozen=True)
class DotFinder:
    """Finds the connected dark parts of each colour channel; the score says nothing, but differs between windows."""

    downsample: float = 1.0
    working_mpp: float = 1.0

    def calibrate(self, samples, mpp=None):
        return Diameter(DIAMETER / self.downsample)

    def find(self, image, calibration):
        rows = [np.empty((3, 0))]
        for channel in range(CHANNELS):
            dark = (image[..., channel] < 128).astype(np.uint8)
            _, _, stats, centres = cv2.connectedComponentsWithStats(dark, connectivity=4)
            area = stats[1:, cv2.CC_STAT_AREA]
            rows.append(np.stack([*centres[1:].T, np.sqrt(area / np.pi)]))
        x, y, radius = np.concatenate(rows, axis=1)
        return Dots(x, y, radius, (np.abs(np.sin(image.shape[1] * x + y)) / 2).astype(np.float32))


@dataclass(frozen=True)
class Boxes(Dots):
    """The same with boxes, and the channel as class."""

    edges: np.ndarray
    probabilities: np.ndarray


@dataclass(frozen=True)
class BoxedDotFinder(DotFinder):
    class_names: tuple[str, ...] = ("cyan", "magenta", "yellow")

    def find(self, image, calibration):
        edges, kinds = [], []
        for channel in range(CHANNELS):
            dark = (image[..., channel] < 128).astype(np.uint8)
            for left, top, width, height, _ in cv2.connectedComponentsWithStats(dark, connectivity=4)[2][1:]:
                edges.append((left, top, left + width - 1, top + height - 1))
                kinds.append(channel)
        dots, chances = super().find(image, calibration), np.eye(CHANNELS)[kinds].reshape(-1, CHANNELS)
        edges = np.array(edges, np.float64).reshape(-1, 4)
        return Boxes(dots.x, dots.y, dots.radius_px, dots.score, edges, chances)


@dataclass(frozen=True)
class Disc:
    x: float
    y: float
    radius: float
    channel: int


def painted(size, discs):
    """Return a slide of white glass with discs, each dark in one channel, smooth at its rim."""
    y, x = np.mgrid[: size.height, : size.width].astype(np.float32)
    image = np.full((size.height, size.width, CHANNELS), 255, np.uint8)
    for disc in discs:
        cover = np.clip(disc.radius + 0.5 - np.hypot(x - disc.x, y - disc.y), 0, 1)
        image[..., disc.channel] = np.minimum(image[..., disc.channel], (255 * (1 - cover)).round().astype(np.uint8))
    return image


def apart(discs, size, gap):
    """Return the discs whose centre is on the slide, without those that would run into one of their own channel."""
    kept = []
    for disc in discs:
        on_slide = 0 <= disc.x <= size.width - 1 and 0 <= disc.y <= size.height - 1
        if on_slide and all(_clear(disc, other, gap) for other in kept):
            kept.append(disc)
    return kept


def _clear(one, other, gap):
    """Tell whether two discs touch at most, and keep a gap where they are of one channel."""
    away = np.hypot(one.x - other.x, one.y - other.y) - one.radius - other.radius
    return away >= (gap if one.channel == other.channel else -1e-9)


def assert_each_found_once(found, discs, size, near):
    assert len(found) == len(discs)
    if not discs:
        return
    centres = np.array([(disc.x, disc.y) for disc in discs]).reshape(-1, 2)
    gaps = np.hypot(*(found.xy[:, None] - centres[None]).transpose(2, 0, 1))
    assert sorted(gaps.argmin(axis=1).tolist()) == list(range(len(discs)))
    # What a border cuts has its middle elsewhere.
    cut = [min(d.x, d.y, size.width - 1 - d.x, size.height - 1 - d.y) < d.radius for d in discs]
    assert (gaps.min(axis=0) <= np.where(cut, [disc.radius for disc in discs], near)).all()


def seams(length, side):
    """Return where windows of at most ``side`` meet, and the slide's two borders."""
    count = max(1, int(np.ceil(length / side)))
    return np.linspace(0, length, count + 1).round().tolist()


@st.composite
def cells_at(draw, xs, ys):
    """Draw cells on and beside some crossings of columns and rows, half of them with one that touches them."""
    discs = []
    crossings = st.sampled_from(list(product(xs, ys)))
    for x, y in draw(st.lists(crossings, min_size=1, max_size=12, unique=True)):
        radius, angle = draw(RADII), draw(st.floats(0, 2 * np.pi))
        dx, dy = draw(st.tuples(OFFSETS, OFFSETS))
        disc = Disc(x + dx, y + dy, radius, draw(st.integers(0, CHANNELS - 1)))
        discs.append(disc)
        if draw(st.booleans()):
            other = draw(RADII)
            away = radius + other
            there = disc.x + away * np.cos(angle), disc.y + away * np.sin(angle)
            discs.append(Disc(*there, other, (disc.channel + 1) % CHANNELS))
    return discs


@st.composite
def slides_with_seams(draw):
    size = Size(draw(st.integers(90, 330)), draw(st.integers(90, 330)))
    downsample = draw(st.sampled_from([1.0, 1.3, 1.7, 2.0, 2.45]))
    window_px = draw(st.integers(64, 200))
    lines = [seams(length, window_px * downsample) for length in size]
    # On the crossings, and on the seams between them.
    columns, rows = (sorted([*line, *((a + b) / 2 for a, b in pairwise(line))]) for line in lines)
    discs = apart(draw(cells_at(columns, rows)), size, 3 * downsample)
    return size, downsample, window_px, discs


@settings(max_examples=150)
@given(slides_with_seams())
def test_between_windows_at_corners_and_at_the_border(drawn):
    size, downsample, window_px, discs = drawn
    slide = ArraySlide(painted(size, discs))
    found = find_cells(slide, DotFinder(downsample), downsample=downsample, window_px=window_px)
    assert_each_found_once(found, discs, size, near=downsample)


@given(slides_with_seams())
def test_each_cell_gets_one_box_and_its_own_class(drawn):
    size, downsample, window_px, discs = drawn
    slide = ArraySlide(painted(size, discs))
    found = find_boxes(slide, BoxedDotFinder(downsample), downsample=downsample, window_px=window_px)
    assert len(found.edges) == len(discs)
    whole = np.array([(d.x, d.y, d.x, d.y) for d in discs]).reshape(-1, 4)
    radius = np.array([disc.radius for disc in discs])[:, None]
    # First and last pixels; what lies beyond the slide is not seen.
    ends = np.clip(whole + radius * (-1, -1, 1, 1) + (0.5, 0.5, -0.5, -0.5), 0, (*(np.array(size) - 1),) * 2)
    if len(discs):
        gaps = np.abs(found.edges[:, None] - ends[None]).max(axis=2)
        assert sorted(gaps.argmin(axis=1).tolist()) == list(range(len(discs)))
        assert gaps.min(axis=0).max() <= 1.5 * downsample
        nearest = [discs[row].channel for row in gaps.argmin(axis=1).tolist()]
        assert found.probabilities.argmax(axis=1).tolist() == nearest


def write_parts(path, slide, grid, patches_in_part):
    """Write a slide's patches as parts of some patches each, the first one shared with a slide of a single cell."""
    rule = StoreSettings(grid.spec, ALL_IDB_RULE)
    create_store(path, rule, durable=False)
    for start in range(0, len(grid), patches_in_part):
        part = grid[start : start + patches_in_part]
        writer = PartWriter(path, f"part{start}", rule, len(part) + 1, durable=False)
        add(writer, 0, part, slide)
        records = [record("slide", slide, grid, start, start + len(part))]
        if start == 0:
            side = grid.side
            other = ArraySlide(painted(Size(side, side), [Disc(side / 2, side / 2, DIAMETER / 2, 0)]))
            one = PatchGrid(Size(grid.spec.size_px, grid.spec.size_px), grid.spec, grid.downsample)
            add(writer, 1, one, other)
            records.append(record("other", other, one, 0, 1))
        writer.complete(records)


def add(writer, row, grid, slide):
    images = np.stack([slide.read_scaled(place.box, grid.downsample) for place in grid])
    counts = np.zeros((len(grid), len(ALL_IDB_RULE.class_names)), np.uint16)
    members = (np.empty(0, np.int64),) * len(grid)
    writer.add(row, PatchRows(grid.index_array(), grid.xy(), images, counts, members))
    writer.add_cells(Cells.at([], ALL_IDB_RULE.class_names))


def record(name, slide, grid, start, stop):
    size = tuple(slide.info.size)
    return SlideRecord(
        name, f"{name}.png", name, size, ((*size, 1.0),),
        downsample=grid.downsample, grid_start=start, grid_stop=stop, grid_total=grid.total,
    )  # fmt: skip


@st.composite
def slides_in_patches(draw, overlap):
    downsample = draw(st.sampled_from([1.0, 1.5]))
    spec = PatchSpec(draw(st.sampled_from([48, 64])), overlap=overlap)
    shrunk = Size(draw(st.integers(64, 170)), draw(st.integers(64, 170)))
    size = Size(*(round(length * downsample) for length in shrunk))
    grid = PatchGrid(shrunk, spec, downsample)
    # Where a patch begins, and where one ends.
    columns, rows = (
        sorted({float(edge * downsample) for origin in origins for edge in (origin, origin + spec.size_px)})
        for origins in (grid.columns_px.tolist(), grid.rows_px.tolist())
    )
    discs = apart(draw(cells_at(columns, rows)), size, 4 * downsample)
    return size, grid, discs, draw(st.integers(1, len(grid)))


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5])
def test_between_the_patches_and_the_parts_of_a_store(overlap, tmp_path_factory):
    @settings(max_examples=30)
    @given(slides_in_patches(overlap), st.integers(64, 200))
    def each_once(drawn, window_px):
        size, grid, discs, patches_in_part = drawn
        path = tmp_path_factory.mktemp("seams") / "a.zarr"
        write_parts(path, ArraySlide(painted(size, discs)), grid, patches_in_part)
        mosaic = MosaicSlide(open_store(path), "slide")
        assert mosaic.coverage() == 1
        found = find_cells(mosaic, DotFinder(grid.downsample), downsample=grid.downsample, window_px=window_px)
        assert_each_found_once(found, discs, size, near=1.5 * grid.downsample)

    each_once()
