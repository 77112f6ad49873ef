"""Outside 2D pose detectors behind one protocol, boxes, and keypoints from files."""
