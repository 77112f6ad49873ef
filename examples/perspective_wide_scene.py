"""Straighten a panorama-wide picture: whatever stands at its border looks as it would in the middle.

    python examples/perspective_wide_scene.py [PICTURE] [--fov-x 120] [--fisheye] [--at X,Y ...] [-o straight.png]

Writes a sheet: the picture, a strip of plain crops at the given places (seven if none are), and a strip of perspective
crops at the same places. Without a picture it draws a tiled room with balls.
"""

import argparse
import math

import torch
from PIL import Image
from torch.nn.functional import pad
from torchvision.transforms.functional import to_pil_image, to_tensor

from sightline import Camera
from sightline.geometry.distortion import Distortion
from sightline.perspective.crop import PerspectiveCrop


def room_with_balls(camera: Camera, width: int, height: int, places_px: torch.Tensor) -> torch.Tensor:
    """What a camera sees in the middle of a tiled room of 6 × 3 × 6 m with equal balls at the given places."""
    columns, rows = torch.arange(width) + 0.5, torch.arange(height) + 0.5
    rays, seen = camera.unproject(torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1))
    walls = rays * (torch.tensor((3.0, 1.5, 3.0)) / rays.abs()).amin(-1, keepdim=True)
    picture = (0.7 + 0.2 * ((2.0 * walls - 1e-4).floor().sum(-1, keepdim=True) % 2)).expand_as(rays)
    for number, ball in enumerate(camera.unproject(places_px)[0]):
        height_on_ball = (((rays @ ball) - 0.995) / 0.005).clamp_min(0).sqrt()[..., None]  # 11° across
        colour = torch.tensor((0.9, 0.3 + 0.08 * number, 0.7 - 0.1 * number)).clamp(0, 1)
        picture = torch.where(height_on_ball > 0, (0.4 + 0.6 * height_on_ball) * colour, picture)
    return torch.where(seen[..., None], picture, 0.0).movedim(-1, 0)


def main() -> None:
    """Draw or read the picture, crop it, write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("picture", nargs="?")
    parser.add_argument("--fov-x", type=float, default=120.0, metavar="DEGREES", help="the picture's width")
    parser.add_argument("--fisheye", action="store_true", help="taken by an equidistant fisheye lens")
    parser.add_argument("--at", nargs="+", metavar="X,Y", help="centres of the crops, px")
    parser.add_argument("-o", "--out", default="straight.png")
    call = parser.parse_args()
    image = to_tensor(Image.open(call.picture).convert("RGB")) if call.picture else torch.zeros(3, 500, 1400)
    (height, width), fov = image.shape[-2:], math.radians(call.fov_x)
    camera = Camera.from_fov((width, height), fov, dtype=image.dtype) if not call.fisheye else Camera.create(
        (width, height), width / fov, distortion=Distortion.create("kannala_brandt", [0.0]), dtype=image.dtype
    )
    at = call.at or [f"{(i + 0.5) * width / 7},{0.55 * height}" for i in range(7)]
    places_px = torch.tensor([[float(number) for number in place.split(",")] for place in at])
    image = image if call.picture else room_with_balls(camera, width, height, places_px)
    size = width // len(at)
    # with neither, all crops of a pinhole have its focal length, and things of one size look the same everywhere
    layer = PerspectiveCrop(size, slant=call.fisheye, focal_at_plane=call.fisheye)
    straight = layer(image, camera, places_px, torch.full_like(places_px, size)).image
    corners = (places_px - size / 2).round().int() + size
    plain = [pad(image, [size] * 4)[:, y : y + size, x : x + size] for x, y in corners.tolist()]
    strips = [pad(torch.cat(list(crops), dim=-1), [0, width - size * len(at)]) for crops in (plain, straight)]
    to_pil_image(torch.cat([image, *strips], dim=-2).clamp(0, 1)).save(call.out)


if __name__ == "__main__":
    main()
