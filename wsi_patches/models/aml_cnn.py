"""Small networks that tell one genetic subtype of AML from controls: "Classification of Human Leukemias" (slide deck).

Source: G. Chan, J. Stern, S. Chedde, Q. Zerafa, on single cells of AML-Cytomorphology_MLL_Helmholtz (Hehr et al., PLOS
Digital Health 2023). The deck lists filters and dense layers; kernel, pool, activation, dropout and what its first line
means are settings here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from torch import Tensor, nn

from wsi_patches.errors import UsageError
from wsi_patches.models.system import Colours, System

__all__ = ["SYSTEM", "VARIANTS", "AmlCnn", "Variant"]

Reading = Literal["filters", "side"]
Padding = Literal["same", "valid"]
Activation = Literal["relu", "elu", "gelu", "leaky_relu"]
ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "elu": nn.ELU, "gelu": nn.GELU, "leaky_relu": nn.LeakyReLU}
CHOICES: dict[str, Any] = {"reading": Reading, "padding": Padding, "activation": Activation}
PUBLISHED_PX = 144
"""Side of the data set's images."""


@dataclass(frozen=True)
class Variant:
    """What the deck lists of one subtype's network."""

    first: int
    """The number in its first line, ``Input (64)``."""
    filters: tuple[int, ...]
    """Of the convolutions that follow."""
    hidden: int
    """Outputs of the dense layer."""
    learning_rate: float
    """The likeliest of those that can be read."""


VARIANTS: Mapping[str, Variant] = {
    "pml_rara": Variant(64, (128, 192), 128, 1e-5),
    "runx1_runx1t1": Variant(64, (256, 192), 256, 1e-4),
    "cbfb_myh11": Variant(32, (128, 256, 256), 192, 1e-5),
    "npm1": Variant(64, (256, 192, 192), 256, 1e-4),
}
"""By subtype. Of the rates, only that of ``npm1`` stands beside its network; the others are in the order in which the
deck has three of them."""


class AmlCnn(nn.Module):
    """Convolutions, each with batch norm and max-pool, a dense layer, and one logit for each class but the first.

    The first class has the logit 0, so that of two classes the softmax is the sigmoid of the published network's one
    output, the cross entropy is its binary one, and there are as many parameters as it has.

    Parameters
    ----------
    classes
        How many logits come out.
    variant
        One of `VARIANTS`.
    reading
        What the first line of the deck's list means: ``filters`` of a first convolution, a block as the others (the
        likelier, since all its other numbers are filters), or the ``side`` of the input, with no such convolution.
    image_px
        Side of the input; as ``reading`` has it if None, 144 or the number in the first line.
    filters, hidden
        Of all convolutions and of the dense layer, instead of the variant's.
    kernel, padding, pool, activation, dropout
        Not in the deck: Keras's usual 3 x 3 and 2 x 2, and an activation before the batch norm, as a ``Conv2D`` of
        Keras has it. The dropout lies before the last layer.

    Raises
    ------
    UsageError
        A setting is unknown, or the input is too small for so many max-pools.
    """

    def __init__(
        self,
        classes: int,
        variant: str = "pml_rara",
        *,
        reading: Reading = "filters",
        image_px: int | None = None,
        filters: Sequence[int] | None = None,
        hidden: int | None = None,
        kernel: int = 3,
        padding: Padding = "same",
        pool: int = 2,
        activation: Activation = "relu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        _check({"reading": reading, "padding": padding, "activation": activation})
        side = _side({"variant": variant, "reading": reading, "image_px": image_px})
        listed = _variant(variant)
        blocks, channels = list[nn.Module](), 3
        for width in filters or _filters(listed, reading):
            conv = nn.Conv2d(channels, width, kernel, padding=padding)
            blocks += [conv, ACTIVATIONS[activation](), nn.BatchNorm2d(width), nn.MaxPool2d(pool)]
            channels, side = width, (side if padding == "same" else side - kernel + 1) // pool
        if side < 1:
            msg = f"aml_cnn: after {len(blocks) // 4} max-pools nothing is left of the input: give a larger image_px"
            raise UsageError(msg)
        width = hidden or listed.hidden
        self.features = nn.Sequential(*blocks, nn.Flatten())
        self.hidden = nn.Sequential(nn.Linear(side * side * channels, width), ACTIVATIONS[activation]())
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(width, classes - 1)
        self.apply(_as_keras)

    def forward(self, x: Tensor) -> Tensor:
        """Turn images ``(n, 3, image_px, image_px)`` of 0 to 1 into logits ``(n, classes)``, the first of which is 0.

        Images of another side do not fit the dense layer.
        """
        told: Tensor = self.fc(self.dropout(self.hidden(self.features(x))))
        return nn.functional.pad(told, (1, 0))


def _check(asked: Mapping[str, str]) -> None:
    for name, value in asked.items():
        if value not in get_args(CHOICES[name]):
            msg = f"aml_cnn: no {name} {value!r}: choose from {', '.join(get_args(CHOICES[name]))}"
            raise UsageError(msg)


def _variant(name: str) -> Variant:
    if name not in VARIANTS:
        msg = f"aml_cnn: no variant {name!r}: choose from {', '.join(VARIANTS)}"
        raise UsageError(msg)
    return VARIANTS[name]


def _filters(variant: Variant, reading: Reading) -> tuple[int, ...]:
    return (variant.first, *variant.filters) if reading == "filters" else variant.filters


def _side(settings: Mapping[str, Any]) -> int:
    """Return the side of the input, in pixels."""
    if settings.get("image_px") is not None:
        return int(settings["image_px"])
    listed = _variant(settings.get("variant", "pml_rara"))
    return listed.first if settings.get("reading") == "side" else PUBLISHED_PX


def _as_keras(module: nn.Module) -> None:
    """Draw first weights as Keras does where nothing else is said: Glorot's, and biases of 0."""
    if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)


SYSTEM = System(
    name="aml_cnn",
    build=AmlCnn,
    paper="Classification of Human Leukemias (Chan, Stern, Chedde, Zerafa; slide deck)",
    colours=Colours((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    side=_side,
)
