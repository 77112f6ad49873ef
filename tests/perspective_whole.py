"""All layers in one network: traced, compiled or exported to ONNX it answers as it does by itself. Run by a test."""

from __future__ import annotations

import sys
import tempfile
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.testing import assert_close

from sightline.perspective import PerspectiveCrop, PerspectiveEncoding, PerspectiveKeypoints, PerspectiveRotation

K = torch.tensor([[200.0, 0.0, 150.0], [0.0, 200.0, 100.0], [0.0, 0.0, 1.0]])


class Whole(nn.Module):
    """What a user would compile: crop, keypoints, rotation and encoding of one person each."""

    def __init__(self) -> None:
        super().__init__()
        self.crop, self.keypoints = PerspectiveCrop(32), PerspectiveKeypoints()
        self.rotation, self.encoding = PerspectiveRotation(32), PerspectiveEncoding(8)

    def forward(
        self, image: Tensor, intrinsics: Tensor, center: Tensor, size: Tensor, keypoints: Tensor
    ) -> tuple[Tensor, ...]:
        """Everything the layers give."""
        view = self.crop(image, intrinsics, center, size)
        points = self.keypoints(keypoints, intrinsics)
        turned = self.rotation(image, intrinsics, center, size)
        features = self.encoding(turned.image[:, :1, ::4, ::4].expand(-1, 8, -1, -1), turned.virtual.intrinsics)
        back = view.poses_in_camera(torch.cat([points.points, points.points[..., :1]], dim=-1))
        return view.image, view.virtual.intrinsics, points.points, turned.image, features, back


def inputs() -> tuple[Tensor, ...]:
    """Two smooth pictures with a person each."""
    chance = torch.manual_seed(0)
    image = nn.functional.interpolate(torch.rand(2, 3, 20, 30, generator=chance), (200, 300), mode="bicubic")
    centers = 50 + 100 * torch.rand(2, 2, generator=chance)
    sizes = 30 + 100 * torch.rand(2, 2, generator=chance)
    keypoints = centers[:, None] + 40 * torch.rand(2, 17, 2, generator=chance) - 20
    return image, K.repeat(2, 1, 1), centers, sizes, keypoints


def answers(how: str, whole: nn.Module) -> list[Tensor]:
    """What the network answers once it has been turned into something else."""
    if how != "exported":
        compiled = torch.compile(whole, fullgraph=True, backend="eager" if how == "traced" else "inductor")
        return list(compiled(*inputs()))
    import onnxruntime

    warnings.simplefilter("ignore")
    program = torch.onnx.export(whole.eval(), inputs(), dynamo=True, opset_version=18, verbose=False)
    assert program is not None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "whole.onnx"
        program.save(path)
        session = onnxruntime.InferenceSession(str(path))
    names = [entry.name for entry in session.get_inputs()]
    given = {name: value.numpy() for name, value in zip(names, inputs(), strict=True)}
    return [torch.from_numpy(value) for value in session.run(None, given)]


if __name__ == "__main__":
    torch.manual_seed(0)
    network = Whole()
    with torch.no_grad():
        for found, expected in zip(answers(sys.argv[1], network), network(*inputs()), strict=True):
            assert_close(found, expected, rtol=1e-3, atol=1e-3)
    sys.stdout.write("the same\n")
