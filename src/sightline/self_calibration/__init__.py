"""What people who stand upright on one floor tell about the camera that saw them: focal length, gravity, floor."""

from sightline.self_calibration.find import find_camera
from sightline.self_calibration.posterior import Priors
from sightline.self_calibration.result import FoundCamera

__all__ = ["FoundCamera", "Priors", "find_camera"]
