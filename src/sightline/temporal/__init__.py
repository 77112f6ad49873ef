"""People over time: which side is which, joints that jump, motion that is smooth."""
