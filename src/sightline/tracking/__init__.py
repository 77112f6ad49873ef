"""Who is who from frame to frame: people in, the same people with ids out."""

from sightline.tracking.tracker import Tracker

__all__ = ["Tracker"]
