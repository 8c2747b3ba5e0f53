"""PyTorch as a backend, and what makes a finished network faster in it."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from wsi_patches.models.backends.patch_input import InputFrame, Painter, PatchInput

__all__ = ["TorchBackend", "fold_batch_norms", "ready_network"]


class TorchBackend:
    """Runs a network as it is.

    Parameters
    ----------
    network
        In evaluation mode, on ``device``.
    frame
        What it takes.
    device
        Where it runs.
    bf16
        Compute in bfloat16.
    painter
        What patches go through first.
    """

    name = "torch"

    def __init__(
        self,
        network: nn.Module,
        frame: InputFrame,
        device: torch.device,
        *,
        bf16: bool = False,
        painter: Painter | None = None,
    ) -> None:
        self.network, self.device, self.bf16 = network, device, bf16
        self._input = PatchInput(frame, device, painter)

    @torch.inference_mode()
    def __call__(self, patches: Tensor) -> Tensor:
        """Return the network's outputs, float32 ``(n, outputs)``, of patches uint8 ``(n, s, s, 3)`` on its device.

        On a GPU the call returns before they are computed, as PyTorch's do.
        """
        shown = self._input(patches)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            outputs: Tensor = self.network(shown)
        return outputs.float()


def ready_network(network: nn.Module, device: torch.device, *, bf16: bool = False, compiled: bool = False) -> nn.Module:
    """Return a faster copy of a network whose weights will not change any more.

    Batch norms are folded into the convolutions before them, channels lie last in memory, and in bfloat16 weights are
    cast once instead of at every call. The logits of float32 differ by rounding.

    Parameters
    ----------
    network
        In evaluation mode; left as it is.
    device
        Where the copy goes.
    bf16
        Whether it will compute in bfloat16, under autocast.
    compiled
        Let torch.compile write its kernels, at the first call.
    """
    ready = fold_batch_norms(deepcopy(network)).to(device).to(memory_format=torch.channels_last)
    if bf16:
        for layer in ready.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                layer.bfloat16()
    return torch.compile(ready) if compiled else ready  # type: ignore[return-value] # it is typed as a function


def fold_batch_norms(network: nn.Module) -> nn.Module:
    """Return a network with each batch norm that follows a convolution made part of it.

    ``gamma * (W x - mean) / sqrt(var + eps) + beta`` is a convolution again, with other weights and a bias.

    Parameters
    ----------
    network
        In evaluation mode; changed in place.
    """
    if not any(isinstance(layer, nn.BatchNorm2d) for layer in network.modules()):
        return network
    traced = _traced(network)
    if traced is None:
        for name, part in network.named_children():
            setattr(network, name, fold_batch_norms(part))
        return network
    layers = dict(traced.named_modules())
    for node in traced.graph.nodes:
        _fold_into_convolution(node, layers)
    traced.delete_all_unused_submodules()
    traced.recompile()
    return traced


def _traced(network: nn.Module) -> fx.GraphModule | None:
    """Return a network as a graph, or None for one that branches or loops over what it computes: its parts may not."""
    if isinstance(network, nn.ModuleList | nn.ModuleDict):
        return None
    try:
        return fx.symbolic_trace(network)
    except fx.proxy.TraceError:
        return None


def _fold_into_convolution(node: fx.Node, layers: dict[str, nn.Module]) -> None:
    """Fold a node into the one before it, if it is a batch norm after a convolution that nothing else looks at."""
    before = node.args[0] if node.args else None
    if node.op != "call_module" or not isinstance(before, fx.Node) or before.op != "call_module":
        return
    norm, convolution = layers[str(node.target)], layers[str(before.target)]
    used_once = len(before.users) == 1 and all(
        sum(other.target == one.target for other in node.graph.nodes) == 1 for one in (node, before)
    )
    if isinstance(norm, nn.BatchNorm2d) and isinstance(convolution, nn.Conv2d) and used_once:
        folded = fuse_conv_bn_eval(convolution, norm)
        convolution.weight, convolution.bias = folded.weight, folded.bias
        node.replace_all_uses_with(before)
        node.graph.erase_node(node)
