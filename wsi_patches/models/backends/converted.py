"""Backends for processors that run a converted copy of the network: onnxruntime and OpenVINO.

The copy is made in memory, at the first patch, and is never written to disk.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from wsi_patches.errors import needs_extra
from wsi_patches.models.backends.patch_input import InputFrame, Painter, PatchInput

__all__ = ["ConvertedBackend", "OnnxBackend", "OpenVinoBackend"]

EXAMPLES = 2
"""How many images the network is traced with: of one, its number would be taken for a constant."""
Run = Callable[[NDArray[np.float32]], NDArray[Any]]


class ConvertedBackend(ABC):
    """A network that another library runs on the processor, in as many threads as PyTorch would take.

    Parameters
    ----------
    network
        In evaluation mode, on the CPU.
    frame
        What it takes.
    bf16
        Compute in bfloat16.
    painter
        What patches go through first.

    Raises
    ------
    MissingExtra
        The library is not installed.
    """

    name: str
    device = torch.device("cpu")

    def __init__(
        self, network: nn.Module, frame: InputFrame, *, bf16: bool = False, painter: Painter | None = None
    ) -> None:
        self.bf16 = bf16
        self._network, self._input, self._side = network, PatchInput(frame, self.device, painter), frame.input_px
        self._run: Run | None = None
        # One batch at a time: it takes all threads, and a second one would share its memory.
        self._lock = Lock()

    def __call__(self, patches: Tensor) -> Tensor:
        """Return the network's outputs, float32 ``(n, outputs)``, of patches uint8 ``(n, s, s, 3)``."""
        images = self._input(patches).permute(0, 2, 3, 1).numpy()
        with self._lock:
            if self._run is None:
                self._run = self._converted(onnx_bytes(self._network, self._side))
            return torch.tensor(self._run(images), dtype=torch.float32)

    @abstractmethod
    def _converted(self, model: bytes) -> Run:
        """Return what runs a model in the ONNX format on images, float32 ``(n, side, side, 3)``, normalised."""


class OnnxBackend(ConvertedBackend):
    """onnxruntime, in float32."""

    name = "onnx"

    def __init__(
        self, network: nn.Module, frame: InputFrame, *, bf16: bool = False, painter: Painter | None = None
    ) -> None:
        with needs_extra("onnx", "backend onnx"):
            import onnxruntime
            import onnxscript  # noqa: F401 - PyTorch's exporter takes it
        super().__init__(network, frame, bf16=bf16, painter=painter)
        self._library: ModuleType = onnxruntime

    def _converted(self, model: bytes) -> Run:
        options = self._library.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        session = self._library.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        return lambda images: session.run(None, {name: images})[0]


class OpenVinoBackend(ConvertedBackend):
    """OpenVINO, in float32 or bfloat16."""

    name = "openvino"

    def __init__(
        self, network: nn.Module, frame: InputFrame, *, bf16: bool = False, painter: Painter | None = None
    ) -> None:
        with needs_extra("openvino", "backend openvino"), _untold():
            import onnxscript  # noqa: F401 - PyTorch's exporter takes it
            import openvino
        super().__init__(network, frame, bf16=bf16, painter=painter)
        self._library: ModuleType = openvino

    def _converted(self, model: bytes) -> Run:
        core = self._library.Core()
        settings = {
            "INFERENCE_PRECISION_HINT": "bf16" if self.bf16 else "f32",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "PERFORMANCE_HINT": "LATENCY",
        }
        request = core.compile_model(core.read_model(model), "CPU", settings).create_infer_request()
        return lambda images: request.infer([images], share_inputs=True)[0]


def onnx_bytes(network: nn.Module, side: int) -> bytes:
    """Return a network as an ONNX file's bytes, for images float32 ``(n, side, side, 3)``.

    Parameters
    ----------
    network
        In evaluation mode, on the CPU; takes ``(n, 3, side, side)``.
    side
        Side of its input in pixels.
    """
    examples = torch.zeros(EXAMPLES, side, side, 3)
    any_number = ({0: torch.export.Dim("n")},)
    program = torch.onnx.export(
        _ChannelsLast(network).eval(), (examples,), dynamic_shapes=any_number, dynamo=True, verbose=False
    )
    assert program is not None  # that it is only where a file is to be written
    content: bytes = program.model_proto.SerializeToString()
    return content


class _ChannelsLast(nn.Module):
    """A network that takes images as they lie in memory."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        outputs: Tensor = self.network(images.permute(0, 3, 1, 2))
        return outputs


@contextmanager
def _untold() -> Iterator[None]:
    """Import OpenVINO without its telemetry, which tells its maker of every import and writes to the home folder.

    OpenVINO does without where that package is not installed.
    """
    telemetry = "openvino_telemetry"
    if telemetry in sys.modules:  # the caller's own affair
        yield
        return
    sys.modules[telemetry] = None  # type: ignore[assignment] # the documented way to make an import fail
    try:
        yield
    finally:
        del sys.modules[telemetry]
