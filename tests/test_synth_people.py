"""People for pictures: whoever is drawn, the figure is sound, dressed, and of the population asked for."""

from __future__ import annotations

import time
from dataclasses import fields

import numpy as np
import pytest
import torch

pytest.importorskip("anny")

from sightline.body.anny_body import AnnyBody
from sightline.body.skinning import skinned_arrays
from sightline.synth._dress_layers import Cloth, Layers
from sightline.synth._dress_rig import CROTCH, rig_of
from sightline.synth.figure import PARTS, Figure, Material
from sightline.synth.garments import Bottom, Top, add_bottom, add_top
from sightline.synth.hair import HairStyle
from sightline.synth.hairdo import sample_hair
from sightline.synth.population import Population, sample_shape, statures, years_of
from sightline.synth.skin import linear, sample_colours
from sightline.synth.wardrobe import Clothing, dressed

AS_DRAWN = Clothing()
PLAIN = Material(kind="cloth", colours=((0.5, 0.5, 0.5),))


@pytest.fixture(scope="module")
def body() -> AnnyBody:
    return AnnyBody.load()


def person(body: AnnyBody, seed: int, knobs: Clothing = AS_DRAWN) -> Figure:
    rng = np.random.default_rng(seed)
    return dressed(body, sample_shape(rng), rng, knobs)


@pytest.fixture(scope="module")
def people(body: AnnyBody) -> list[Figure]:
    return [person(body, seed) for seed in range(24)]


def test_the_same_seed_gives_the_same_person(body: AnnyBody) -> None:
    first, again, other = person(body, 3), person(body, 3), person(body, 4)
    for field in fields(Figure):
        np.testing.assert_array_equal(getattr(first, field.name), getattr(again, field.name))
    assert first.materials != other.materials


def test_figures_are_sound(people: list[Figure], body: AnnyBody) -> None:
    for figure in people:
        count, faces = len(figure.vertices), len(figure.faces)
        for name in ("vertices", "skin_weights", "canonical", "cut", "mark", "joints"):
            assert getattr(figure, name).dtype == np.float32
            assert np.isfinite(getattr(figure, name)).all(), name
        for name in ("skin_bones", "faces", "material_of_face", "part_of_face"):
            assert getattr(figure, name).dtype == np.int32, name
        assert faces <= 45_000
        assert figure.faces.min() >= 0
        assert figure.faces.max() < count
        assert {len(getattr(figure, name)) for name in ("skin_bones", "skin_weights", "canonical", "cut", "mark")} == {
            count
        }
        assert len(figure.material_of_face) == len(figure.part_of_face) == faces
        assert set(np.unique(figure.material_of_face)) <= set(range(len(figure.materials)))
        assert set(np.unique(figure.part_of_face)) <= set(range(len(PARTS)))
        np.testing.assert_allclose(figure.skin_weights.sum(1), 1, atol=1e-5)
        assert figure.skin_bones.min() >= 0
        assert figure.skin_bones.max() < len(body.bones)
        assert figure.mark.min() >= 0
        assert figure.mark.max() <= 1
        assert np.abs(figure.cut).max() <= 2


def test_the_first_vertices_are_the_naked_body(people: list[Figure], body: AnnyBody) -> None:
    for figure in people:
        rest = body.rest(torch.from_numpy(figure.shape)[None])
        assert figure.body_vertices == rest.vertices.shape[1]
        np.testing.assert_array_equal(figure.vertices[: figure.body_vertices], rest.vertices[0].numpy())
        np.testing.assert_array_equal(figure.joints, rest.joints[0].numpy())
        extent = rest.vertices[0, :, 1]
        assert figure.stature_m == pytest.approx(float(extent.max() - extent.min()))


def worn_places(figure: Figure) -> set[tuple[float, ...]]:
    """Where, on the mean body, vertices of cloth lie inside its hems."""
    worn = figure.canonical[figure.body_vertices :][figure.cut[figure.body_vertices :] >= 0]
    return {tuple(place) for place in worn.tolist()}


@pytest.mark.parametrize(
    "knobs", [Clothing(), Clothing(clothes=0.0), Clothing(short_sleeves=1.0, skirts=1.0, loose=0.0)]
)
def test_chest_and_pelvis_are_always_covered(body: AnnyBody, knobs: Clothing) -> None:
    """Wherever skin is drawn there, as it is near hems, cloth lies over each of its vertices."""
    points = rig_of(body).points
    arm = rig_of(body).arm_share
    x, y = np.abs(points[:, 0]), points[:, 1]
    chest = (y > 0.20) & (y < 0.36) & (x < 0.13) & (arm < 0.3)
    pelvis = (y > CROTCH - 0.01) & (y < 0.03) & (arm < 0.1)
    for seed in range(12):
        figure = person(body, seed, knobs)
        places = worn_places(figure)
        bare = np.unique(figure.faces[figure.faces.max(1) < figure.body_vertices])
        for vertex in bare[(chest | pelvis)[bare]]:
            assert tuple(points[vertex].tolist()) in places


def test_hidden_faces_have_cloth_over_them(people: list[Figure], body: AnnyBody) -> None:
    """Wherever a face of the skin is left out, some cloth with the same place on the mean body is drawn."""
    rig = rig_of(body)
    for figure in people[:6]:
        drawn = np.zeros(figure.body_vertices, dtype=bool)
        drawn[figure.faces[figure.faces.max(1) < figure.body_vertices]] = True
        gone = rig.seen_vertices & ~drawn & ~np.isin(rig.part, [PARTS.index("LFoot"), PARTS.index("RFoot")])
        trunk = gone & (rig.points[:, 1] > 0.12) & (rig.points[:, 1] < 0.40)
        places = worn_places(figure)
        assert all(tuple(place) in places for place in rig.points[trunk].tolist())


def layers_of(body: AnnyBody, seed: int = 0) -> Layers:
    rest = body.rest(body.canonical.new_full((1, 6), 0.5))
    points, joints = rest.vertices[0].numpy(), rest.joints[0].numpy()
    return Layers(rig=rig_of(body), points=points, joints=joints, size=1.0, rng=np.random.default_rng(seed))


def test_layers_lie_outside_of_those_before(body: AnnyBody) -> None:
    layers = layers_of(body)
    before = layers.outer_m.copy()
    add_bottom(layers, Bottom(material=PLAIN))
    for gap in (0.004, 0.01):
        middle = layers.outer_m.copy()
        assert (middle >= before - 1e-6).all()
        add_top(layers, Top(material=PLAIN, gap_m=gap))
        piece, rows = layers.shells[-1]
        inside = piece.cut >= 0
        assert (layers.outer_m[rows[inside]] >= middle[rows[inside]] + gap - 1e-5).all()
        before = middle


def test_cloth_ends_where_its_field_does(body: AnnyBody) -> None:
    layers = layers_of(body)
    field = rig_of(body).points[:, 1] - 0.2
    layers.add_shell(field, Cloth(material=PLAIN, fold_m=0.0, smooth=0))
    (piece,) = layers.pieces()
    np.testing.assert_allclose(piece.cut, piece.canonical[:, 1] - 0.2, atol=1e-6)
    assert (piece.cut[piece.faces].max(1) >= 0).all()


def test_population_has_the_shares_and_statures_asked_for(body: AnnyBody) -> None:
    rng = np.random.default_rng(0)
    shapes = np.stack([sample_shape(rng, Population(child_share=0.3, old_share=0.2)) for _ in range(1500)])
    assert shapes.shape == (1500, 6)
    assert shapes.min() >= 0
    assert shapes.max() <= 1
    years = np.array([years_of(float(age)) for age in shapes[:, 1]])
    assert np.mean(years < 15) == pytest.approx(0.3, abs=0.04)
    assert np.mean(years > 65) == pytest.approx(0.2, abs=0.04)
    assert np.mean(shapes[:, 0] > 0.5) == pytest.approx(0.5, abs=0.04)
    heights = body.rest(torch.from_numpy(shapes[:400])).vertices[..., 1]
    tall = (heights.amax(1) - heights.amin(1)).numpy()
    adult, female = (years[:400] > 18) & (years[:400] < 65), shapes[:400, 0] > 0.5
    assert np.mean(tall[adult & ~female]) == pytest.approx(1.76, abs=0.035)
    assert np.mean(tall[adult & female]) == pytest.approx(1.63, abs=0.035)
    assert np.percentile(tall[adult & ~female], [3, 97]) == pytest.approx([1.63, 1.89], abs=0.06)
    small = years[:400] < 6
    assert tall[small].min() > 0.8
    assert tall[small].max() < 1.3


def test_statures_are_those_of_the_body_model(body: AnnyBody) -> None:
    for gender, age in ((0.0, 1 / 3), (1.0, 2 / 3), (0.3, 0.75)):
        shapes = torch.tensor([[gender, age, 0.5, 0.5, height, 0.5] for height in (0.0, 1.0)])
        y = body.rest(shapes).vertices[..., 1]
        np.testing.assert_allclose((y.amax(1) - y.amin(1)).numpy(), statures(gender, age), atol=0.02)


def test_grey_hair_comes_with_age() -> None:
    def grey(years: float) -> float:
        return float(np.mean([sample_colours(np.random.default_rng(seed), years).grey for seed in range(200)]))

    assert grey(20) == 0
    assert grey(45) < grey(60) < grey(80)
    assert linear("#ffffff") == pytest.approx((1.0, 1.0, 1.0))


def test_knobs_switch_things_off(body: AnnyBody) -> None:
    def style(seed: int, share: float) -> HairStyle:
        return sample_hair(np.random.default_rng(seed), years=30, female=True, share=share).style

    assert {style(seed, 0.0) for seed in range(20)} == {"bald"}
    assert "bald" not in {style(seed, 1.0) for seed in range(40)}
    plain = Clothing(patterns=0.0)
    for seed in range(8):
        cloths = [m for m in person(body, seed, plain).materials if m.kind == "cloth"]
        assert {m.pattern for m in cloths} == {"plain"}
    suit = person(body, 5, Clothing(clothes=0.0))
    assert sum(m.kind == "cloth" for m in suit.materials) == 1


def test_wrong_shares_are_refused() -> None:
    with pytest.raises(ValueError, match="hats"):
        Clothing(hats=1.5)
    with pytest.raises(ValueError, match="folds"):
        Clothing(folds=-1.0)
    with pytest.raises(ValueError, match="leave room for adults"):
        Population(child_share=0.7, old_share=0.4)


def test_dressing_is_quick(body: AnnyBody) -> None:
    best = np.inf
    for seed in range(6):
        start = time.perf_counter()
        person(body, seed)
        best = min(best, time.perf_counter() - start)
    assert best < 0.3  # s; about 0.03 on a free core


def test_skirts_stay_whole_when_legs_move(body: AnnyBody) -> None:
    """No edge of a skirt grows far longer when thighs swing, or head and arms: it hangs from waist and legs."""
    far = [
        row for row, name in enumerate(body.bones) if name.startswith(("neck", "head", "upperarm", "wrist", "finger"))
    ]
    thighs = [row for row, name in enumerate(body.bones) if name.startswith(("upperleg", "lowerleg", "foot"))]
    turn = np.array([[1, 0, 0], [0, np.cos(0.6), -np.sin(0.6)], [0, np.sin(0.6), np.cos(0.6)]])
    for seed in range(6):
        knobs = Clothing(skirts=1.0, coats=0.0)
        figure = dressed(body, np.array([1.0, 0.67, 0.5, 0.5, 0.4, 0.5]), np.random.default_rng(seed), knobs)
        rotations = np.repeat(np.eye(3)[None], len(body.bones), axis=0)
        for row in thighs:
            left = body.bones[row].split("-")[0].endswith(".L")
            rotations[row] = turn if left else turn.T
        rotations[far] = turn @ turn
        posed = skinned_arrays(
            figure.vertices,
            figure.skin_bones,
            figure.skin_weights,
            figure.joints,
            figure.parents,
            rotations,
            np.zeros(3),
        )
        edges = np.concatenate([figure.faces[:, [0, 1]], figure.faces[:, [1, 2]]])
        low = (figure.canonical[:, 1] < 0.0) & (np.abs(figure.canonical[:, 0]) < 0.3)
        edges = edges[(edges >= figure.body_vertices).all(1) & low[edges].all(1)]
        before, after = (np.linalg.norm(p[edges[:, 0]] - p[edges[:, 1]], axis=-1) for p in (figure.vertices, posed))
        assert (after - before).max() < 0.2
