"""What ``bags`` leaves of one slide or patient: attention as a table, on overviews, as an album, and on one page."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_patches.evaluate.gallery import captioned_gallery
from wsi_patches.evaluate.tables import write_table
from wsi_patches.html_page import details_table, embedded_picture, html_document
from wsi_patches.report.attention import draw_attention
from wsi_patches.report.overlay import overview
from wsi_patches.stores import MosaicSlide
from wsi_patches.stores.files import write_whole
from wsi_patches.workflows.store_bags import FoundBags

if TYPE_CHECKING:
    from wsi_patches.models.bag_card import BagCard
    from wsi_patches.train.bags import Bag

__all__ = ["write_bag"]

LONGEST_PX = 1400
COLUMNS = ("slide_id", "index", "x", "y", "attention")
WHAT = (
    "How much each patch weighs in the answer, 1 being an even share. It says what the model went by, not why, and no "
    "patch by itself bears the label."
)
EVENLY = "This model weighs all patches alike, so that there is nothing to be seen of what it went by."


def write_bag(
    folder: Path,
    card: BagCard,
    found: FoundBags,
    bag: Bag,
    probabilities: NDArray[np.float32],
    attention: NDArray[np.float32],
    top: int,
) -> None:
    """Write ``attention.csv`` and, unless ``top`` is 0, an overview a slide, ``album.png`` and, last, ``bag.html``.

    Parameters
    ----------
    folder
        It must be there.
    card, found
        Of the model, and what the bag is one of.
    bag, probabilities, attention
        What was asked of, and what was said: ``(classes,)``, and ``(n,)`` of its patches, which sum to 1.
    top
        Patches of the highest attention that are shown.
    """
    shares = attention * len(attention)
    _write_attention(folder / "attention.csv", found, bag, shares)
    if top:
        pictures = {**_overviews(found, bag, shares), "album": _album(found, bag, shares, top)}
        files = {name: folder / f"{name}.png" for name in pictures}
        for name, picture in pictures.items():
            write_whole(files[name], _png(picture), durable=False)
        write_whole(folder / "bag.html", _page(card, bag, probabilities, files).encode(), durable=False)


def _write_attention(path: Path, found: FoundBags, bag: Bag, shares: NDArray[np.float32]) -> None:
    rows = []
    for position, share in zip(bag.rows.tolist(), shares.tolist(), strict=True):
        number, own = _place(found, position)
        store = found.patches.stores[number]
        x, y = store.xy[own].tolist()
        rows.append([store.slides[store.slide_rows[own]].id, int(store.grid_index[own]), x, y, f"{share:.6g}"])
    write_table(path, COLUMNS, rows)


def _overviews(found: FoundBags, bag: Bag, shares: NDArray[np.float32]) -> dict[str, NDArray[np.uint8]]:
    """Return the overview of each slide of a bag, by the slide's id."""
    share_of, drawn = dict(zip(bag.rows.tolist(), shares.tolist(), strict=True)), {}
    for number, slide_id in bag.slides:
        store, first = found.patches.stores[number], int(found.patches.offsets[number])
        own = [position for position in store.positions_of(slide_id).tolist() if position + first in share_of]
        values = np.array([share_of[position + first] for position in own], np.float64)
        picture, downsample = overview(MosaicSlide(store, slide_id), LONGEST_PX)
        boxes = [store.place(position).box for position in own]
        drawn[slide_id] = draw_attention(picture, downsample, boxes, values, float(shares.max()))
    return drawn


def _album(found: FoundBags, bag: Bag, shares: NDArray[np.float32], top: int) -> NDArray[np.uint8]:
    """Return the patches of the highest attention, the highest first."""
    chosen, captions = np.argsort(-shares, kind="stable")[:top], []
    for row in chosen.tolist():
        number, own = _place(found, int(bag.rows[row]))
        store = found.patches.stores[number]
        x, y = store.xy[own].tolist()
        captions.append((store.slides[store.slide_rows[own]].id, f"{shares[row]:.2f} times, at {x}, {y}"))
    return captioned_gallery(found.patches.read(bag.rows[chosen]), captions)


def _place(found: FoundBags, position: int) -> tuple[int, int]:
    """Return the number of the store that a patch lies in, and its position there."""
    number = int(np.searchsorted(found.patches.offsets, position, side="right")) - 1
    return number, position - int(found.patches.offsets[number])


def _page(card: BagCard, bag: Bag, probabilities: NDArray[np.float32], files: dict[str, Path]) -> str:
    said = {name: f"{value:.3f}" for name, value in zip(card.classes, probabilities.tolist(), strict=True)}
    told = {
        "Said": card.classes[int(probabilities.argmax())],
        **{f"Probability of {name}": value for name, value in said.items()},
        "Labelled": bag.label or "not known",
        "Slides, patches": f"{len(bag.slides)}, {len(bag.rows)}",
        "Model": f"{card.name}: {card.title}",
        "Limits": card.limits,
    }
    figures = [
        f"<h2>{escape('The patches that weigh most' if name == 'album' else name)}</h2><figure>"
        f"{embedded_picture(path.read_bytes(), 'png', f'Attention: {name}')}</figure>"
        for name, path in files.items()
    ]
    what = EVENLY if card.architecture == "mean_pooling" else WHAT
    parts = [f"<h1>{escape(bag.id)}</h1>", details_table(told), f"<p>{what}</p>", *figures]
    return html_document(f"Attention in {bag.id}", "\n".join(parts))


def _png(picture: NDArray[np.uint8]) -> bytes:
    _, png = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    return bytes(png.tobytes())
