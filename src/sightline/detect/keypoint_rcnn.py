"""Keypoint R-CNN of torchvision: several people, COCO's 17 joints, weights fetched once and checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from sightline.detect.protocol import Detection, Picture
from sightline.errors import InputError, UsageError
from sightline.formats.downloads import Progress, RemoteFile
from sightline.nn.device import torch_device
from sightline.skeleton import Skeleton, get_skeleton

KEYPOINT_RCNN: Final = RemoteFile(
    name="keypointrcnn_resnet50_fpn_coco-fc266e95.pth",
    url="https://download.pytorch.org/models/keypointrcnn_resnet50_fpn_coco-fc266e95.pth",
    sha256="fc266e953d2b302cdcbb9ae66f71f6b0d4649928bf02dc573961e361e4918926",
    sha256_from="PyTorch, which tells the first eight digits, and several projects that measured it",
    megabytes=237,
    licence="BSD-3-Clause (torchvision)",
    trained_on="COCO 2017 keypoints (annotations CC BY 4.0)",
)

SHORT_SIDE_PX: Final = 800
_LONGEST: Final = 1333 / 800  # long side at most, as a multiple of the short side asked for
_MAX_PEOPLE: Final = 100
_PERSON: Final = 1  # class 0 is the background

LABEL_SHIFT_PX: Final = 0.8
"""How far the training labels lie above the marked points, in pixels of the resized picture (see `KeypointRCNN`)."""

_WINDOW_CELLS: Final = 7


class KeypointRCNN:
    """Keypoint R-CNN with a ResNet-50 and a feature pyramid (He et al. 2017), as torchvision publishes it.

    Joint set: `coco17`. Several people. Boxes count from the corner.

    **Origin of its keypoints.** Decoding itself is exact in corner coordinates: a cell of the heat map becomes its own
    middle. But the network repeats what its labels said, and those were COCO's pixel *numbers*, half a pixel above and
    left of where the marked pixel's centre lies. Left and right that cancels: half of the training pictures were
    mirrored, with x → width − x instead of width − 1 − x, which moves the label as far to the other side. Above and
    below it stays, half a pixel of COCO's pictures, as large as the network saw them: these are about 455 px on their
    short side and were resized to 640…800 px, so it is 0.8 px of the network's input. The adapter adds 0 to x and
    0.8 px ÷ scale to y, where scale is by how much this picture was resized: 0.5 px at 640 × 480, 1.2 px at
    1920 × 1080.

    **Confidence.** The network's own score of a joint is the peak of a heat map of logits, which has no bounds. Here it
    is the share of the heat map's softmax in the 7 × 7 of its 56 × 56 cells around the reported point: how sure the
    network is that the joint lies within a sixteenth of the box of it. A person's score is that of the box.

    Args:
        device: PyTorch device of the network.
        batch_size: pictures per pass; only pictures of one size share a pass, so results do not depend on it.
        min_score: people below are left out, 0…1.
        max_people: at most so many per picture, those of the highest score; 100 by default.
        weights: a file of one's own with the same tensors, instead of the published one, which is fetched once.
        short_side_px: pictures are resized to this short side (with a long side of at most 5/3 of it); less is faster
            and misses small people.
        progress: is told of the bytes of a download.

    Raises:
        UsageError: for a device or number that cannot be.
        InputError: if the weights cannot be fetched or read, or belong to another network.
    """

    name: str = "keypointrcnn"
    single_person: bool = False

    def __init__(
        self,
        *,
        device: str = "cpu",
        batch_size: int = 1,
        min_score: float = 0.7,
        max_people: int | None = None,
        weights: Path | None = None,
        short_side_px: int = SHORT_SIDE_PX,
        progress: Progress | None = None,
    ) -> None:
        for option, value in (("batch_size", batch_size), ("max_people", max_people), ("short_side_px", short_side_px)):
            if value is not None and value < 1:
                raise UsageError(f"{option}: expected at least 1, got {value}")
        if not 0 <= min_score <= 1:
            raise UsageError(f"min_score: expected a number from 0 to 1, got {min_score}")
        self._device = torch_device(device)
        self._batch_size, self._short_side_px = batch_size, short_side_px
        path = KEYPOINT_RCNN.get(progress) if weights is None else Path(weights)
        network = build_network(min_score=min_score, max_people=max_people or _MAX_PEOPLE, short_side_px=short_side_px)
        load_weights(network, path)
        self._network = network.to(self._device)
        self._heat_maps: Tensor | None = None
        network.roi_heads.keypoint_predictor.register_forward_hook(self._keep_heat_maps)

    @property
    def skeleton(self) -> Skeleton:
        """`coco17`."""
        return get_skeleton("coco17")

    def detect(self, pictures: Sequence[Picture]) -> list[tuple[Detection, ...]]:
        """Return the people of each picture, the surest first."""
        found: list[tuple[Detection, ...]] = [()] * len(pictures)
        usable = [
            number for number, picture in enumerate(pictures) if self._scale(picture) * min(picture.shape[:2]) >= 1
        ]
        for group in _groups([(number, pictures[number].shape) for number in usable], self._batch_size):
            for number, people in zip(group, self._detect_group([pictures[n] for n in group]), strict=True):
                found[number] = people
        return found

    def close(self) -> None:
        """Nothing is held that is not memory."""

    def _scale(self, picture: Picture) -> float:
        """By how much the network resizes a picture; 0 for one without pixels."""
        short, long = sorted(picture.shape[:2])
        return min(self._short_side_px / short, self._short_side_px * _LONGEST / long) if short else 0.0

    @torch.inference_mode()
    def _detect_group(self, pictures: list[Picture]) -> list[tuple[Detection, ...]]:
        tensors = [torch.from_numpy(np.ascontiguousarray(picture)).to(self._device) for picture in pictures]
        results = self._network([tensor.permute(2, 0, 1).float() / 255 for tensor in tensors])
        heat_maps, self._heat_maps = self._heat_maps, None
        assert heat_maps is not None  # the hook has run
        parts = heat_maps.split([len(result["boxes"]) for result in results])
        shift = np.array([0.0, LABEL_SHIFT_PX / self._scale(pictures[0])])
        return [
            _people(result, joint_confidence(part, result["keypoints"], result["boxes"]), shift)
            for result, part in zip(results, parts, strict=True)
        ]

    def _keep_heat_maps(self, _module: nn.Module, _inputs: Any, heat_maps: Tensor) -> None:
        self._heat_maps = heat_maps


def build_network(*, min_score: float, max_people: int, short_side_px: int) -> Any:
    """The network of torchvision without weights, in evaluation mode; it downloads nothing."""
    from torchvision.models.detection import KeypointRCNN as Network
    from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
    from torchvision.ops.misc import FrozenBatchNorm2d

    backbone = resnet_fpn_backbone(
        backbone_name="resnet50", weights=None, norm_layer=FrozenBatchNorm2d, trainable_layers=0
    )
    network = Network(
        backbone,
        num_classes=2,
        min_size=short_side_px,
        max_size=round(short_side_px * _LONGEST),
        box_score_thresh=min_score,
        box_detections_per_img=max_people,
    )
    for module in network.modules():
        if isinstance(module, FrozenBatchNorm2d):
            module.eps = 0.0  # as these weights were trained
    return network.eval().requires_grad_(False)


def load_weights(network: nn.Module, path: Path) -> None:
    """Fill the network from a file of tensors; nothing in it is executed.

    Raises:
        InputError: if it cannot be read, or does not hold exactly this network's tensors.
    """
    if path.is_dir():
        raise InputError(f"{path}: expected a file of weights, but this is a folder")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    except Exception as error:  # a file that is no pickle of tensors fails in whatever way its bytes suggest
        raise InputError(
            f"{path}: expected the weights of Keypoint R-CNN (a PyTorch file of tensors), got something else or a part"
        ) from error
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(
            f"{path}: expected the weights of Keypoint R-CNN, a table of tensors, got {type(state).__name__}"
        )
    try:
        network.load_state_dict(state, strict=True)
    except (RuntimeError, TypeError) as error:
        raise InputError(
            f"{path}: its {len(state)} tensors are not those of torchvision's keypointrcnn_resnet50_fpn with 17 joints"
        ) from error


def joint_confidence(
    heat_maps: Float[Tensor, "person joint cell cell"],
    keypoints_px: Float[Tensor, "person joint 3"],
    boxes_px: Float[Tensor, "person 4"],
) -> Float[Tensor, "person joint"]:
    """Share of each heat map's softmax in the 7 × 7 cells around its keypoint, 0…1.

    heat_maps: logits over the box, as the network gives them. keypoints_px, boxes_px: in one and the same frame.
    """
    shares = heat_maps.flatten(2).softmax(-1).reshape(-1, 1, *heat_maps.shape[2:])
    around = nn.functional.avg_pool2d(shares, _WINDOW_CELLS, stride=1, padding=_WINDOW_CELLS // 2, divisor_override=1)
    size = (boxes_px[:, 2:] - boxes_px[:, :2]).clamp(min=1e-6)[:, None]
    place = (keypoints_px[..., :2] - boxes_px[:, None, :2]) / size
    found = nn.functional.grid_sample(
        around, (2 * place - 1).reshape(-1, 1, 1, 2), padding_mode="border", align_corners=False
    )
    return found.reshape(heat_maps.shape[:2]).clamp(0, 1)


def _people(
    result: Mapping[str, Tensor], confidence: Tensor, shift_px: Float[np.ndarray, " 2"]
) -> tuple[Detection, ...]:
    points = result["keypoints"][..., :2].double().cpu().numpy() + shift_px
    sure = confidence.double().cpu().numpy()
    boxes, scores = result["boxes"].double().cpu().numpy(), result["scores"].tolist()
    return tuple(
        Detection(keypoints_px=points[row], confidence=sure[row], score=scores[row], box_px=boxes[row])
        for row, label in enumerate(result["labels"].tolist())
        if label == _PERSON
    )


def _groups(sized: Sequence[tuple[int, tuple[int, ...]]], batch_size: int) -> Iterator[list[int]]:
    """Split numbered shapes into runs of one shape, at most `batch_size` long."""
    group: list[int] = []
    shape: tuple[int, ...] | None = None
    for number, own in sized:
        if group and (own != shape or len(group) == batch_size):
            yield group
            group = []
        group.append(number)
        shape = own
    if group:
        yield group
