"""A half-length portrait: most of the body is cut off by the border, and the result has to say so."""

from __future__ import annotations

import numpy as np
import pytest

import sightline
from sightline.skeleton import get_skeleton

pytest.importorskip("mediapipe")
data = pytest.importorskip("skimage.data")


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_a_person_cut_by_the_border_has_an_honest_low_confidence() -> None:
    picture = data.astronaut()  # public domain, NASA
    poses = sightline.predict(picture, detector="mediapipe")
    (person,) = poses.frames[0].people
    confidence = dict(zip(get_skeleton("h36m17").joints, person.confidence, strict=True))
    for joint in ("LKnee", "RKnee", "LAnkle", "RAnkle"):
        assert confidence[joint] < 0.1, f"{joint} is outside the picture"
    for joint in ("LShoulder", "RShoulder", "Head"):
        assert confidence[joint] > 0.9
    assert person.score < 0.5
    assert np.isfinite(person.joints_cam_m).all()
    assert person.joints_cam_m[0, 2] > 0.0
    head, hip = (person.joints_cam_m[get_skeleton("h36m17").index(joint)] for joint in ("Head", "Hip"))
    assert hip[1] > head[1] + 0.4, "she sits upright"
