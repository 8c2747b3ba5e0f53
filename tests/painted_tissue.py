"""Small painted patches of tissue that bear several of ADP's labels each, as ADP is handed out, and a control."""

import csv
from pathlib import Path

import cv2
import numpy as np

LABELS = (
    "E E.M E.M.S E.M.C E.T E.T.S E.T.C E.T.X C C.D C.D.I C.D.R C.L C.X H H.E H.K H.Y H.X S S.M S.C S.R A A.W A.M M N "
    "N.P N.R N.G N.G.M N.G.A N.G.O N.G.E N.G.R N.G.T N.G.X G G.O G.N G.X T"
)
COLUMNS = tuple(LABELS.split(" "))
PAINTED = {"E": ("E", "E.M"), "C": ("C", "C.L"), "A": ("A", "A.W")}
"""What is painted: bands of epithelium, fibres of connective tissue, and empty fat cells, each with a child label."""


def paint_tissue(kinds, side_px, rng):
    """Return a patch, uint8 RGB ``(s, s, 3)``, that shows some of ``E``, ``C`` and ``A``."""
    image = np.full((side_px, side_px, 3), (228, 205, 220), np.uint8)
    unit = side_px / 64
    if "C" in kinds:
        for place in rng.uniform(0, side_px, 14):
            ends = (0, int(place)), (side_px, int(place + rng.normal(0, 8 * unit)))
            cv2.line(image, *ends, (214, 110, 150), max(1, round(1.5 * unit)))
    if "E" in kinds:
        for x, y in rng.uniform(0.1, 0.9, (16, 2)) * side_px:
            cv2.circle(image, (int(x), int(y)), round(4 * unit), (80, 40, 130), -1)
    if "A" in kinds:
        for x, y in rng.uniform(0.1, 0.9, (4, 2)) * side_px:
            cv2.circle(image, (int(x), int(y)), round(10 * unit), (250, 248, 250), -1)
            cv2.circle(image, (int(x), int(y)), round(10 * unit), (190, 120, 170), 1)
    return np.clip(image + rng.normal(0, 6, image.shape), 0, 255).astype(np.uint8)


def write_tissue(folder, slides=12, patches=10, side_px=64, seed=0, *, shuffled=False):
    """Write a table of labels and its images; ``shuffled`` deals whole rows of labels out by chance, for a control."""
    rng, images = np.random.default_rng(seed), Path(folder) / "img_res_1um_bicubic"
    images.mkdir(parents=True)
    names, rows = [], []
    for slide in range(slides):
        for number in range(patches):
            kinds = {kind for kind in PAINTED if rng.random() < 0.5}
            name = f"{slide + 1:03d}.png_crop_{number}.png"
            assert cv2.imwrite(str(images / name), paint_tissue(kinds, side_px, rng)[..., ::-1])
            names.append(name)
            rows.append([int(any(one in PAINTED[kind] for kind in kinds)) for one in COLUMNS])
    order = rng.permutation(len(rows)) if shuffled else range(len(rows))
    with (Path(folder) / "ADP_EncodedLabels_Release1_Flat.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["Patch Names", *COLUMNS])
        writer.writerows([name, *rows[row]] for name, row in zip(names, order, strict=True))
    return Path(folder)


def write_tissue_classes(folder, count, side_px, seed=0, *, shuffled=False):
    """Write epithelium and fat as folders of classes; ``shuffled`` deals the same labels out by chance."""
    names, rng = ("epithelium", "fat"), np.random.default_rng(seed)
    kinds = np.arange(count) % 2
    for number, (kind, label) in enumerate(zip(kinds, rng.permutation(kinds) if shuffled else kinds, strict=True)):
        path = Path(folder) / names[label] / f"{number:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image = paint_tissue({"EA"[kind]}, side_px, np.random.default_rng([seed, number]))
        assert cv2.imwrite(str(path), image[..., ::-1])
    return Path(folder)
