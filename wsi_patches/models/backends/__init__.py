"""What runs a network on patches: PyTorch, or a library that is faster on a processor."""

from __future__ import annotations

from copy import deepcopy
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from wsi_patches.errors import UsageError
from wsi_patches.models.backends.converted import OnnxBackend, OpenVinoBackend
from wsi_patches.models.backends.devices import Device, choose_device, list_devices
from wsi_patches.models.backends.patch_input import InputFrame, Painter, PatchInput, as_tensor, check_patches
from wsi_patches.models.backends.torch_backend import TorchBackend, ready_network
from wsi_patches.models.precision import Precision, uses_bf16

__all__ = [
    "BACKENDS",
    "Backend",
    "BackendName",
    "Device",
    "InputFrame",
    "Painter",
    "PatchInput",
    "TorchBackend",
    "as_tensor",
    "check_backend",
    "check_patches",
    "choose_device",
    "list_devices",
    "make_backend",
]

BackendName = Literal["torch", "openvino", "onnx"]
BACKENDS = ("torch", "openvino", "onnx")


class Backend(Protocol):
    """A network that is ready for patches; safe to call from several threads."""

    @property
    def name(self) -> str:
        """One of `BACKENDS`."""

    @property
    def device(self) -> torch.device:
        """Where patches must be, and where outputs are."""

    @property
    def bf16(self) -> bool:
        """Whether it computes in bfloat16."""

    def __call__(self, patches: Tensor) -> Tensor:
        """Return the network's outputs, float32 ``(n, outputs)``, of patches uint8 RGB ``(n, s, s, 3)``."""


def make_backend(
    network: nn.Module,
    frame: InputFrame,
    device: Device | str = "auto",
    precision: Precision | str = "auto",
    backend: BackendName | str = "torch",
    *,
    compiled: bool = False,
    painter: Painter | None = None,
) -> Backend:
    """Return what runs a finished network fast.

    Parameters
    ----------
    network
        In evaluation mode; it is left as it is, and changing it afterwards changes nothing.
    frame
        Its size, mean and standard deviation.
    device
        Where it runs; see `choose_device`. The backends other than ``torch`` run on the processor.
    precision
        ``auto`` for bfloat16 where the hardware has it. ``onnx`` computes in float32 always.
    backend
        One of `BACKENDS`.
    compiled
        Let torch.compile write the kernels; of ``torch`` only. It needs a C++ compiler on a processor.
    painter
        What patches go through first, at the network's size.

    Raises
    ------
    MissingExtra
        The backend's library is not installed.
    UsageError
        There is no such backend, or it does not have the device, the precision, or compiling.
    """
    check_backend(backend, device, precision, compiled=compiled)
    where = choose_device(device if backend == "torch" else "cpu")
    bf16 = uses_bf16(precision, where) and backend != "onnx"
    if backend == "torch":
        ready = ready_network(network, where, bf16=bf16, compiled=compiled)
        return TorchBackend(ready, frame, where, bf16=bf16, painter=painter)
    kind = {"openvino": OpenVinoBackend, "onnx": OnnxBackend}[backend]
    return kind(deepcopy(network).cpu(), frame, bf16=bf16, painter=painter)


def check_backend(backend: str, device: str, precision: str, *, compiled: bool = False) -> None:
    """Refuse what a backend cannot do.

    Raises
    ------
    UsageError
        There is no such backend, or it does not have the device, the precision, or compiling.
    """
    if backend not in BACKENDS:
        msg = f"no backend {backend!r}: choose from {', '.join(BACKENDS)}"
        raise UsageError(msg)
    if backend == "torch":
        return
    if device not in ("auto", "cpu"):
        msg = f"backend {backend} runs on the processor, and device {device} was asked for: use --backend torch"
        raise UsageError(msg)
    if compiled:
        msg = f"backend {backend} has kernels of its own: compiling is of --backend torch"
        raise UsageError(msg)
    if backend == "onnx" and precision == "bf16":
        msg = "backend onnx computes in fp32, and precision bf16 was asked for: use --backend openvino, or torch"
        raise UsageError(msg)
