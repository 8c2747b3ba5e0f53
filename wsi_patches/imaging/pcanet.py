"""PCANet features: filters learnt by principal components, their signs hashed, the hashes counted block by block.

Chan et al., "PCANet: A Simple Deep Learning Baseline for Image Classification?", IEEE TIP 2015, in the one-stage form
of Genovese et al., "Acute Lymphoblastic Leukemia Detection Based on Adaptive Unsharpening and Deep Learning", ICASSP
2021 (10.1109/ICASSP39728.2021.9414362), whose sizes are the constants below.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy import ndimage, sparse

from wsi_patches.errors import UsageError

__all__ = ["BLOCK_PX", "PATCH_PX", "PCANet"]

PATCH_PX = 15
"""Side of a filter and of the patches that it is learnt from."""
BLOCK_PX = 23
"""Side of the blocks that a histogram is taken over; they do not overlap."""
RETAINED_VARIANCE = 0.92
"""Share of the patches' variance that the filters keep together."""
MOST_FILTERS = 57
"""With more, the number of a feature would not fit into 64 bits. Single cells need 5 to 15, noise over 200."""
IMAGES_AT_ONCE = 256
"""How many images are held as float64, to save memory."""


@dataclass(frozen=True, eq=False)
class PCANet:
    """Learnt filters, and the features that they make.

    Parameters
    ----------
    filters
        Orthonormal filters without a mean, float64 of shape ``(k, 15, 15)``, by falling variance. A filter's sign is
        such that its largest value is positive.
    retained_variance
        Share of the patches' variance that the filters keep.

    Raises
    ------
    UsageError
        The filters are not of that shape, or not 1 to 57 of them.
    """

    filters: NDArray[np.float64]
    retained_variance: float

    def __post_init__(self) -> None:
        shape = self.filters.shape
        if self.filters.ndim != 3 or shape[1:] != (PATCH_PX, PATCH_PX) or not 1 <= len(self.filters) <= MOST_FILTERS:
            msg = f"PCANet filters of shape (1 to {MOST_FILTERS}, {PATCH_PX}, {PATCH_PX}) are needed, found {shape}"
            raise UsageError(msg)

    @classmethod
    def fit(cls, images: NDArray[np.uint8], retained_variance: float = RETAINED_VARIANCE) -> Self:
        """Learn the filters of some images, as few as keep a share of the variance of their 15 x 15 patches.

        The reference then weighs that count against one more, which is never nearer to the share asked for, so its
        "dynamic" count is this one whatever count it starts from.

        Parameters
        ----------
        images
            Grey uint8 of shape ``(n, h, w)``; the reference's are 128 x 128.
        retained_variance
            Share to keep, above 0 and at most 1.

        Raises
        ------
        UsageError
            There is no image, they are smaller than a block, have no contrast, or are little but noise.
        """
        _check(images)
        if not 0 < retained_variance <= 1:
            msg = f"retained_variance must be above 0 and at most 1, found {retained_variance}"
            raise UsageError(msg)
        variances, vectors = _principal_components(images)
        total = variances.sum()
        if not total > 0:
            msg = f"PCANet needs images with some contrast, found {len(images)} without any"
            raise UsageError(msg)
        retained = np.cumsum(variances) / total
        count = int(np.argmax(retained >= min(retained_variance, retained[-1]))) + 1
        if count > MOST_FILTERS:
            msg = (
                f"PCANet would need {count} filters to keep {retained_variance:g} of the variance of these images, "
                f"at most {MOST_FILTERS} are possible: the images hold little but noise; keep less, or leave them out"
            )
            raise UsageError(msg)
        return cls(vectors[:count].reshape(count, PATCH_PX, PATCH_PX), float(retained[count - 1]))

    def features(self, images: NDArray[np.uint8]) -> sparse.csr_array:
        """Return the histograms of the hashed responses.

        The first filter gives the highest bit of a pixel's code, 1 where its response is positive. Outside of an image
        all is 0; what is left of the last whole block, right and below, is not counted (13 px of 128).

        Parameters
        ----------
        images
            Grey uint8 of shape ``(n, h, w)``.

        Returns
        -------
        float32 sparse array of shape ``(n, blocks * 2**k)``: code ``c`` of block ``b``, row by row, is column
        ``b * 2**k + c``. The sum over each block is ``2**k``. At most 529 columns of each block are not 0, so that
        memory does not grow with ``2**k``; do not make it dense for many filters.

        Raises
        ------
        UsageError
            There is no image, or they are smaller than a block.
        """
        _check(images)
        across, down = images.shape[2] // BLOCK_PX, images.shape[1] // BLOCK_PX
        codes = 1 << len(self.filters)
        first_column = (np.arange(down * across) * codes).reshape(down, across).repeat(BLOCK_PX, 0).repeat(BLOCK_PX, 1)
        rows = []
        for image in images:
            columns = first_column + self._codes(image)[: down * BLOCK_PX, : across * BLOCK_PX]
            rows.append(np.unique(columns, return_counts=True))
        starts = np.cumsum([0, *(len(columns) for columns, _ in rows)])
        values = np.concatenate([counts for _, counts in rows]) * (codes / BLOCK_PX**2)
        indices = np.concatenate([columns for columns, _ in rows])
        return sparse.csr_array((values.astype(np.float32), indices, starts), shape=(len(rows), down * across * codes))

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return {"filters": self.filters.tolist(), "retained_variance": self.retained_variance}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return what `to_dict` wrote; raises UsageError if the filters are not of the right shape."""
        return cls(np.asarray(values["filters"], np.float64), float(values["retained_variance"]))

    def _codes(self, image: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Return the hash of every pixel, int64 of shape ``(h, w)``."""
        light = image.astype(np.float64)
        codes = np.zeros(image.shape, np.int64)
        for kernel in self.filters:
            response = cv2.filter2D(light, cv2.CV_64F, kernel, borderType=cv2.BORDER_CONSTANT)
            codes = (codes << 1) | (response > 0)
        # Where a patch has no contrast its responses are 0, and their signs would be accidents of rounding.
        brightest = ndimage.maximum_filter(image, PATCH_PX, mode="constant")
        flat = brightest == ndimage.minimum_filter(image, PATCH_PX, mode="constant")
        return np.where(flat, 0, codes)


def _check(images: NDArray[np.uint8]) -> None:
    if images.dtype != np.uint8 or images.ndim != 3 or len(images) == 0 or min(images.shape[1:]) < BLOCK_PX:
        msg = (
            f"PCANet needs grey uint8 images of shape (n, h, w), at least one and none under {BLOCK_PX} px a side, "
            f"found {images.dtype} of shape {images.shape}"
        )
        raise UsageError(msg)


def _principal_components(images: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return variances ``(225,)``, falling, and unit vectors ``(225, 225)``, in rows, of all patches less their means.

    That each patch loses its own mean is a projection, so it can be applied to the sum of the patches' products.
    """
    products = np.zeros((PATCH_PX**2, PATCH_PX**2))
    for first in range(0, len(images), IMAGES_AT_ONCE):
        products += _patch_products(images[first : first + IMAGES_AT_ONCE])
    products -= products.mean(axis=0)
    products -= products.mean(axis=1, keepdims=True)
    patches = len(images) * (images.shape[1] - PATCH_PX + 1) * (images.shape[2] - PATCH_PX + 1)
    variances, vectors = np.linalg.eigh(products / patches)
    vectors = vectors.T[::-1]
    largest = np.abs(vectors).argmax(axis=1)[:, None]
    return variances[::-1].clip(0), vectors * np.sign(np.take_along_axis(vectors, largest, axis=1))


def _patch_products(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the sum of ``p p^T`` over every patch ``p`` of every image, shape ``(225, 225)``.

    The product of two pixels is shared by all the patches that hold both: products of whole rows are made once and
    then summed over windows, a tenth of the work of taking patches one by one. All are integers, so the sum is exact.
    """
    tall, wide = (side - PATCH_PX + 1 for side in images.shape[1:])
    places = np.arange(wide)
    products = np.empty((PATCH_PX, PATCH_PX, PATCH_PX, PATCH_PX))
    above = []
    for rows, sums in enumerate(_row_products(images)):
        if rows < PATCH_PX:
            above.append(sums.copy())
        if rows < tall:
            continue
        first = rows - tall
        pairs = sums - above[first]
        for apart in range(PATCH_PX - first):
            windows = sliding_window_view(pairs[:, apart], (PATCH_PX, PATCH_PX))[places, places].sum(axis=0)
            products[first, :, first + apart] = windows
            products[first + apart, :, first] = windows.T
    return products.reshape(PATCH_PX**2, PATCH_PX**2)


def _row_products(images: NDArray[np.uint8]) -> Iterator[NDArray[np.float64]]:
    """Yield products of rows with themselves and the 14 below them, summed over images and the first 0, 1 ... h rows.

    Each is of shape ``(w, 15, w)``: pixel of the row, rows apart, pixel of the other row. The next overwrites it.
    """
    count, height, width = images.shape
    light = images.astype(np.float64)
    sums = np.zeros((width, PATCH_PX * width))
    yield sums.reshape(width, PATCH_PX, width)
    for row in range(height):
        below = light[:, row : row + PATCH_PX].reshape(count, -1)
        sums[:, : below.shape[1]] += light[:, row].T @ below
        yield sums.reshape(width, PATCH_PX, width)
