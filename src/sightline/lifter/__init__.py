"""A trained lifter: 2D keypoints and a camera → absolute 3D poses in metres, frame by frame, in the camera's frame."""

from sightline.lifter.lifter import Lifter
from sightline.lifter.result import LiftResult, Skipped
from sightline.lifter.weights import METHODS, weights_for

__all__ = ["METHODS", "LiftResult", "Lifter", "Skipped", "weights_for"]
