"""Pictures, films and pages of poses."""

from sightline.viewer.figure import FigureRenderer, render_frame, write_picture
from sightline.viewer.movie import write_movie
from sightline.viewer.page import write_page

__all__ = ["FigureRenderer", "render_frame", "write_movie", "write_page", "write_picture"]
