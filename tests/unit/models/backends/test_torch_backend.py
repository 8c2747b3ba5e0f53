"""PyTorch's backend: folding and bfloat16 change next to nothing."""

import shutil
from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import nn

from tests.unit.models.backends.conftest import with_statistics
from wsi_patches.models.allnet import ALLNet
from wsi_patches.models.backends import TorchBackend, make_backend
from wsi_patches.models.backends.torch_backend import fold_batch_norms
from wsi_patches.models.efficientnet_lite0 import EfficientNetLite0

CPU = torch.device("cpu")


class Shared(nn.Module):
    """Batch norms that must stay: what is before them is looked at by others, or used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.twice = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3, padding=1)
        self.norm, self.other = nn.BatchNorm2d(4), nn.BatchNorm2d(4)

    def forward(self, x):
        x = self.first(x)
        y = self.twice(self.norm(x) + x)
        return self.twice(self.other(y)).mean((2, 3))


def stained_lite0():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return EfficientNetLite0(classes=2, colour="one_stain", views=2)


def outputs(network, images):
    with torch.inference_mode():
        return network(images).numpy()


@pytest.mark.parametrize("make", [stained_lite0, lambda: ALLNet(2, widths=(4, 8)), Shared])
def test_folding_changes_logits_by_rounding(make, rng):
    images = torch.from_numpy(rng.normal(0, 0.5, (2, 3, 64, 64)).astype(np.float32))
    network = with_statistics(make())
    expected = outputs(network, images)

    folded = fold_batch_norms(network)

    np.testing.assert_allclose(outputs(folded, images), expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_folding_leaves_no_batch_norm_in_a_residual_network(resnet, rng):
    images = torch.from_numpy(rng.normal(0, 1, (2, 3, 64, 64)).astype(np.float32))

    folded = fold_batch_norms(deepcopy(resnet))

    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in folded.modules())
    np.testing.assert_allclose(outputs(folded, images), outputs(resnet, images), atol=1e-4)


def test_a_finished_network_gives_what_the_network_gives(resnet, frame, patches):
    before = deepcopy(resnet.state_dict())

    plain = TorchBackend(resnet, frame, CPU)(patches)
    finished = make_backend(resnet, frame, "cpu", "fp32")

    np.testing.assert_allclose(finished(patches), plain, atol=1e-4)
    assert all(torch.equal(tensor, before[name]) for name, tensor in resnet.state_dict().items())


def test_bfloat16_is_within_two_percent_of_the_largest_logit(resnet, frame, patches):
    fp32, bf16 = (make_backend(resnet, frame, "cpu", precision)(patches) for precision in ("fp32", "bf16"))

    assert bf16.dtype == torch.float32
    assert 0 < (bf16 - fp32).abs().max() < 0.02 * fp32.abs().max()


def test_outputs_do_not_hang_on_the_batch(resnet, frame, patches):
    for precision, tolerance in (("fp32", 1e-5), ("bf16", 1e-3)):
        run = make_backend(resnet, frame, "cpu", precision)
        np.testing.assert_allclose(run(patches), torch.cat([run(one) for one in patches.split(2)]), atol=tolerance)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_compiled_kernels_give_the_same(resnet, frame, patches):
    if shutil.which("g++") is None:
        pytest.skip("torch.compile needs a C++ compiler, and there is no g++")
    compiled = make_backend(resnet, frame, "cpu", "fp32", compiled=True)

    np.testing.assert_allclose(compiled(patches), TorchBackend(resnet, frame, CPU)(patches), atol=1e-4)


@pytest.mark.gpu
def test_a_gpu_agrees_with_the_processor(resnet, frame, patches):
    on_cpu = make_backend(resnet, frame, "cpu", "fp32")(patches)
    for precision, tolerance in (("fp32", 5e-3), ("bf16", 0.05)):
        on_gpu = make_backend(resnet, frame, "cuda", precision)(patches.cuda())
        np.testing.assert_allclose(on_gpu.cpu(), on_cpu, atol=tolerance * float(on_cpu.abs().max()))
