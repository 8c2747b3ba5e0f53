"""The learned finder: its maps, what is read off them, and the scale that it takes from the cells themselves."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from wsi_patches.counting import find_cells
from wsi_patches.errors import UsageError
from wsi_patches.models.cell_finder import FieldScale, LearnedCellFinder
from wsi_patches.models.cell_scale import red_cell_px
from wsi_patches.models.efficientnet_lite0 import EfficientNetLite0
from wsi_patches.models.finder_network import (
    FINDER_CLASSES,
    RED_CELL_PX,
    STRIDE,
    CellFinderNet,
    FinderMaps,
    finder_from_imagenet,
)
from wsi_patches.models.heat_map import decode
from wsi_patches.slides import ArraySlide

WHITE, RED, PLATELET = range(3)


def bumps(side: int, cells: list[tuple[float, float, float, int]], height: float = 0.95) -> FinderMaps:
    """Maps of an image of ``side`` px as a perfect network gives them: cells are x, y, radius and class."""
    v, u = np.mgrid[: side // STRIDE, : side // STRIDE]
    heat = np.full((3, *u.shape), 1e-4)
    log_radius = np.zeros(u.shape)
    for x, y, radius, kind in cells:
        away = np.hypot(u * STRIDE + 1.5 - x, v * STRIDE + 1.5 - y)
        heat[kind] = np.maximum(heat[kind], height * np.exp(-(away**2) / (2 * (radius / 3) ** 2)))
        log_radius[away < radius] = np.log(radius / (RED_CELL_PX / 2))
    logits = np.log(heat / (1 - heat))
    return FinderMaps(torch.tensor(logits[None], dtype=torch.float32), torch.tensor(log_radius[None]).float())


class Discs(nn.Module):
    """Stands for a trained network: marks discs of three pure colours, and sees none but those of about its scale."""

    def __init__(self, height: float = 0.95) -> None:
        super().__init__()
        self.height = height

    def forward(self, x: torch.Tensor) -> FinderMaps:
        import cv2

        pixels, cells = x[0].permute(1, 2, 0).numpy(), []
        for kind in (WHITE, RED):
            mask = (pixels[..., kind] > 0.9) & (pixels[..., 1 - kind] < -0.5)
            _, _, boxes, centres = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
            for box, (cx, cy) in zip(boxes[1:], centres[1:], strict=True):
                radius, usual = box[2] / 2, RED_CELL_PX / 2 * (1.6 if kind == WHITE else 1)
                if 0.7 < radius / usual < 1.45:
                    cells.append((cx, cy, radius, kind))
        height, width = x.shape[2:]
        maps = bumps(max(height, width), cells, self.height)
        rows, columns = height // STRIDE, width // STRIDE
        return FinderMaps(maps.heat[:, :, :rows, :columns], maps.log_radius[:, :rows, :columns])


def discs(size: tuple[int, int], red_px: float) -> tuple[np.ndarray, np.ndarray]:
    """A field of red cells (green discs) with three white cells (red discs), and the centres of those."""
    import cv2

    width, height = size
    image = np.full((height, width, 3), 128, np.uint8)
    step = int(red_px * 2.2)
    places = [(x, y) for y in range(step, height - step // 2, step) for x in range(step, width - step // 2, step)]
    white = [places[len(places) * share // 7] for share in (1, 3, 5)]
    for place in places:
        colour, radius = ((255, 0, 0), 0.8 * red_px) if place in white else ((0, 255, 0), red_px / 2)
        cv2.circle(image, place, round(radius), colour, cv2.FILLED)
    return image, np.array(white, float)


@given(st.integers(1, 4), st.integers(1, 4))
def test_any_size_gives_a_map_of_stride_four(rows, columns):
    network = CellFinderNet(width=8).eval()
    with torch.inference_mode():
        maps = network(torch.zeros(1, 3, 16 * rows, 16 * columns))
    assert maps.heat.shape == (1, len(FINDER_CLASSES), 4 * rows, 4 * columns)
    assert maps.log_radius.shape == (1, 4 * rows, 4 * columns)


def test_untrained_head_says_that_there_is_hardly_anything():
    maps = CellFinderNet().eval()(torch.zeros(1, 3, 64, 64))
    assert maps.heat.sigmoid().mean() < 0.05


def test_backbone_is_taken_from_the_published_network():
    published = EfficientNetLite0()
    network = finder_from_imagenet(published)
    assert torch.equal(network.stem[0].weight, published.stem[0].weight)
    assert torch.equal(network.body[3][2].layers[0].weight, published.body[3][2].layers[0].weight)


@given(st.floats(20, 100), st.floats(20, 100), st.floats(8, 30), st.sampled_from([WHITE, RED]))
def test_a_bump_is_read_to_a_fraction_of_a_place(x, y, radius, kind):
    found = decode(bumps(128, [(x, y, radius, kind)]), threshold=0.3, apart=0.8)
    assert len(found) == 1
    assert found.class_index[0] == kind
    assert abs(found.x[0] - x) < 0.5
    assert abs(found.y[0] - y) < 0.5
    assert found.radius_px[0] == pytest.approx(radius, rel=1e-5)


def test_two_peaks_in_one_cell_are_one_cell_and_two_cells_that_touch_are_two():
    lobes = decode(bumps(128, [(50, 50, 20, WHITE), (62, 50, 20, WHITE)]), threshold=0.3, apart=0.8)
    touching = decode(bumps(128, [(40, 50, 20, WHITE), (80, 50, 20, WHITE)]), threshold=0.3, apart=0.8)
    assert len(lobes) == 1
    assert len(touching) == 2


def test_a_platelet_on_a_white_cell_is_kept_for_it_is_of_another_class():
    found = decode(bumps(128, [(50, 50, 20, WHITE), (58, 50, 5, PLATELET)]), threshold=0.3, apart=0.8)
    assert sorted(found.class_index.tolist()) == [WHITE, PLATELET]


def test_nothing_above_the_threshold_is_no_cell():
    assert len(decode(bumps(64, []), threshold=0.3, apart=0.8)) == 0


@pytest.mark.parametrize("red_px", [14, 26, 45, 80, 138])
def test_scale_is_taken_from_the_cells(red_px):
    finder = LearnedCellFinder(Discs())
    image, _ = discs((int(red_px * 14), int(red_px * 12)), red_px)
    assert red_cell_px(lambda one: finder.points(one, 0.3), [image]) == pytest.approx(red_px, rel=0.12)


@pytest.mark.parametrize("red_px", [20, 60, 138])
def test_cells_are_found_where_they_lie_without_a_hint_of_scale(red_px):
    image, white = discs((int(red_px * 14), int(red_px * 12)), red_px)
    cells = find_cells(ArraySlide(image), LearnedCellFinder(Discs()))
    assert len(cells) == len(white)
    away = np.hypot(*(cells.xy[:, None] - white[None]).transpose(2, 0, 1)).min(axis=0)
    assert away.max() < 0.15 * red_px
    assert cells.attributes["radius_px"] == pytest.approx(np.full(3, 0.8 * red_px), rel=0.15)


def test_windows_change_nothing():
    image, _ = discs((700, 600), 30)
    whole = find_cells(ArraySlide(image), LearnedCellFinder(Discs()))
    parts = find_cells(ArraySlide(image), LearnedCellFinder(Discs()), window_px=150)
    order_whole, order_parts = (np.lexsort(cells.xy.round(-1).T) for cells in (whole, parts))
    assert np.abs(whole.xy[order_whole] - parts.xy[order_parts]).max() < 1.5


def test_an_empty_field_has_no_scale_and_no_cells():
    glass = np.full((200, 300, 3), 230, np.uint8)
    finder = LearnedCellFinder(Discs())
    assert finder.calibrate([glass]) == FieldScale(None)
    assert len(find_cells(ArraySlide(glass), finder)) == 0
    assert len(finder.find(glass, FieldScale(None))) == 0


def test_one_doubtful_cell_on_empty_glass_is_no_scale():
    import cv2

    glass = np.full((900, 900, 3), 128, np.uint8)
    cv2.circle(glass, (450, 450), 13, (0, 255, 0), cv2.FILLED)
    assert LearnedCellFinder(Discs(0.6)).calibrate([glass]) == FieldScale(None)
    assert LearnedCellFinder(Discs(0.95)).calibrate([glass]).red_cell_px == pytest.approx(26, rel=0.1)


def test_a_known_resolution_is_the_scale():
    finder = LearnedCellFinder(Discs())
    scale = finder.calibrate([np.zeros((50, 50, 3), np.uint8)], mpp=0.25)
    assert scale.red_cell_px == pytest.approx(30)
    assert scale.scaled(2).red_cell_px == pytest.approx(15)


def test_what_cannot_be_is_refused():
    with pytest.raises(UsageError, match="thresholds lie between 0 and 1"):
        LearnedCellFinder(Discs(), threshold=1.5)
    with pytest.raises(UsageError, match="no cells of class 'blast'"):
        LearnedCellFinder(Discs(), class_name="blast")
    with pytest.raises(UsageError, match="at least one sample"):
        LearnedCellFinder(Discs()).calibrate([])
