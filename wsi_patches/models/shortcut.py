"""The 1x1 convolution with a stride that residual networks have in their shortcuts."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["StridedShortcut"]


class StridedShortcut(nn.Conv2d):
    """A 1x1 convolution without bias that takes its stride before it convolves, which comes to the same.

    Given few channels (under 8 with AVX2) last in memory, oneDNN writes past its own in the backward pass of a 1x1
    convolution with a stride: the process dies, or goes on with wrong gradients (uxlfoundation/oneDNN#6035).
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__(channels_in, channels_out, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve ``(n, channels_in, h, w)`` to ``(n, channels_out, h / stride, w / stride)``, rounded up."""
        rows, columns = self.stride
        return nn.functional.conv2d(x[..., ::rows, ::columns], self.weight, self.bias)
