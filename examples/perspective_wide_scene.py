"""Straighten a panorama-wide picture: whatever stands at its border looks as it would in the middle.

    python examples/perspective_wide_scene.py [PICTURE] [--fov-x 120] [--fisheye] [--at X Y [X Y ...]] [-o straight.png]

Writes a sheet: the picture, and below it a strip of perspective crops at the given places, seven if none are, all with
one field of view. Without a picture it draws a tiled room with equal balls at those places.
"""

import argparse
import math

import torch
from PIL import Image
from torch.nn.functional import pad
from torchvision.transforms.functional import to_pil_image, to_tensor

from sightline import Camera
from sightline.geometry.distortion import Distortion
from sightline.perspective import PerspectiveCrop


def room_with_balls(camera: Camera, places_px: torch.Tensor) -> torch.Tensor:
    """Ray-cast a picture (3, h, w) from the middle of a room of 6 × 3 × 6 m with balls 11° across."""
    columns, rows = (torch.arange(count) + 0.5 for count in camera.image_size.int().tolist())
    rays, seen = camera.unproject(torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1))
    walls = rays * (torch.tensor((3.0, 1.5, 3.0)) / rays.abs()).amin(-1, keepdim=True)
    picture = (0.7 + 0.2 * ((2.0 * walls - 1e-4).floor().sum(-1, keepdim=True) % 2)).expand_as(rays)
    for ball in camera.unproject(places_px)[0]:
        bulge = ((rays @ ball - 0.995) / 0.005).clamp_min(0).sqrt()[..., None]
        picture = torch.where(bulge > 0, (0.4 + 0.6 * bulge) * torch.tensor((0.9, 0.5, 0.2)), picture)
    return torch.where(seen[..., None], picture, 0.0).movedim(-1, 0)


def main() -> None:
    """Read or draw the picture, crop it, write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", nargs="?")
    parser.add_argument("--fov-x", type=float, default=120.0, help="of the picture, degrees")
    parser.add_argument("--fisheye", action="store_true", help="the lens is an equidistant fisheye")
    parser.add_argument("--at", nargs="+", type=float, metavar="X Y", help="centres of the crops, px")
    parser.add_argument("-o", "--out", default="straight.png")
    call, view = parser.parse_args(), math.radians(18.0)
    picture = Image.open(call.picture).convert("RGB") if call.picture else None
    wh, fov = picture.size if picture else (1400, 500), math.radians(call.fov_x)
    lens = Distortion.create("kannala_brandt", [0.0]) if call.fisheye else None
    focal_px = wh[0] / fov if call.fisheye else wh[0] / (2.0 * math.tan(fov / 2.0))
    camera = Camera.create(wh, focal_px, distortion=lens, dtype=torch.float32)  # or your calibration
    rays = torch.tensor([(math.sin(i * fov / 8), 0.05, math.cos(i * fov / 8)) for i in range(-3, 4)])
    places_px = torch.tensor(call.at).reshape(-1, 2) if call.at else camera.project(rays)[0]
    image = to_tensor(picture) if picture else room_with_balls(camera, places_px)
    # with neither, all crops of a pinhole have one focal length; a fisheye has one scale nearly everywhere
    layer = PerspectiveCrop(min(wh[0] // len(places_px), 400) - 4, slant=call.fisheye, focal_at_plane=call.fisheye)
    region_px = torch.full_like(places_px, 2.0 * focal_px * math.tan(view / 2.0))
    strip = torch.cat(list(pad(layer(image, camera, places_px, region_px).image, [2] * 4, value=1.0)), dim=-1)
    strip = pad(strip, [0, wh[0] - strip.shape[-1]], value=1.0)
    to_pil_image(torch.cat([image, strip], dim=-2).clamp(0, 1)).save(call.out)


if __name__ == "__main__":
    main()
