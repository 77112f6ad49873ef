"""Backbones of networks that see pictures: timm's, stage by stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from jaxtyping import Float
from torch import Tensor, nn

from sightline.errors import InputError

_FIRST: Final = 4
"""Stride of the first stage whose width may be chosen."""
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def as_input(image: Float[Tensor, "*batch 3 height width"]) -> Float[Tensor, "*batch 3 height width"]:
    """Return RGB of 0…1 as the backbones take it: less the mean of ImageNet, over its spread, each channel."""
    mean, std = (image.new_tensor(numbers)[:, None, None] for numbers in (_MEAN, _STD))
    return (image - mean) / std


def staged(
    name: str, *, pretrained: bool = False, widths: Sequence[int] = (), stem: int = 0
) -> tuple[nn.ModuleDict, dict[str, tuple[int, int]]]:
    """Return a network of timm's as modules to call one after the other, without what follows its last features.

    Args:
        name: by which timm knows it.
        pretrained: whether to load timm's weights, which are downloaded.
        widths: channels of its stages from stride 4 on, where they may be chosen; none takes its own.
        stem: width of what comes before them in a residual network, where most of the work of a small one is: 32 is
            usual; 0 takes its own.

    Returns:
        The modules, and stride and channels by the name of each module that ends a stage.

    Raises:
        ValueError: for a network that there is not, whose stages cannot be had, or whose widths cannot be chosen so.
        InputError: for weights that cannot be fetched.
    """
    import timm
    from timm.models import FeatureListNet

    if (widths or stem) and pretrained:
        raise ValueError(f"backbone_channels: timm's weights of {name} are of its own widths; train without pretrained")
    own: dict[str, Any] = {"channels": tuple(widths)} if widths else {}
    own |= {"stem_width": stem} if stem else {}
    try:
        net = timm.create_model(name, pretrained=pretrained, features_only=True, **own)
        if not isinstance(net, FeatureListNet):
            flat = {"feature_cls": "list", "flatten_sequential": True}
            net = timm.create_model(name, pretrained=pretrained, features_only=True, feature_cfg=flat, **own)
    except OSError as error:
        raise not_fetched(name, error) from error
    except (RuntimeError, TypeError, IndexError) as error:
        if widths or stem:
            asked = f"stages of {tuple(widths)}" if widths else f"a stem of {stem}"
            raise ValueError(f"backbone_channels: {name} cannot have {asked} ({error})") from error
        raise ValueError(f"backbone: timm has no network '{name}' whose stages can be had ({error})") from error
    if not isinstance(net, FeatureListNet):
        raise ValueError(f"backbone: the features of {name} cannot be had stage by stage")
    info = {
        entry["module"].replace(".", "_"): (entry["reduction"], entry["num_chs"]) for entry in net.feature_info.info
    }
    if widths and [width for stride, width in info.values() if stride >= _FIRST] != list(widths):
        raise ValueError(f"backbone_channels: {name} has other stages than {len(widths)} of widths to choose")
    return net, {layer.replace(".", "_"): info[layer.replace(".", "_")] for layer in net.return_layers}


def begin_with_backbone(network: nn.Module, weights: Mapping[str, Tensor], *, whole: bool = True) -> list[str]:
    """Give a network the backbone of another one's weights; both have it under the name `net`.

    Args:
        network: has a backbone of `staged`.
        weights: of a network with one.
        whole: whether all of it must be equal; else what comes before the first part that is another is taken.

    Returns:
        The parts that keep their own weights, such as "layer4".

    Raises:
        ValueError: where its backbone is another one; in parts, where even its first part is.
    """
    state = network.state_dict()
    parts: dict[str, list[str]] = {}
    for name in state:
        if name.startswith("net."):
            parts.setdefault(name.split(".")[1], []).append(name)
    taken: dict[str, Tensor] = {}
    for names in parts.values():
        if any(name not in weights or weights[name].shape != state[name].shape for name in names):
            if whole or not taken:
                raise ValueError("backbone: expected weights of an equal one, got those of another")
            break
        taken |= {name: weights[name] for name in names}
    network.load_state_dict({**state, **taken})
    return [part for part, names in parts.items() if names[0] not in taken]


def not_fetched(name: str, error: OSError) -> InputError:
    """Return what to say of weights that cannot be fetched."""
    reason = str(error).strip().splitlines()[0]
    return InputError(f"backbone: timm's weights of {name} could not be fetched ({reason}); train without pretrained")
