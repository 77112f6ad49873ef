"""What a camera does to the light of each pixel, in one pass; compiled by warp for the CPU."""

import warp as wp

from sightline.synth.pattern_kernels import corner


@wp.kernel(enable_backward=False)
def develop(
    light: wp.array2d(dtype=wp.vec3f), gain: wp.vec3, vignette: float, read_variance: float, shot_variance: float,
    seed: wp.uint32, normal: wp.array(dtype=float), curve: wp.array(dtype=float), brightest: float, grey: int,
    saturation: float, contrast: float, picture: wp.array3d(dtype=wp.uint8),
):  # fmt: skip
    """Linear light to sRGB of 8 bits. `normal` holds quantiles of the normal distribution, `curve` the tone curve at
    even steps of the root of the light up to `brightest`. One thread for each row of pixels.
    """
    y = wp.tid()
    height = light.shape[0]
    width = light.shape[1]
    steps = float(curve.shape[0] - 1) / wp.sqrt(brightest)
    down = 2.0 * float(y) / wp.max(float(height - 1), 1.0) - 1.0
    for x in range(width):
        across = 2.0 * float(x) / wp.max(float(width - 1), 1.0) - 1.0
        shown = wp.cw_mul(light[y, x], gain) * (1.0 - 0.5 * vignette * (across * across + down * down))
        if read_variance > 0.0 or shot_variance > 0.0:
            for k in range(3):
                row = int((0.5 + 0.5 * corner(seed, x, y, k)) * float(normal.shape[0]))
                spread = wp.sqrt(read_variance + shot_variance * wp.clamp(shown[k], 0.0, 1.0))
                shown[k] = shown[k] + spread * normal[wp.min(row, normal.shape[0] - 1)]
        for k in range(3):
            shown[k] = curve[int(wp.sqrt(wp.clamp(shown[k], 0.0, brightest)) * steps + 0.5)]
        even = 0.299 * shown[0] + 0.587 * shown[1] + 0.114 * shown[2]
        if grey == 1:
            shown = wp.vec3(even, even, even)
        else:
            mean = wp.vec3(even, even, even)
            shown = mean + saturation * (shown - mean)
        for k in range(3):
            value = 255.0 * (0.5 + contrast * (shown[k] - 0.5)) + 0.5
            picture[y, x, k] = wp.uint8(int(wp.clamp(value, 0.0, 255.0)))
