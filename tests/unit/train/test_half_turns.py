"""Half turns and flips, which are what histopathology's flips along both axes come to."""

import torch

from wsi_patches.train.frames import draw_frames


def test_half_turns_and_flips_are_flips_along_both_axes():
    image = torch.rand(1, 3, 8, 8)
    frames = draw_frames(
        torch.tensor([[8.0, 8.0]]).expand(64, 2), 8, 8, turn="half", flip=True, shift=0, scale=0,
        generator=torch.Generator().manual_seed(2),
    )  # fmt: skip
    cuts = frames.cut(image.expand(64, -1, -1, -1))
    wanted = [image, image.flip(2), image.flip(3), image.flip(2, 3)]
    found = [[int(torch.allclose(cut, one[0], atol=1e-5)) for one in wanted] for cut in cuts]

    assert all(sum(row) == 1 for row in found)
    assert all(sum(column) > 4 for column in zip(*found, strict=True))
