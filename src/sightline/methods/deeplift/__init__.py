"""Lifting from the Deep (paper 004): a probabilistic prior of human poses, and the lifter that asks it."""
