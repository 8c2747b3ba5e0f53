"""DINOv2's vision transformer in plain PyTorch, under the names of its own checkpoints: what ours is held against.

Oquab et al., TMLR 2024 (arXiv 2304.07193), appendix; registers: Darcet et al., ICLR 2024 (arXiv 2309.16588).
"""

import torch
from torch.nn.functional import conv2d, gelu, layer_norm, linear, scaled_dot_product_attention, silu

PATCH_PX = 14
HIDDEN = 1024
"""Of the gated layer, 384 * 2.66667: of each of its two halves."""


def dinov2_state(dim, depth, grid, *, registers=0, gated=False):
    """Return random tensors as a checkpoint has them; ``grid`` is the number of patches along a side."""
    generator = torch.Generator().manual_seed(11)

    def drawn(*shape):
        return torch.randn(shape, generator=generator) * 0.05

    state = {
        "cls_token": drawn(1, 1, dim),
        "pos_embed": drawn(1, 1 + grid**2, dim),
        "mask_token": drawn(1, dim),
        **({"register_tokens": drawn(1, registers, dim)} if registers else {}),
        "patch_embed.proj.weight": drawn(dim, 3, PATCH_PX, PATCH_PX),
        "patch_embed.proj.bias": drawn(dim),
        "norm.weight": 1 + drawn(dim),
        "norm.bias": drawn(dim),
    }
    wide = {"w12": (2 * HIDDEN, dim), "w3": (dim, HIDDEN)} if gated else {"fc1": (4 * dim, dim), "fc2": (dim, 4 * dim)}
    layers = {
        "attn.qkv": (3 * dim, dim), "attn.proj": (dim, dim), **{f"mlp.{name}": shape for name, shape in wide.items()},
    }  # fmt: skip
    for block in range(depth):
        for name, shape in layers.items():
            state[f"blocks.{block}.{name}.weight"], state[f"blocks.{block}.{name}.bias"] = (
                drawn(*shape),
                drawn(shape[0]),
            )
        for name in ("norm1", "norm2"):
            state[f"blocks.{block}.{name}.weight"] = 1 + drawn(dim)
            state[f"blocks.{block}.{name}.bias"] = drawn(dim)
        for name in ("ls1", "ls2"):
            state[f"blocks.{block}.{name}.gamma"] = 1 + drawn(dim)
    return state


def as_trained(state):
    """Return the checkpoint that a training leaves: the teacher's network, in chunks, beside its heads."""
    chunked = {name.replace("blocks.", "blocks.0.", 1): value for name, value in state.items()}
    teacher = {f"backbone.{name}": value for name, value in chunked.items()}
    return {"teacher": {**teacher, "dino_head.mlp.0.weight": torch.zeros(2), "ibot_head.last": torch.zeros(2)}}


@torch.inference_mode()
def dinov2_features(state, images, depth, heads, registers=0):
    """Return the class token of normalised images ``(n, 3, h, w)`` whose grid is the checkpoint's."""
    patches = conv2d(images, state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], stride=PATCH_PX)
    x = torch.cat([state["cls_token"].expand(len(images), -1, -1), patches.flatten(2).transpose(1, 2)], dim=1)
    x = x + state["pos_embed"]
    if registers:
        x = torch.cat([x[:, :1], state["register_tokens"].expand(len(images), -1, -1), x[:, 1:]], dim=1)
    for number in range(depth):
        block = {
            name.removeprefix(f"blocks.{number}."): value
            for name, value in state.items()
            if name.startswith(f"blocks.{number}.")
        }
        x = x + block["ls1.gamma"] * _attention(_norm(x, block, "norm1"), block, heads)
        x = x + block["ls2.gamma"] * _wide(_norm(x, block, "norm2"), block)
    return _norm(x, state, "norm")[:, 0]


def _norm(x, state, name):
    return layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"], eps=1e-6)


def _linear(x, state, name):
    return linear(x, state[f"{name}.weight"], state[f"{name}.bias"])


def _attention(x, block, heads):
    q, k, v = _linear(x, block, "attn.qkv").unflatten(2, (3, heads, -1)).permute(2, 0, 3, 1, 4)
    return _linear(scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2), block, "attn.proj")


def _wide(x, block):
    if "mlp.w12.weight" in block:
        gate, value = _linear(x, block, "mlp.w12").chunk(2, dim=-1)
        return _linear(silu(gate) * value, block, "mlp.w3")
    return _linear(gelu(_linear(x, block, "mlp.fc1")), block, "mlp.fc2")
