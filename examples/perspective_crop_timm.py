"""A perspective crop before somebody else's network: any backbone of timm, made to read a person's pose.

    python examples/perspective_crop_timm.py [PICTURE] [--backbone resnet18] [--pretrained]

Network, loss and data are yours; Sightline adds one layer without parameters. Runs one step forward and backward, on
noise if no picture is given. Needs timm beside Sightline.
"""

import argparse
import math

import timm
import torch
from PIL import Image
from torchvision.transforms.functional import to_tensor

from sightline import Camera
from sightline.perspective import PerspectiveCrop


class PoseNetwork(torch.nn.Module):
    """Pictures, their K (px) and regions (px) → root-relative joints (m) in the camera's frame, and the crops."""

    def __init__(self, backbone: str, *, pretrained: bool = False, joints: int = 17) -> None:
        super().__init__()
        self.crop = PerspectiveCrop(224)
        self.backbone = timm.create_model(backbone, pretrained=pretrained, num_classes=3 * joints)

    def forward(self, image, intrinsics, center_px, size_px):
        """Crop, let the backbone look, and turn its answer from the virtual camera's frame to the camera's."""
        view = self.crop(image, intrinsics, center_px, size_px)
        joints_virtual = self.backbone(view.image).unflatten(-1, (-1, 3))
        return view.poses_in_camera(joints_virtual), view.image


def main() -> None:
    """Take one step, and print what came out and what reached the region."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", nargs="?")
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--pretrained", action="store_true", help="fetch timm's weights")
    call = parser.parse_args()
    image = to_tensor(Image.open(call.picture).convert("RGB"))[None] if call.picture else torch.rand(1, 3, 480, 640)
    height, width = image.shape[-2:]
    camera = Camera.from_fov((width, height), math.radians(90), dtype=image.dtype)  # or your calibration
    center_px = torch.tensor([[0.8 * width, 0.6 * height]], requires_grad=True)
    size_px = torch.tensor([[0.3 * width, 0.5 * height]])
    network = PoseNetwork(call.backbone, pretrained=call.pretrained)
    joints_cam, crop = network(image, camera.intrinsics, center_px, size_px)
    (joints_cam - torch.rand_like(joints_cam)).square().mean().backward()
    print(f"picture {tuple(image.shape)}, crop {tuple(crop.shape)}, joints {tuple(joints_cam.shape)}")
    print(f"gradient at the region's centre {center_px.grad}")


if __name__ == "__main__":
    main()
