"""Calibrations of other tools: one module per tool, each turning a file into cameras by name.

What they have in common: cameras are float64 with corner origin and metres, and whatever is wrong with a file is an
`InputError` of one sentence. `sightline.formats.camera.read_cameras` tells the kinds apart.
"""
