"""ALLNet: a ResNet whose 3x3 convolutions are fixed sparse kernels and trained 1x1 convolutions (CIVEMSA 2022).

Sources: AngeloUNIMI/ALLNet, doi 10.1109/CIVEMSA53371.2022.9853691; the idea is that of local binary convolutional
networks (Juefei-Xu et al., CVPR 2017).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from wsi_patches.errors import ModelError
from wsi_patches.models.shortcut import StridedShortcut
from wsi_patches.models.system import System

__all__ = ["SYSTEM", "ALLNet", "FixedKernel", "LBPConv2d", "ParameterCounts", "count_parameters", "lbp_convolution"]

FixedKernel = Literal["binary", "gaussian"]

KERNELS = 16
BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}


class LBPConv2d(nn.Module):
    """A 3x3 convolution to 16 channels whose kernels never change: stride 1, padding 1, no bias.

    The kernels are a buffer, and this is no ``Conv2d``, so neither an optimiser nor a loop that initialises every
    ``Conv2d`` reaches them. In the released code such a loop does, which is how the released weights came to hold
    ``gaussian`` kernels instead of the paper's ``binary`` ones.

    Parameters
    ----------
    channels
        Input channels.
    kernel
        ``binary``: each value is +1 or -1 with equal chances, or 0. ``gaussian``: dense noise of standard deviation
        ``sqrt(2 / (16 * 9))``.
    sparsity
        Share of the values of a binary kernel that are not 0.
    generator
        Draws the kernels.

    Raises
    ------
    ModelError
        The kernel is unknown, or ``sparsity`` is outside 0 to 1.
    """

    weight: Tensor

    def __init__(
        self,
        channels: int,
        kernel: FixedKernel = "binary",
        sparsity: float = 0.5,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if kernel not in get_args(FixedKernel):
            msg = f"no fixed kernel {kernel!r}: choose from {', '.join(get_args(FixedKernel))}"
            raise ModelError(msg)
        if not 0 < sparsity <= 1:
            msg = f"sparsity is the share of values that are not 0, above 0 and at most 1; got {sparsity}"
            raise ModelError(msg)
        shape = (KERNELS, channels, 3, 3)
        if kernel == "gaussian":
            values = torch.randn(shape, generator=generator) * math.sqrt(2 / (KERNELS * 9))
        else:
            kept = torch.rand(shape, generator=generator) < sparsity
            signs = torch.randint(0, 2, shape, generator=generator) * 2 - 1
            values = (kept * signs).float()
        self.register_buffer("weight", values)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve ``(n, channels, h, w)`` to ``(n, 16, h, w)``."""
        return nn.functional.conv2d(x, self.weight, padding=1)


def lbp_convolution(
    channels_in: int,
    channels_out: int,
    stride: int = 1,
    kernel: FixedKernel = "binary",
    sparsity: float = 0.5,
    generator: torch.Generator | None = None,
) -> nn.Sequential:
    """Return what stands in for a 3x3 convolution: batch norm, fixed kernels, 1x1 convolution, 3x3 max-pool.

    There is no ReLU between the fixed kernels and the 1x1 convolution, and the max-pool is there at stride 1 too, as
    in the released code.
    """
    return nn.Sequential(
        nn.BatchNorm2d(channels_in),
        LBPConv2d(channels_in, kernel, sparsity, generator),
        nn.Conv2d(KERNELS, channels_out, 1),
        nn.MaxPool2d(3, stride, padding=1),
    )


class LBPBlock(nn.Module):
    """A ResNet basic block with its two 3x3 convolutions replaced."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        stride: int,
        kernel: FixedKernel,
        sparsity: float,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.conv1 = lbp_convolution(channels_in, channels_out, stride, kernel, sparsity, generator)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.conv2 = lbp_convolution(channels_out, channels_out, 1, kernel, sparsity, generator)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels_out:
            shortcut = StridedShortcut(channels_in, channels_out, stride)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(channels_out))

    def forward(self, x: Tensor) -> Tensor:
        y = nn.functional.relu(self.bn1(self.conv1(x)))
        return nn.functional.relu(self.bn2(self.conv2(y)) + self.downsample(x))


class ALLNet(nn.Module):
    """ResNet-18 or -34 with LBP convolutions; names of layers and of weights as in torchvision's ResNet.

    Parameters
    ----------
    classes
        How many logits come out.
    depth
        18 or 34: blocks in each stage as in ResNet.
    widths
        Channels of each stage; the stem has as many as the first. Fewer than four widths make fewer stages.
    kernel, sparsity
        See `LBPConv2d`.
    seed
        Draws the fixed kernels and the first trainable weights, without touching torch's global generator; it does
        if None.

    Raises
    ------
    ModelError
        The depth is unknown, or the widths are not one to four positive numbers.
    """

    def __init__(
        self,
        classes: int = 2,
        depth: int = 18,
        widths: Sequence[int] = (64, 128, 256, 512),
        kernel: FixedKernel = "binary",
        sparsity: float = 0.5,
        seed: int | None = 0,
    ) -> None:
        super().__init__()
        _check(depth, widths)
        seed = int(torch.randint(2**31, ()).item()) if seed is None else seed
        generator = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng(devices=[]):
            torch.random.manual_seed(seed)
            self.conv1 = nn.Conv2d(3, widths[0], 7, stride=2, padding=3, bias=False)
            self.bn1 = nn.BatchNorm2d(widths[0])
            self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
            self.stages = _add_stages(self, BLOCKS[depth], widths, kernel, sparsity, generator)
            self.fc = nn.Linear(widths[-1], classes)
            for module in self.modules():
                if isinstance(module, nn.Conv2d):
                    nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Turn normalised images ``(n, 3, h, w)`` into logits ``(n, classes)``."""
        x = self.maxpool(nn.functional.relu(self.bn1(self.conv1(x))))
        for stage in self.stages:
            x = self.get_submodule(stage)(x)
        return self.fc(x.mean(dim=(2, 3)))  # type: ignore[no-any-return] # Module.__call__ is untyped


def _check(depth: int, widths: Sequence[int]) -> None:
    if depth not in BLOCKS:
        msg = f"no ALLNet of depth {depth}: choose from {', '.join(map(str, BLOCKS))}"
        raise ModelError(msg)
    if not 1 <= len(widths) <= 4 or min(widths) < 1:
        msg = f"widths are the channels of one to four stages, each at least 1; got {tuple(widths)}"
        raise ModelError(msg)


def _add_stages(
    net: nn.Module,
    blocks: Sequence[int],
    widths: Sequence[int],
    kernel: FixedKernel,
    sparsity: float,
    generator: torch.Generator,
) -> tuple[str, ...]:
    """Add ``layer1`` and on to ``net``; every stage but the first halves its input. Return their names."""
    channels, names = widths[0], []
    for number, (count, width) in enumerate(zip(blocks, widths, strict=False), start=1):
        stage = nn.Sequential()
        for block in range(count):
            stride = 2 if block == 0 and number > 1 else 1
            stage.append(LBPBlock(channels, width, stride, kernel, sparsity, generator))
            channels = width
        net.add_module(f"layer{number}", stage)
        names.append(f"layer{number}")
    return tuple(names)


class ParameterCounts(NamedTuple):
    """How many values of a network are trained, and how many are fixed kernels."""

    trainable: int
    frozen: int


def count_parameters(module: nn.Module) -> ParameterCounts:
    """Count trainable values and those of fixed kernels; the running statistics of batch norms are neither."""
    frozen = sum(part.weight.numel() for part in module.modules() if isinstance(part, LBPConv2d))
    return ParameterCounts(sum(p.numel() for p in module.parameters() if p.requires_grad), frozen)


SYSTEM = System("allnet", partial(ALLNet, seed=None), "ALLNet, IEEE CIVEMSA 2022", "10.1109/CIVEMSA53371.2022.9853691")
