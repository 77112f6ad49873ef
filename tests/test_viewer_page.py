"""The page: one file, no network, poses to the millimetre, scripts that run."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from PIL import Image

from sightline.errors import InputError
from sightline.structures import Poses
from sightline.viewer import write_page
from sightline.viewer.ground import find_ground
from staged_people import FISHEYE, LANDSCAPE, PORTRAIT, Walker, film, in_skeleton, person, poses, standing_cam

TWO = [Walker(x=-0.9, heading=2.6, speed=1.0), Walker(x=1.0, z=5.5, heading=-2.0, speed=1.0)]


class Elements(HTMLParser):
    """Tags with their attributes, and the text inside each script and style."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags:
            self.texts.append((self.tags[-1][0], data))


def written(scene: Poses, folder: Path, **options: Any) -> str:
    write_page(scene, folder / "a.html", **options)
    return (folder / "a.html").read_text(encoding="utf-8")


def payload(page: str) -> dict[str, Any]:
    text = re.search(r'<script type="application/json" id="poses">(.*?)</script>', page, re.DOTALL)
    assert text is not None
    return json.loads(text[1])


@pytest.mark.parametrize("pitch", [0.0, 0.5])
def test_joints_come_back_to_the_millimetre(tmp_path: Path, pitch: float) -> None:
    scene = film(4, TWO, height=2.0, pitch=pitch)
    data, ground = payload(written(scene, tmp_path)), find_ground(scene)
    assert [frame["i"] for frame in data["frames"]] == [0, 1, 2, 3]
    for frame, kept in zip(scene.frames, data["frames"], strict=True):
        assert [one["id"] for one in kept["p"]] == [0, 1]
        for one, row in zip(frame.people, kept["p"], strict=True):
            joints_ground = np.array(row["j"]).reshape(-1, 3) / 1000
            joints_cam = (joints_ground - [0, 0, data["ground"]["height"]]) @ np.array(data["ground"]["turn"])
            assert_allclose(joints_cam, one.joints_cam_m, atol=1e-3)
            assert_allclose(joints_ground, ground.placed(one.joints_cam_m), atol=0.51e-3)
            assert_allclose(np.array(row["k"]).reshape(-1, 2), one.keypoints_px, atol=0.051)
            assert_allclose(np.array(row["r"]).reshape(-1, 2), one.keypoints_px, atol=12)  # as noisy as the keypoints


def test_missing_points_are_null(tmp_path: Path) -> None:
    joints = standing_cam(0.0, 4.0).copy()
    joints[3] = np.nan
    row = payload(written(poses([person(joints, LANDSCAPE)]), tmp_path))["frames"][0]["p"][0]
    assert row["j"][9:12] == [None] * 3
    assert row["k"][6:8] == row["r"][6:8] == [None] * 2
    assert sum(value is None for value in row["j"]) == 3


def test_300_frames_of_two_people_are_below_one_megabyte(tmp_path: Path) -> None:
    write_page(film(300, TWO), tmp_path / "a.html")
    assert (tmp_path / "a.html").stat().st_size < 1_000_000


def test_the_page_needs_no_network(tmp_path: Path) -> None:
    background = np.zeros((108, 192, 3), np.uint8)
    page = written(film(2, TWO), tmp_path, background_png=background)
    assert "{{" not in re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert "://" not in page
    for tag, attributes in Elements(page).tags:
        assert tag not in {"link", "iframe", "img", "object", "embed", "base"}
        assert not {"src", "href", "srcset", "action"} & set(attributes), tag
    scripts = "".join(text for tag, text in Elements(page).texts if tag in {"script", "style"})
    assert not re.search(r"@import|url\(|fetch\(|XMLHttpRequest|WebSocket|import\(|sendBeacon", scripts)
    policy = next(a["content"] for t, a in Elements(page).tags if t == "meta" and "http-equiv" in a)
    assert policy is not None
    assert policy.startswith("default-src 'none'")


def test_names_cannot_break_out_of_the_page(tmp_path: Path) -> None:
    name = "</script><script>alert(1)</script><!-- {{script}} & \u2028.jpg"
    page = written(poses([], file=name, note="</script><b>"), tmp_path)
    data = payload(page)
    assert data["title"] == data["frames"][0]["f"] == name
    assert "</script><b>" in data["scale"]
    assert sum(tag == "script" for tag, _ in Elements(page).tags) == 2
    assert "alert(1)</script>" not in page
    title = next(text for tag, text in Elements(page).texts if tag == "title")
    assert title == f"{name} – Sightline"


@pytest.mark.parametrize("kind", ["array", "path", "bytes"])
def test_the_background_is_embedded_at_a_modest_size(tmp_path: Path, kind: str) -> None:
    picture = np.zeros((2160, 3840, 3), np.uint8)
    picture[..., 1] = 200
    Image.fromarray(picture).save(tmp_path / "b.png")
    sources = {"array": picture, "path": tmp_path / "b.png", "bytes": (tmp_path / "b.png").read_bytes()}
    data = payload(written(film(3, TWO), tmp_path, background_png=sources[kind], background_frame=2))
    assert data["start"] == data["backdrop"]["frame"] == 2
    head, content = data["backdrop"]["image"].split(",")
    assert head == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(base64.b64decode(content))) as image:
        assert image.size == (1280, 720)
        assert_allclose(np.asarray(image).mean(axis=(0, 1)), [0, 200, 0], atol=3)


def test_bad_calls_are_named_and_leave_nothing(tmp_path: Path) -> None:
    scene, path = film(2, TWO), tmp_path / "a.html"
    with pytest.raises(ValueError, match="background_frame: expected 0 to 1, got 2"):
        write_page(scene, path, background_frame=2)
    with pytest.raises(ValueError, match="at least one frame"):
        write_page(replace(scene, frames=()), path)
    with pytest.raises(ValueError, match="1920 × 1080 px, got 100 × 100"):
        write_page(scene, path, background_png=np.zeros((100, 100, 3), np.uint8))
    with pytest.raises(InputError, match="cannot be read as an image"):
        write_page(scene, path, background_png=b"no image")
    with pytest.raises(InputError, match=r"none\.png: cannot be read"):
        write_page(scene, path, background_png=tmp_path / "none.png")
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_page_keeps_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.html").write_text("old")

    def breaking(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", breaking)
        with pytest.raises(KeyboardInterrupt):
            write_page(film(1, TWO), tmp_path / "a.html")
    assert [path.name for path in tmp_path.iterdir()] == ["a.html"]
    assert (tmp_path / "a.html").read_text() == "old"


# ---- the scripts, in Node with a page made of nothing --------------------------------------------------------------

STUB = """
const calls = {}, texts = [], loops = [], nodes = {};
const pen = new Proxy({}, { get: (o, k) => k === "canvas" ? node("scene")
  : k === "measureText" ? (t) => ({ width: 8 * t.length })
  : k in o ? o[k] : (...a) => { calls[k] = (calls[k] || 0) + 1; if (k === "fillText") texts.push(a[0]);
    for (const v of a) if (typeof v === "number" && !Number.isFinite(v)) throw new Error(`${k}(${a})`); } });
const node = (id) => nodes[id] ||= { id, style: {}, dataset: {}, classList: { toggle() {} }, children: [], value: "1",
  clientWidth: 640, clientHeight: 400, getContext: () => pen, setPointerCapture() {},
  getBoundingClientRect: () => ({ left: 0, top: 0, width: 640, height: 30 }),
  get parentElement() { return { children: [node("a title")] }; },
  append(...c) { this.children.push(...c); },
  replaceChildren(...c) { this.children = c; }, listeners: {}, addEventListener(n, f) { this.listeners[n] = f; } };
let made = 0;
globalThis.document = { getElementById: node, createElement: () => node(`made${made++}`), querySelector: node,
  querySelectorAll: () => ["behind", "camera", "side", "above"].map((v) =>
    Object.assign(node(v), { dataset: { view: v } })),
  addEventListener(n, f) { node("document").listeners[n] = f; } };
globalThis.window = { devicePixelRatio: 2, addEventListener() {} };
globalThis.requestAnimationFrame = (f) => loops.push(f);
globalThis.Image = class { constructor() { this.complete = true; } addEventListener() {} };
node("poses").textContent = require("fs").readFileSync(0, "utf8");
"""
DRIVE = """
const step = (now) => loops.pop()(now);
const fire = (id, name, event) =>
  node(id).listeners[name]({ preventDefault() {}, buttons: 1, pointerId: 1, target: {}, ...event });
step(0);
const first = { texts: [...texts], people: node("people").children.map((row) => row.children[1].textContent) };
for (const view of ["camera", "side", "above", "behind"]) { fire(view, "click"); step(1); }
fire("scene", "pointerdown", { clientX: 10, clientY: 10 });
fire("scene", "pointermove", { clientX: 90, clientY: 400 });
for (let k = 0; k < 60; k++) fire("scene", "wheel", { deltaY: -100 });
step(2);
for (let k = 0; k < 90; k++) fire("scene", "wheel", { deltaY: 100 });
step(3);
fire("document", "keydown", { key: " " });
node("speed").value = "1";
step(4); step(1004);
fire("document", "keydown", { key: "ArrowRight" });
step(1005);
process.stdout.write(JSON.stringify({ ...first, calls, frame: state.frame, moment: node("moment").textContent }));
"""
SCENES = {
    "two": film(40, TWO),
    "fisheye": film(3, [Walker(x=-1.8, z=0.6), Walker(x=1.0, z=2.0)], FISHEYE),
    "portrait": film(1, [Walker(z=1.5)], PORTRAIT),
    "nobody": poses([[], [], []]),
    "coco": in_skeleton("coco17"),
    "lcr": in_skeleton("lcr13"),
    "no 3D": poses([person(np.full((17, 3), np.nan), LANDSCAPE)]),
}


def run_page(page: str) -> dict[str, Any]:
    """What the page's scripts do when it is opened, turned, zoomed and played."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs node to run the page's scripts")
    script = page[page.rindex("<script>") + 8 : page.rindex("</script>")]
    data = json.dumps(payload(page))
    run = subprocess.run([node, "-e", STUB + script + DRIVE], input=data, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr[-2000:]
    return json.loads(run.stdout)


@pytest.mark.parametrize("name", SCENES)
def test_the_scripts_run_and_say_the_distances(tmp_path: Path, name: str) -> None:
    scene = SCENES[name]
    background = np.zeros((108, 192, 3), np.uint8) if name == "two" else None
    result = run_page(written(scene, tmp_path, background_png=background))
    people = scene.frames[0].people
    roots = [one.joints_cam_m[scene.skeleton.root] for one in people]
    for root, shown in zip(roots, result["people"], strict=True):
        if np.isnan(root).any():
            assert shown == "no 3D"
        else:
            distance = shown.split(" ")[0]
            assert abs(float(distance) - np.linalg.norm(root)) < 0.006
            assert result["texts"].count(f"{distance} m") == 1  # in the 3D view
            assert result["texts"].count(shown) == 1  # in the top view, with what is stated of it
    assert result["calls"]["stroke"] > 100


def test_the_picture_is_shown_where_there_is_one(tmp_path: Path) -> None:
    plain = poses([replace(one, sigma_m=None) for one in SCENES["two"].frames[0].people])
    background = np.zeros((108, 192, 3), np.uint8)
    assert "drawImage" in run_page(written(plain, tmp_path, background_png=background))["calls"]
    assert "drawImage" not in run_page(written(plain, tmp_path))["calls"]


def test_playing_moves_at_the_films_rate(tmp_path: Path) -> None:
    result = run_page(written(SCENES["two"], tmp_path))
    assert result["frame"] == 31  # one second at 30 a second, then one step to the right
    assert "frame 31" in result["moment"]
