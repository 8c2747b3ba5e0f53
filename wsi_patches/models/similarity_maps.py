"""Where two patches resemble each other: maps over the last places of a convolutional network.

Sources: DSS-XAI (doi 10.1016/j.imavis.2024.105298); Grad-CAM is Selvaraju et al., ICCV 2017; the maps of pairs are Zhu
et al., "Visual explanation for deep metric learning" (IEEE Transactions on Image Processing, 2021).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from wsi_patches.errors import ModelError, needs_extra
from wsi_patches.models.described import DescribedNetwork, Space

__all__ = ["Cam", "LastMap", "Pool", "SimilarityMaps", "overall_maps", "pair_products", "similarity_cams"]

Cam = Literal["rgrad", "grad"]
"""``rgrad`` weighs each value of the map by its own gradient, ``grad`` (Grad-CAM) by its channel's mean gradient."""
Pool = Literal["gmp", "gap"]
"""What a place gives to the features: ``gap`` its share of the average, which is exact for networks that average;
``gmp`` each channel's largest value where it lies, as the released code has it."""


class SimilarityMaps(NamedTuple):
    """Where a query and each of its neighbours resemble each other, 0 to 1."""

    query: NDArray[np.float32]
    """``(k, h, w)``; 1 where it is most like the neighbour, all 0 where nothing speaks for a likeness."""
    neighbours: NDArray[np.float32]
    """``(k, h, w)``."""


@dataclass(frozen=True)
class LastMap:
    """The last map of a network that still tells places apart."""

    layer: nn.Module
    """Whose output it is."""
    averaged: Literal["map", "relu"] | None
    """Whether the features are the averages of the map, or of what is above 0 of it; None if they are neither."""

    @classmethod
    def of(cls, described: DescribedNetwork) -> LastMap:
        """Find it, by a first look at noise.

        Raises
        ------
        ModelError
            The network has none: its last layers work on tokens, it is several networks side by side, or its input is
            too small to leave any places.
        """
        generator = torch.Generator().manual_seed(0)
        side = described.frame.input_px
        noise = torch.randn((2, 3, side, side), generator=generator).to(described.device)
        layer = _last_layer(described.network, noise)
        if _goes_around(described, layer, noise):
            msg = (
                f"{type(described.network).__name__} has no last map of places that all it says comes from: ask one of "
                "the networks that it is made of, or leave the maps out with --cam none"
            )
            raise ModelError(msg)
        maps, features = _map_and_features(described, layer, noise)
        means = {"map": maps.mean((2, 3)), "relu": maps.relu().mean((2, 3))}
        same = [name for name, mean in means.items() if mean.shape == features.shape and _close(mean, features)]
        return cls(layer, "map" if "map" in same else "relu" if "relu" in same else None)

    def of_inputs(self, described: DescribedNetwork, inputs: Tensor) -> Tensor:
        """Return the map ``(n, c, h, w)`` of normalised images, as it is averaged."""
        maps, _ = _map_and_features(described, self.layer, inputs)
        return maps.relu() if self.averaged == "relu" else maps


def similarity_cams(
    described: DescribedNetwork,
    last: LastMap,
    query: NDArray[np.uint8],
    neighbours: NDArray[np.uint8],
    space: Space = "logits",
    kind: Cam = "rgrad",
) -> SimilarityMaps:
    """Return what of a query speaks for its likeness to each neighbour, and of each neighbour to the query.

    The likeness is the inner product of the two, in ``space``; its gradient in the values of the last map says how much
    each adds to it (captum).

    Parameters
    ----------
    described, last
        The network and its last map.
    query
        uint8 RGB ``(s, s, 3)``.
    neighbours
        uint8 RGB ``(k, s, s, 3)``.
    space
        What is compared.
    kind
        See `Cam`.

    Raises
    ------
    MissingExtra
        The extra ``explain`` is not installed.
    """
    of_query = described.inputs(query[np.newaxis]).repeat(len(neighbours), 1, 1, 1)
    of_neighbours = described.inputs(neighbours)
    with torch.no_grad():
        one, other = described.embed(of_query, space), described.embed(of_neighbours, space)
    maps = [
        _to_one(_cam(described, last, inputs, held, space, kind))
        for inputs, held in ((of_query, other), (of_neighbours, one))
    ]
    return SimilarityMaps(*maps)


def overall_maps(
    described: DescribedNetwork,
    last: LastMap,
    query: NDArray[np.uint8],
    neighbours: NDArray[np.uint8],
    space: Space = "logits",
    pool: Pool = "gap",
) -> SimilarityMaps:
    """Return how much each place of a query resembles all places of a neighbour together, and the other way round.

    Parameters are those of `similarity_cams`; ``pool`` is what a place stands for. Biases are left out.

    Raises
    ------
    ModelError
        The network's features are no averages of its last map, so that a place stands for no part of them.
    """
    if last.averaged is None:
        msg = "maps of pairs are for networks whose features are the average of their last map, and this one's are not"
        raise ModelError(msg)
    weight = described.head.weight if space == "logits" and isinstance(described.head, nn.Linear) else None
    with torch.no_grad():
        one = last.of_inputs(described, described.inputs(query[np.newaxis]))[0]
        queries, others = [], []
        for other in last.of_inputs(described, described.inputs(neighbours)):
            products = pair_products(one, other, weight, pool)
            products = (products / products.max().clamp(min=torch.finfo(products.dtype).tiny)).relu()
            queries.append(products.sum(1).reshape(one.shape[1:]))
            others.append(products.sum(0).reshape(other.shape[1:]))
    return SimilarityMaps(_to_one(torch.stack(queries)), _to_one(torch.stack(others)))


def pair_products(one: Tensor, other: Tensor, weight: Tensor | None, pool: Pool = "gap") -> Tensor:
    """Return the inner product of every place of a map with every place of another one.

    Parameters
    ----------
    one, other
        Maps ``(c, h, w)``.
    weight
        Of the last layer, ``(classes, c)``, which turns a place into logits; features are compared if None.
    pool
        With ``gap`` the sum over all pairs is the inner product of the two images' logits without biases (or features).

    Returns
    -------
    ``(h w of one, h w of the other)``
    """
    return _places(one, weight, pool) @ _places(other, weight, pool).T


def _places(values: Tensor, weight: Tensor | None, pool: Pool) -> Tensor:
    """Return what each place gives, ``(h w, classes or c)``."""
    kept = values == values.amax((1, 2), keepdim=True) if pool == "gmp" else 1 / values[0].numel()
    places = (values * kept).flatten(1).T
    return places if weight is None else places @ weight.T


def _cam(described: DescribedNetwork, last: LastMap, inputs: Tensor, held: Tensor, space: Space, kind: Cam) -> Tensor:
    """Return the map ``(n, h, w)`` of images, each compared with the embedding that is held beside it, ``(n, d)``."""
    with needs_extra("explain", "a map of likeness"):
        from captum.attr import LayerGradCam, LayerGradientXActivation

    def likeness(given: Tensor, beside: Tensor) -> Tensor:
        return (described.embed(given, space) * beside).sum(1)

    method = LayerGradCam if kind == "grad" else LayerGradientXActivation
    values: Tensor = method(likeness, last.layer).attribute(inputs, additional_forward_args=(held,))
    return values.sum(1).detach().relu()


def _to_one(maps: Tensor) -> NDArray[np.float32]:
    """Divide each map by its largest value; one without any stays 0."""
    largest = maps.flatten(1).amax(1).clamp(min=torch.finfo(maps.dtype).tiny)
    scaled: NDArray[np.float32] = (maps / largest[:, None, None]).clamp(0, 1).float().cpu().numpy()
    return scaled


@torch.no_grad()
def _last_layer(network: nn.Module, inputs: Tensor) -> nn.Module:
    """Return the module that is the last to give a map of more than one place, and after which there are no tokens."""
    done: list[tuple[nn.Module, tuple[int, ...]]] = []

    def note(module: nn.Module, _given: object, given: object) -> None:
        if isinstance(given, Tensor):
            done.append((module, tuple(given.shape)))

    hooks = [module.register_forward_hook(note) for module in network.modules()]
    try:
        network(inputs)
    finally:
        for hook in hooks:
            hook.remove()
    rows = [row for row, (_, shape) in enumerate(done) if len(shape) == 4 and shape[2] * shape[3] > 1]
    if not rows or any(len(shape) == 3 for _, shape in done[rows[-1] :]):
        msg = (
            f"{type(network).__name__} has no last map of places (its last layers work on tokens, or its input is too "
            "small): ask a convolutional network, or leave the maps out with --cam none"
        )
        raise ModelError(msg)
    layer = done[rows[-1]][0]
    if sum(module is layer for module, _ in done) > 1:
        msg = f"{type(network).__name__} uses the layer of its last map twice: leave the maps out with --cam none"
        raise ModelError(msg)
    return layer


def _goes_around(described: DescribedNetwork, layer: nn.Module, inputs: Tensor) -> bool:
    """Tell whether anything of an image reaches the features on another way than through a layer."""
    seen = inputs.clone().requires_grad_()
    hook = layer.register_forward_hook(lambda _module, _given, given: given.detach().clone())
    try:
        features = described.embed(seen, "embedding")
    finally:
        hook.remove()
    if not features.requires_grad:
        return False
    return torch.autograd.grad(features.sum(), seen, allow_unused=True)[0] is not None


@torch.no_grad()
def _map_and_features(described: DescribedNetwork, layer: nn.Module, inputs: Tensor) -> tuple[Tensor, Tensor]:
    maps: list[Tensor] = []
    # Cloned, since what comes after may work in place.
    hook = layer.register_forward_hook(lambda _module, _given, given: maps.append(given.clone()))
    try:
        features = described.embed(inputs, "embedding")
    finally:
        hook.remove()
    return maps[-1], features


def _close(one: Tensor, other: Tensor) -> bool:
    return bool(torch.allclose(one, other, rtol=1e-3, atol=1e-4 * float(other.abs().max())))
