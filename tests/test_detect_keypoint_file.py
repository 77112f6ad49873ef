"""Keypoints that are known already in the place of a detector: by the frame's number, scaled to the picture."""

from __future__ import annotations

import numpy as np
import pytest

from sightline.detect.keypoint_file import KeypointFile
from sightline.errors import InputError
from sightline.skeleton import get_skeleton
from sightline.structures import KeypointFrame, Keypoints, PersonKeypoints


def known() -> Keypoints:
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 400, (14, 2))
    points[3] = np.nan
    confidence = np.where(np.arange(14) == 3, 0.0, 0.5)
    people = (
        PersonKeypoints(keypoints_px=points, confidence=confidence, id=4, height_m=1.7),
        PersonKeypoints(keypoints_px=points + 30, confidence=confidence),
    )
    frames = (KeypointFrame(index=2, people=people), KeypointFrame(index=5), KeypointFrame(index=9, people=people[:1]))
    return Keypoints(skeleton=get_skeleton("lsp14"), image_size=(640, 480), frames=frames)


def test_people_come_by_the_number_of_the_frame() -> None:
    keypoints = known()
    reader = KeypointFile(keypoints)
    assert reader.skeleton is get_skeleton("lsp14")
    found = reader.detect_frames([9, 0, 2, 5, 7000], [(640, 480)] * 5)
    assert [len(people) for people in found] == [1, 0, 2, 0, 0]
    for person, source in zip(found[2], keypoints.frames[0].people, strict=True):
        np.testing.assert_array_equal(person.keypoints_px, source.keypoints_px)
        np.testing.assert_array_equal(person.confidence, source.confidence)
        assert (person.id, person.height_m) == (source.id, source.height_m)
        assert person.score == pytest.approx(0.5 * 13 / 14)
        assert person.box_px is None


def test_asking_twice_gives_the_same() -> None:
    reader = KeypointFile(known())
    first, second = (reader.detect_frames([2], [(640, 480)])[0][0].keypoints_px for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_another_resolution_is_scaled_from_the_corner() -> None:
    reader, points = KeypointFile(known()), known().frames[0].people[0].keypoints_px
    for size, scale in (((1280, 960), 2.0), ((320, 240), 0.5), ((1067, 800), 1067 / 640)):
        found = reader.detect_frames([2], [size])[0][0].keypoints_px
        np.testing.assert_allclose(found, points * scale, rtol=1e-12)


@pytest.mark.parametrize("size", [(480, 640), (640, 482), (640, 360), (1, 480)])
def test_another_aspect_is_refused(size: tuple[int, int]) -> None:
    reader = KeypointFile(known(), name="people.json")
    with pytest.raises(InputError) as caught:
        reader.detect_frames([2], [size])
    assert str(caught.value).startswith("people.json: ")
    assert "640 × 480" in str(caught.value)
    assert f"{size[0]} × {size[1]}" in str(caught.value)
