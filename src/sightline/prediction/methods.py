"""The methods that place people who were found, by name."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from sightline.errors import UsageError
from sightline.gravity import Tilt
from sightline.lifter import Lifter, weights_for
from sightline.methods.abspose.decode import RootRule
from sightline.prediction.estimator import Estimator, FromKeypoints

Method = Literal["abspose", "deeplift", "perspose", "lcrnet"]
PERSPOSE_WEIGHTS = "perspose-synth"
LCRNET_WEIGHTS = "lcrnet-synth"


def estimator_of(
    method: Method = "abspose",
    weights: str | Path | None = None,
    *,
    device: str = "cpu",
    batch_size: int = 32,
    any_orientation: bool = False,
    root: RootRule = "learned",
    tilt: Tilt | None = None,
    look_px: int | None = None,
) -> Estimator:
    """Return what places people.

    Args:
        method: by name; perspose looks at the pictures of people and lcrnet at whole ones, in which it finds them
            itself (`FindsPeople`); the others look at keypoints alone.
        weights: by name, or the path of a passport; None takes the method's own.
        device: PyTorch device of the network.
        batch_size: of perspose, people per pass of the network.
        any_orientation: of deeplift, whether people may be upside down or lie.
        root: of abspose, where absolute positions come from.
        tilt: of deeplift, how cameras are tilted that do not know their place in the world.
        look_px: of lcrnet, the longer side of what the network looks at; None takes its own.

    Raises:
        UsageError: for a method that there is not, weights that there are not or of another method, and what the method
            does not know.
        InputError: for weights whose files are broken.
    """
    if method not in get_args(Method):
        raise UsageError(f"method: expected one of {', '.join(get_args(Method))}, got '{method}'")
    if look_px is not None and method != "lcrnet":
        raise UsageError(f"look_px: expected method 'lcrnet' beside it, got '{method}'")
    if method in ("abspose", "deeplift"):
        chosen = weights_for(method, weights, any_orientation=any_orientation)
        return FromKeypoints(Lifter(chosen, device=device, root=root, tilt=tilt))
    if any_orientation:
        raise UsageError(f"any_orientation: expected method 'deeplift' beside it, got '{method}'")
    if tilt is not None:
        raise UsageError(f"tilt: '{method}' does not ask how the camera is tilted")
    if method == "lcrnet":
        if root != "learned":
            raise UsageError(f"root: 'lcrnet' has a way of its own to place people; leave it out, got '{root}'")
        from sightline.prediction.lcrnet import LcrNetEstimator  # timm takes seconds

        return LcrNetEstimator(LCRNET_WEIGHTS if weights is None else weights, device=device, look_px=look_px)
    if root != "learned":
        raise UsageError(f"root: 'perspose' knows only 'learned', got '{root}'")
    from sightline.prediction.perspose import PersPoseEstimator  # timm takes seconds

    return PersPoseEstimator(PERSPOSE_WEIGHTS if weights is None else weights, device=device, batch_size=batch_size)
