"""OpenCV, which finds the board in pictures: an extra of Sightline, loaded when it is first needed."""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

from sightline.errors import UsageError

INSTALL = "install it with: pip install 'sightline[calibrate]' (where MediaPipe is installed, OpenCV is there already)"


@cache
def opencv() -> Any:
    """Return the module `cv2`; `UsageError` where it is missing, broken or too old (before 4.7)."""
    try:
        cv2: Any = importlib.import_module("cv2")
    except ImportError as error:
        raise UsageError(f"calibrating needs OpenCV, which is not there ({error}); {INSTALL}") from error
    if not hasattr(cv2, "findChessboardCornersSB") or not hasattr(getattr(cv2, "aruco", None), "ArucoDetector"):
        version = getattr(cv2, "__version__", "of unknown version")
        raise UsageError(f"calibrating needs OpenCV 4.7 or newer, got {version}; {INSTALL}")
    return cv2
