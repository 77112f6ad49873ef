"""Files in and out: cameras, keypoints, poses, motion capture, video."""
