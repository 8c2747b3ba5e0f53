"""OpenVINO and onnxruntime give what PyTorch gives."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import numpy as np
import pytest

from wsi_patches.errors import MissingExtra
from wsi_patches.models.backends import make_backend

LIBRARIES = {"openvino": "openvino", "onnx": "onnxruntime"}
MAKE = "import torch; from wsi_patches.models.backends import make_backend"


def skip_without(backend):
    for needed in (LIBRARIES[backend], "onnx", "onnxscript"):
        if find_spec(needed) is None:
            pytest.skip(f"needs {needed}, which is not installed: pip install 'wsi-patches[{backend}]'")


@pytest.fixture(scope="module", params=["openvino", "onnx"])
def converted(request, resnet, frame):
    skip_without(request.param)
    backend = make_backend(resnet, frame, "cpu", "fp32", request.param)
    assert backend.name == request.param
    return backend


def test_outputs_are_those_of_pytorch(converted, resnet, frame, patches, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    expected = make_backend(resnet, frame, "cpu", "fp32")

    for some in (patches, patches[:1], patches[:, ::2, ::2]):
        np.testing.assert_allclose(converted(some.contiguous()), expected(some.contiguous()), atol=1e-4)
    assert list(tmp_path.iterdir()) == []


def test_threads_share_one_network(converted, patches):
    with ThreadPoolExecutor(4) as pool:
        first, *others = pool.map(converted, [patches] * 8)

    assert all(np.array_equal(first, other) for other in others)


def test_openvino_in_bfloat16_is_within_two_percent_of_the_largest_logit(resnet, frame, patches):
    skip_without("openvino")
    expected = make_backend(resnet, frame, "cpu", "fp32")(patches)

    bf16 = make_backend(resnet, frame, "cpu", "bf16", "openvino")(patches)

    assert (bf16 - expected).abs().max() < 0.02 * expected.abs().max()


def test_a_missing_library_is_named_with_its_extra(monkeypatch, resnet, frame):
    for name, library in LIBRARIES.items():
        monkeypatch.setitem(sys.modules, library, None)
        with pytest.raises(MissingExtra, match=rf"backend {name} needs .*wsi-patches\[{name}\]"):
            make_backend(resnet, frame, backend=name)


@pytest.mark.slow
def test_openvino_tells_nobody_that_it_is_used(tmp_path):
    skip_without("openvino")
    code = (
        f"{MAKE}; from types import SimpleNamespace as N; import sys\n"
        "frame = N(input_px=8, mean=(0, 0, 0), std=(1, 1, 1)); network = torch.nn.Conv2d(3, 2, 8).eval()\n"
        "run = make_backend(network, frame, 'cpu', 'fp32', 'openvino')\n"
        "run(torch.zeros(2, 8, 8, 3, dtype=torch.uint8))\n"
        "print('openvino' in sys.modules, 'openvino_telemetry' in sys.modules)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "CI"}

    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**environment, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.split() == ["True", "False"]
    assert list(tmp_path.iterdir()) == []
