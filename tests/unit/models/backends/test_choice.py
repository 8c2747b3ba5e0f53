"""What can be asked of a backend, and what cannot."""

import pytest
import torch

from wsi_patches.errors import UsageError
from wsi_patches.models.backends import make_backend
from wsi_patches.models.precision import uses_bf16


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"backend": "tensorrt"}, "no backend 'tensorrt': choose from torch, openvino, onnx"),
        ({"backend": "openvino", "device": "cuda"}, "openvino runs on the processor, and device cuda was asked for"),
        ({"backend": "onnx", "precision": "bf16"}, "onnx computes in fp32, and precision bf16 was asked for"),
        ({"backend": "onnx", "compiled": True}, "compiling is of --backend torch"),
        ({"precision": "fp8"}, "no precision 'fp8'"),
        ({"device": "tpu"}, "no device 'tpu'"),
    ],
)
def test_what_cannot_be_is_refused(resnet, frame, asked, message):
    with pytest.raises(UsageError, match=message):
        make_backend(resnet, frame, **asked)


def test_auto_takes_the_precision_that_the_processor_has(resnet, frame):
    assert make_backend(resnet, frame, "cpu").bf16 == uses_bf16("auto", torch.device("cpu"))
    assert not make_backend(resnet, frame, "cpu", "fp32").bf16
