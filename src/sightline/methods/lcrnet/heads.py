"""Classification and regression of boxes (paper 003, sections 3.2 to 3.4).

Regression is by class: every one has 5 J numbers of its own. With hundreds of classes all of them would be most of the
network's memory and work, so they are only ever computed for the classes that are asked about.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

_SPREAD = 0.001


class ByClass(nn.Module):
    """A linear layer for each class.

    Args:
        classes: how many.
        size: numbers that each gives.
        features: numbers that all take.
        rank: beyond the paper, all classes share a first linear layer of so few numbers, and what each gives is added
            to what one linear layer gives for all of them; 0 has neither, as in the paper.
    """

    def __init__(self, classes: int, size: int, features: int, rank: int = 0) -> None:
        super().__init__()
        self.shared = nn.Linear(features, rank, bias=False) if rank else None
        self.common = nn.Linear(features, size, bias=False) if rank else None
        if self.common is not None:
            nn.init.normal_(self.common.weight, std=_SPREAD)
        self.weight = nn.Parameter(_SPREAD * torch.randn(classes, size, rank or features))
        self.bias = nn.Parameter(torch.zeros(classes, size))
        self._product: Any = None

    @property
    def known(self) -> int:
        """Of how many numbers what all classes give is made: with a rank few, and else as many as they give."""
        return self.bias.numel() if self.shared is None else self.shared.out_features + self.bias.shape[1]

    def forward(
        self, features: Float[Tensor, "pair feature"], classes: Int[Tensor, " pair"]
    ) -> Float[Tensor, "pair size"]:
        """Return what the class of each pair makes of the pair's features."""
        common = 0.0 if self.common is None else self.common(features)
        if self.shared is not None:
            features = self.shared(features)
        order = classes.argsort(stable=True)
        which, count = torch.unique_consecutive(classes[order], return_counts=True)
        parts = features[order].split(count.tolist())
        rows = zip(which.tolist(), parts, strict=True)
        made = [functional.linear(part, self.weight[row], self.bias[row]) for row, part in rows]
        if not made:  # still of the weights, so that several processes have gradients of the same ones
            return features.new_zeros(0, self.bias.shape[1]) + 0.0 * (self.weight.sum() + self.bias.sum()) + common
        return torch.cat(made)[order.argsort()] + common

    def summed(
        self, features: Float[Tensor, "row feature"], summary: Float[Tensor, "out known"]
    ) -> Float[Tensor, "row out"]:
        """Return a linear layer over what all classes give, summary · (W features + b).

        With a rank all that is a linear function of the shared numbers and of what is common, so the layer is over
        those. Without one and without gradients the product of both layers is kept for as long as the weights last.
        """
        if self.shared is not None and self.common is not None:
            return functional.linear(torch.cat((self.shared(features), self.common(features)), dim=1), summary)
        if torch.is_grad_enabled():
            return functional.linear(
                functional.linear(features, self.weight.flatten(0, 1), self.bias.flatten()), summary
            )
        key = tuple((id(part), part._version, part.device, part.dtype) for part in (self.weight, self.bias, summary))
        if self._product is None or self._product[0] != key:
            product = summary @ self.weight.flatten(0, 1), summary @ self.bias.flatten()
            self._product = (key, *(part.detach() for part in product))
        _, weight, bias = self._product
        return functional.linear(features, weight, bias)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the product behind."""
        return {**super().__getstate__(), "_product": None}


class Estimate(NamedTuple):
    """What a head makes of boxes."""

    logits: Float[Tensor, "box label"]
    """Background first, then the classes."""
    features: Float[Tensor, "box feature"]
    """From which the regression of any class follows."""


class Head(nn.Module):
    """Two fully connected layers, and on them one for the label and one per class for the pose.

    Args:
        inputs: numbers that a box has.
        hidden: numbers of the two layers.
        classes: without the background.
        size: 5 J.
        rank: see `ByClass`.
        dropout: share of the hidden numbers that are left out in training.
    """

    def __init__(
        self, inputs: int, hidden: int, classes: int, size: int, *, rank: int = 0, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(inputs, hidden), nn.ReLU(inplace=True), nn.Dropout(dropout),
            nn.Linear(hidden, hidden), nn.ReLU(inplace=True), nn.Dropout(dropout),
        )  # fmt: skip
        self.label = nn.Linear(hidden, 1 + classes)
        self.pose = ByClass(classes, size, hidden, rank)
        nn.init.normal_(self.label.weight, std=0.01)
        nn.init.zeros_(self.label.bias)

    def forward(self, boxes: Float[Tensor, "box input"]) -> Estimate:
        """Estimate labels; ask `pose` about the poses of some classes."""
        features = self.layers(boxes)
        return Estimate(self.label(features), features)


class Heads(nn.Module):
    """The paper's iterative estimation, or its first estimate alone.

    The first estimate, of all classes, is summed up in few numbers, which join the box's features for the second one.

    Args:
        inputs: numbers that a box has.
        hidden: numbers of each head's two layers.
        classes: without the background.
        size: 5 J.
        summary: numbers of the summary (paper: 2048); 0 has one estimate only.
        rank: see `ByClass`.
        dropout: see `Head`.
    """

    def __init__(
        self,
        inputs: int,
        hidden: int,
        classes: int,
        size: int,
        *,
        summary: int = 0,
        rank: int = 0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.first = Head(inputs, hidden, classes, size, rank=rank, dropout=dropout)
        self.second = Head(inputs + summary, hidden, classes, size, rank=rank, dropout=dropout) if summary else None
        self.of_label = nn.Linear(1 + classes, summary) if summary else None
        self.of_pose = nn.Parameter(0.01 * torch.randn(summary, self.first.pose.known)) if summary else None

    def forward(self, boxes: Float[Tensor, "box input"]) -> list[tuple[Head, Estimate]]:
        """Return each head with its estimate; the last is the one to be used."""
        estimate = self.first(boxes)
        found = [(self.first, estimate)]
        if self.second is not None and self.of_label is not None and self.of_pose is not None:
            summary = self.of_label(estimate.logits.softmax(-1)) + self.first.pose.summed(
                estimate.features, self.of_pose
            )
            found.append((self.second, self.second(torch.cat((boxes, functional.relu(summary)), dim=1))))
        return found

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Take weights, also those of a rank that were written when the summary was still over all classes' numbers."""
        whole, known = state_dict.get(f"{prefix}of_pose"), self.first.pose.known
        if self.first.pose.shared is not None and whole is not None and whole.shape[1] != known:
            weight, bias = (state_dict[f"{prefix}first.pose.{name}"] for name in ("weight", "bias"))
            if whole.shape[1] == bias.numel():
                label = state_dict[f"{prefix}of_label.bias"]
                state_dict[f"{prefix}of_pose"], more = condensed(whole, weight, bias)
                state_dict[f"{prefix}of_label.bias"] = label + more
        super()._load_from_state_dict(state_dict, prefix, *rest)


def condensed(
    summary: Float[Tensor, "out all"], weight: Float[Tensor, "class size rank"], bias: Float[Tensor, "class size"]
) -> tuple[Float[Tensor, "out known"], Float[Tensor, " out"]]:
    """Return weights and bias of the layer over the few numbers of a rank that equals one over all that classes give.

    Args:
        summary: of the layer over the numbers of all classes.
        weight: of what each class gives, of the shared numbers.
        bias: of what each class gives.
    """
    by_class = summary.unflatten(1, bias.shape).double()
    own = torch.einsum("ock,ckr->or", by_class, weight.double())
    more = torch.einsum("ock,ck->o", by_class, bias.double())
    return torch.cat((own, by_class.sum(1)), dim=1).to(summary), more.to(summary)
