"""CoTCoNet: a transformer and a convolutional branch that exchange their features stage by stage.

Source: Raghaw and others, Computers in Biology and Medicine 179, 108821 (2024), arXiv 2410.08797. What was read is the
abstract: that the branches are coupled is the paper's, how they are is ours, after Conformer (Peng et al., ICCV 2021).
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from wsi_patches.models.system import System

__all__ = ["SYSTEM", "Branches", "CoTCoNet"]

Branches = Literal["coupled", "joined", "cnn", "transformer"]
"""Both, exchanging their features; both, which meet at their end alone; or one of them."""
STAGES = ((1, 1), (2, 2), (4, 2))
"""Of the convolutional branch: channels in widths, and stride."""
STRIDE = 16
"""Pixels of a token's side: as coarse as the last stage's map."""
MLP_RATIO = 4


class CoTCoNet(nn.Module):
    """A residual network and a vision transformer on the same image, joined before the last layer.

    Parameters
    ----------
    classes
        How many logits come out.
    width
        Channels of the first maps.
    dim
        Of a token; a multiple of ``heads`` and of 4.
    heads
        Of attention.
    depth
        Transformer blocks of a stage, of which there are three.
    branches
        What there is of it; see `Branches`.

    Raises
    ------
    TypeError
        There are no such branches, or a size cannot be.
    """

    def __init__(
        self,
        classes: int,
        width: int = 32,
        dim: int = 192,
        heads: int = 6,
        depth: int = 2,
        branches: Branches = "coupled",
    ) -> None:
        super().__init__()
        _check(branches, {"width": width, "dim": dim, "heads": heads, "depth": depth})
        self.has_cnn, self.has_transformer = branches != "transformer", branches != "cnn"
        self.dim = dim
        self.stem = _conv(3, width, 7, 2, nn.ReLU(), nn.MaxPool2d(3, 2, padding=1)) if self.has_cnn else None
        self.patches = nn.Conv2d(3, dim, STRIDE, STRIDE) if self.has_transformer else None
        before, stages = width, []
        for times, stride in STAGES:
            convolutions = Residual(before, times * width, stride) if self.has_cnn else None
            blocks = nn.Sequential(*(Block(dim, heads) for _ in range(depth))) if self.has_transformer else None
            exchange = Exchange(before, dim) if branches == "coupled" else None
            stages.append(Stage(convolutions, blocks, exchange))
            before = times * width
        self.stages = nn.ModuleList(stages)
        self.norm = nn.LayerNorm(dim) if self.has_transformer else None
        self.fc = nn.Linear(before * self.has_cnn + dim * self.has_transformer, classes)

    def features(self, x: Tensor) -> Tensor:
        """Return the mean of the last map, then that of the tokens, ``(n, d)``, of images ``(n, 3, h, w)``.

        Raises
        ------
        ValueError
            A side is less than 16 px.
        """
        if min(x.shape[2:]) < STRIDE:
            msg = f"CoTCoNet takes images of {STRIDE} px and more, got {x.shape[2]} x {x.shape[3]} px"
            raise ValueError(msg)
        maps = None if self.stem is None else self.stem(x)
        tokens = None
        if self.patches is not None:
            tokens = self.patches(x)
            tokens = tokens + positions(tokens.shape[2], tokens.shape[3], self.dim).to(tokens)
        for stage in self.stages:
            maps, tokens = stage(maps, tokens)
        found = [] if maps is None else [maps.mean(dim=(2, 3))]
        if tokens is not None and self.norm is not None:
            found.append(self.norm(tokens.flatten(2).transpose(1, 2)).mean(dim=1))
        return torch.cat(found, dim=1)

    def forward(self, x: Tensor) -> Tensor:
        """Turn normalised images ``(n, 3, h, w)``, 16 px and more, into logits ``(n, classes)``."""
        logits: Tensor = self.fc(self.features(x))
        return logits


class Stage(nn.Module):
    """One stage of both branches; tokens lie on a grid, ``(n, dim, rows, columns)``."""

    def __init__(self, convolutions: nn.Module | None, blocks: nn.Module | None, exchange: Exchange | None) -> None:
        super().__init__()
        self.convolutions, self.blocks, self.exchange = convolutions, blocks, exchange

    def forward(self, maps: Tensor | None, tokens: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        """Return both, one stage on; a branch that is not there stays None."""
        if self.exchange is not None and maps is not None and tokens is not None:
            tokens = tokens + self.exchange.to_tokens(maps, tokens)
        if self.blocks is not None and tokens is not None:
            tokens = self.blocks(tokens.flatten(2).transpose(1, 2)).transpose(1, 2).reshape(tokens.shape)
        if self.exchange is not None and maps is not None and tokens is not None:
            maps = maps + self.exchange.to_maps(maps, tokens)
        return (maps if self.convolutions is None else self.convolutions(maps)), tokens


class Exchange(nn.Module):
    """What the branches tell each other: 1 x 1 convolutions, between maps of different size."""

    def __init__(self, channels: int, dim: int) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(channels, dim, 1), nn.Conv2d(dim, channels, 1)

    def to_tokens(self, maps: Tensor, tokens: Tensor) -> Tensor:
        """Return what the maps add to the tokens: averages over each token's place."""
        told: Tensor = self.down(nn.functional.adaptive_avg_pool2d(maps, (tokens.shape[2], tokens.shape[3])))
        return told

    def to_maps(self, maps: Tensor, tokens: Tensor) -> Tensor:
        """Return what the tokens add to the maps, each at its place."""
        return nn.functional.interpolate(self.up(tokens), size=maps.shape[2:], mode="bilinear", align_corners=False)


class Residual(nn.Module):
    """Two convolutions and a shortcut (He et al., CVPR 2016)."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        first = _conv(channels_in, channels_out, 3, stride, nn.ReLU())
        self.layers = nn.Sequential(first, _conv(channels_out, channels_out, 3, 1))
        self.shortcut = nn.Identity() if channels_in == channels_out else _conv(channels_in, channels_out, 1, stride)

    def forward(self, maps: Tensor) -> Tensor:
        """Return ``(n, channels_out, h / stride, w / stride)``."""
        return torch.relu(self.layers(maps) + self.shortcut(maps))


class Block(nn.Module):
    """Attention among tokens ``(n, tokens, dim)``, then two dense layers, each normed before and added after."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm, self.qkv, self.out = nn.LayerNorm(dim), nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        hidden = nn.Linear(dim, MLP_RATIO * dim), nn.GELU(), nn.Linear(MLP_RATIO * dim, dim)
        self.mlp = nn.Sequential(nn.LayerNorm(dim), *hidden)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return tokens of the same shape."""
        count, length, dim = tokens.shape
        split = self.qkv(self.norm(tokens)).reshape(count, length, 3, self.heads, dim // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        seen = nn.functional.scaled_dot_product_attention(query, key, value)
        tokens = tokens + self.out(seen.transpose(1, 2).reshape(count, length, dim))
        result: Tensor = tokens + self.mlp(tokens)
        return result


def positions(rows: int, columns: int, dim: int) -> Tensor:
    """Return sines and cosines of row and column, ``(dim, rows, columns)``: any grid has them, and none is learnt."""
    rates = 1 / 100 ** (torch.arange(dim // 4) / (dim // 4))
    row = torch.arange(rows)[None, :, None] * rates[:, None, None] + torch.zeros(1, 1, columns)
    column = torch.arange(columns)[None, None, :] * rates[:, None, None] + torch.zeros(1, rows, 1)
    return torch.cat([row.sin(), row.cos(), column.sin(), column.cos()])


def _conv(channels_in: int, channels_out: int, kernel: int, stride: int, *more: nn.Module) -> nn.Sequential:
    convolution = nn.Conv2d(channels_in, channels_out, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels_out), *more)


def _check(branches: str, sizes: dict[str, int]) -> None:
    if branches not in get_args(Branches):
        msg = f"no branches {branches!r}: choose from {', '.join(get_args(Branches))}"
        raise TypeError(msg)
    if min(sizes.values()) < 1 or sizes["dim"] % sizes["heads"] or sizes["dim"] % 4:
        found = ", ".join(f"{name} {value}" for name, value in sizes.items())
        msg = f"sizes of CoTCoNet are 1 or more, and dim a multiple of heads and of 4; got {found}"
        raise TypeError(msg)


SYSTEM = System(
    name="cotconet",
    build=CoTCoNet,
    paper="CoTCoNet, Computers in Biology and Medicine 2024",
    doi="10.1016/j.compbiomed.2024.108821",
)
