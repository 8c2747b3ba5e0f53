"""Points and boxes come to lie where the pixels do."""

import pytest
import torch

from wsi_patches.train.frames import draw_frames


def drawn(count, image_px, size_px, kept_px, turn="full", flip=True, shift=0.1, scale=0.2, seed=1, degrees=20):
    sides = torch.tensor([image_px, image_px], dtype=torch.float32).expand(count, 2)
    generator = torch.Generator().manual_seed(seed)
    how = {"turn": turn, "flip": flip, "shift": shift, "scale": scale, "degrees": degrees}
    return draw_frames(sides, size_px, kept_px, generator=generator, **how)


def blob(side, x, y, across, along):
    """A Gaussian of standard deviations ``across`` (x) and ``along`` (y), which bilinear cutting hardly changes."""
    row, column = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    return (-((column - x) ** 2) / (2 * across**2) - (row - y) ** 2 / (2 * along**2)).exp()


def moments(image):
    """Return centre and standard deviations along x and y."""
    row, column = torch.meshgrid(*(torch.arange(side) for side in image.shape), indexing="ij")
    x, y = ((image * place).sum() / image.sum() for place in (column, row))
    variances = [(image * (place - mean) ** 2).sum() / image.sum() for place, mean in ((column, x), (row, y))]
    return torch.stack([x, y, *(value.sqrt() for value in variances)])


@pytest.mark.parametrize("turn", ["none", "quarter", "small", "full"])
@pytest.mark.parametrize("size_px", [64, 97])
def test_points_and_boxes_follow_the_pixels(turn, size_px):
    image = blob(141, 74, 61, 7, 4)
    frames = drawn(16, 141, size_px, 80, turn)

    cuts = frames.cut(image.expand(16, 1, -1, -1))

    for row, cut in enumerate(cuts[:, 0]):
        box = torch.tensor([[74.0, 61, 14, 8]])
        x, y, width, height = frames.boxes(row, box)[0]
        found = moments(cut)
        assert torch.allclose(torch.stack([x, y]), found[:2], atol=0.1)
        assert torch.allclose(torch.stack([width, height]) / 2, found[2:], rtol=0.03)
        assert torch.equal(frames.points(row, box[:, :2])[0], torch.stack([x, y]))
        assert float(width * height) == pytest.approx(112 * float(frames.zoom[row]) ** 2, rel=0.25)


def test_a_small_turn_is_drawn_evenly_up_to_its_degrees_either_way():
    step = drawn(4000, 21, 11, 11, turn="small", flip=False, scale=0, degrees=20).step
    angle = torch.atan2(step[:, 1, 0], step[:, 0, 0]).rad2deg()
    assert 19.5 < float(angle.max()) <= 20.001
    assert -20.001 <= float(angle.min()) < -19.5
    assert float(angle.abs().mean()) == pytest.approx(10, abs=0.5)
    assert torch.equal(drawn(9, 21, 11, 11, turn="small", degrees=0, seed=4).step[:, 0, 1], torch.zeros(9))


def test_an_upright_cut_is_a_crop():
    image = torch.rand(1, 3, 21, 21)
    frames = drawn(1, 21, 11, 11, turn="none", flip=False, shift=0, scale=0)

    assert torch.allclose(frames.cut(image), image[:, :, 5:16, 5:16], atol=1e-5)
    assert float(frames.zoom[0]) == 1


def test_quarter_turns_and_flips_give_all_eight_and_no_other():
    image = torch.rand(1, 3, 8, 8)
    turned = [image.rot90(k, (2, 3)) for k in range(4)]
    expected = turned + [one.flip(3) for one in turned]

    cuts = drawn(64, 8, 8, 8, turn="quarter", shift=0, scale=0).cut(image.expand(64, -1, -1, -1))

    matches = [[torch.allclose(one, other[0], atol=1e-5) for other in expected] for one in cuts]
    assert all(sum(row) == 1 for row in matches)
    assert all(any(column) for column in zip(*matches, strict=True))


@pytest.mark.parametrize(("border", "beyond"), [("mirror", 3), ("black", 0), ("edge", 1)])
def test_what_lies_beyond_the_border_can_be_asked_for(border, beyond):
    image = torch.tensor([1.0, 2, 3, 3, 2, 1]).expand(1, 1, 6, 6)
    frames = drawn(1, 6, 12, 12, turn="none", flip=False, shift=0, scale=0)

    cut = frames.cut(image, border)[0, 0]
    assert torch.allclose(cut[3:9, 3:9], image[0, 0], atol=1e-5)
    assert cut[6, 0] == pytest.approx(beyond, abs=1e-5)


def test_beyond_the_border_it_is_mirrored_and_not_black():
    cuts = drawn(32, 20, 20, 20).cut(torch.ones(32, 3, 20, 20))

    assert torch.allclose(cuts, torch.ones(()))
