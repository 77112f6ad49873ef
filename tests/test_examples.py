"""The examples run as they stand, and do what they say: Sightline's layers in networks and scripts of others."""

from __future__ import annotations

import ast
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from PIL import Image
from torch.testing import assert_close

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
LONGEST = 30  # lines of code, without imports, docstrings and the last two


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(module: ModuleType, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", [module.__name__, *arguments])
    module.main()


def lines_of_code(path: Path) -> int:
    text = path.read_text(encoding="utf-8")
    other: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            other.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node):
            other.update(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    rows = enumerate(text.splitlines(), start=1)
    code = [row for i, row in rows if i not in other and row.strip() and not row.strip().startswith("#")]
    assert code[-2:] == ['if __name__ == "__main__":', "    main()"]
    return len(code) - 2


def test_examples_are_short_and_say_how_they_are_called() -> None:
    paths = sorted(EXAMPLES.glob("*.py"))
    assert len(paths) >= 2
    for path in paths:
        assert lines_of_code(path) <= LONGEST, path.name
        assert f"python examples/{path.name}" in path.read_text(encoding="utf-8")


# ---- a backbone of timm ----------------------------------------------------------------------------------------------

BACKBONE = "test_resnet"  # 0.4 million parameters, and of the same make as the large ones


class Says(torch.nn.Module):
    """A backbone that always says the same."""

    def __init__(self, answer: torch.Tensor) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.answer.expand(len(image), -1)


def timm_example() -> ModuleType:
    pytest.importorskip("timm")
    return example("perspective_crop_timm")


def test_a_timm_backbone_runs_behind_the_crop(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "picture.png")
    run(timm_example(), monkeypatch, str(tmp_path / "picture.png"), "--backbone", BACKBONE)
    shapes, gradient = capsys.readouterr().out.splitlines()
    assert shapes == "picture (1, 3, 300, 400), crop (1, 3, 224, 224), joints (1, 17, 3)"
    reached = np.array(ast.literal_eval(gradient[gradient.index("[[") : gradient.index("]]") + 2]))
    assert reached.shape == (1, 2)
    assert np.isfinite(reached).all()
    assert (reached != 0).all()


def test_gradients_reach_everything_before_a_network_of_others() -> None:
    network = timm_example().PoseNetwork(BACKBONE).train()
    image = torch.rand(3, 3, 240, 320, requires_grad=True)
    intrinsics = torch.tensor([[[200.0 + 40 * i, 0, 160], [0, 210, 120], [0, 0, 1]] for i in range(3)])
    given = {
        "image": image,
        "intrinsics": intrinsics.requires_grad_(),
        "center_px": torch.tensor([[160.0, 120.0], [250.0, 60.0], [90.0, 200.0]], requires_grad=True),
        "size_px": torch.tensor([[80.0, 90.0], [60.0, 120.0], [100.0, 70.0]], requires_grad=True),
    }
    joints_cam, crop = network(**given)
    assert joints_cam.shape == (3, 17, 3)
    assert crop.shape == (3, 3, 224, 224)
    joints_cam.square().sum().backward()
    for name, value in given.items():
        assert value.grad is not None, name
        assert value.grad.isfinite().all(), name
        assert (value.grad.flatten(1) != 0).any(1).all(), f"{name}: each sample of the batch"
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    assert not list(network.crop.parameters())


def test_its_poses_are_turned_back_to_the_camera() -> None:
    """Whatever the backbone says, bones keep their lengths, and the ray to the region is the virtual camera's axis."""
    network = timm_example().PoseNetwork(BACKBONE).eval()
    said = torch.randn(17, 3)
    said[0] = torch.tensor((0.0, 0.0, 2.0))
    network.backbone = Says(said.flatten())
    intrinsics = torch.tensor([[200.0, 0, 160], [0, 200, 120], [0, 0, 1]])
    center_px = torch.tensor([[260.0, 60.0]])
    joints_cam, _ = network(torch.rand(1, 3, 240, 320), intrinsics, center_px, torch.tensor([[50.0, 50.0]]))
    ray = torch.linalg.inv(intrinsics) @ torch.tensor((260.0, 60.0, 1.0))
    assert_close(joints_cam[0, 0], 2.0 * ray / ray.norm())
    assert_close(torch.cdist(joints_cam[0], joints_cam[0]), torch.cdist(said, said), atol=1e-5, rtol=1e-5)


# ---- a wide scene ----------------------------------------------------------------------------------------------------


def ball_sizes(part: np.ndarray) -> np.ndarray:
    """Width and height (px) of the one ball in a part of the sheet, which is orange in a grey room."""
    orange = part[..., 0].astype(int) - part[..., 2] > 40
    return np.array([orange.any(0).sum(), orange.any(1).sum()])


@pytest.mark.parametrize("lens", [["--fov-x", "120"], ["--fisheye", "--fov-x", "180"]], ids=["pinhole", "fisheye"])
def test_a_wide_scene_is_straightened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lens: list[str]) -> None:
    out = tmp_path / "sheet.png"
    run(example("perspective_wide_scene"), monkeypatch, *lens, "-o", str(out))
    sheet = np.array(Image.open(out))
    assert sheet.shape == (700, 1400, 3)
    crops = np.array([ball_sizes(sheet[500:, 200 * i : 200 * (i + 1)]) for i in range(7)])
    assert_allclose(crops, crops[3, 0], atol=3, err_msg="all balls are round, and of one size")
    left = ball_sizes(sheet[:500, :380] if "--fisheye" not in lens else sheet[:500, :250])
    assert max(left) > 1.2 * min(left), "in the picture those at the border are not"


def test_places_of_ones_own_picture_are_straightened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    picture, out = tmp_path / "picture.png", tmp_path / "sheet.png"
    pixels = np.zeros((300, 600, 3), dtype=np.uint8)
    pixels[:, 300:] = (250, 120, 30)
    Image.fromarray(pixels).save(picture)
    places = ["--at", "150", "150", "450", "150"]
    run(example("perspective_wide_scene"), monkeypatch, str(picture), *places, "-o", str(out))
    sheet = np.array(Image.open(out))
    assert sheet.shape == (600, 600, 3)
    assert_allclose(sheet[:300], pixels, atol=1)
    assert_allclose(sheet[310:590, 10:290], 0, atol=1)
    assert_allclose(sheet[310:590, 310:590], np.broadcast_to(pixels[0, 400], (280, 280, 3)), atol=1)
