"""Procedural textures, as functions of a point on the average body, a floor or a wall (metres); compiled by warp.

Each returns linear colour. What is finer than a pixel fades into its mean, so that nothing shimmers.
"""

import warp as wp

PLAIN = wp.constant(0)
STRIPES = wp.constant(1)
CHECKS = wp.constant(2)
DOTS = wp.constant(3)
KNIT = wp.constant(4)
DENIM = wp.constant(5)
CAMOUFLAGE = wp.constant(6)
FLORAL = wp.constant(7)
PRINT = wp.constant(8)


@wp.func
def smooth(low: float, high: float, value: float) -> float:
    """0 below `low`, 1 above `high`, a smooth rise between."""
    t = wp.clamp((value - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


@wp.func
def corner(seed: wp.uint32, x: int, y: int, z: int) -> float:
    """A number from −1 to 1 that belongs to a corner of the lattice; a multiplicative hash of its coordinates."""
    h = seed + wp.uint32(x) * wp.uint32(0x6DA6B343) + wp.uint32(y) * wp.uint32(0x58163841)
    h = h + wp.uint32(z) * wp.uint32(0x4B1AB31F)
    h = (h ^ (h >> wp.uint32(15))) * wp.uint32(0x2C1B3C6D)
    h = (h ^ (h >> wp.uint32(12))) * wp.uint32(0x297A2D39)
    h = h ^ (h >> wp.uint32(15))
    return float(h >> wp.uint32(8)) * (2.0 / 16777216.0) - 1.0


@wp.func
def between(low: float, high: float, share: float) -> float:
    """A mean of two numbers."""
    return low + (high - low) * share


@wp.func
def square(seed: wp.uint32, x: int, y: int, z: int, u: float, v: float) -> float:
    """Corners around a point of the lattice's plane z, weighted."""
    near = between(corner(seed, x, y, z), corner(seed, x + 1, y, z), u)
    far = between(corner(seed, x, y + 1, z), corner(seed, x + 1, y + 1, z), u)
    return between(near, far, v)


@wp.func
def eased(t: float) -> float:
    """A share that starts and ends without slope or curvature (Perlin 2002)."""
    return t * t * t * (t * (6.0 * t - 15.0) + 10.0)


@wp.func
def noise_at(seed: int, point: wp.vec3) -> float:
    """Value noise within ±0.8, with cells of size 1."""
    x = wp.floor(point[0])
    y = wp.floor(point[1])
    z = wp.floor(point[2])
    u = eased(point[0] - x)
    v = eased(point[1] - y)
    key = wp.uint32(seed) * wp.uint32(0x1E3779B1)
    below = square(key, int(x), int(y), int(z), u, v)
    if point[2] == z:  # floors and walls
        return 0.8 * below
    above = square(key, int(x), int(y), int(z) + 1, u, v)
    return 0.8 * between(below, above, eased(point[2] - z))


@wp.func
def noise_and_slope_at(seed: int, point: wp.vec3) -> wp.vec4:
    """`noise_at`, and its slope along x, y and z."""
    x = wp.floor(point[0])
    y = wp.floor(point[1])
    z = wp.floor(point[2])
    at = wp.vec3(point[0] - x, point[1] - y, point[2] - z)
    u = eased(at[0])
    v = eased(at[1])
    w = eased(at[2])
    key = wp.uint32(seed) * wp.uint32(0x1E3779B1)
    i = int(x)
    j = int(y)
    k = int(z)
    a = corner(key, i, j, k)
    b = corner(key, i, j + 1, k)
    c = corner(key, i, j, k + 1)
    d = corner(key, i, j + 1, k + 1)
    across_a = corner(key, i + 1, j, k) - a
    across_b = corner(key, i + 1, j + 1, k) - b
    across_c = corner(key, i + 1, j, k + 1) - c
    across_d = corner(key, i + 1, j + 1, k + 1) - d
    a = a + u * across_a
    b = b + u * across_b
    c = c + u * across_c
    d = d + u * across_d
    below = between(a, b, v)
    above = between(c, d, v)
    return 0.8 * wp.vec4(
        between(below, above, w),
        steepness(at[0]) * between(between(across_a, across_b, v), between(across_c, across_d, v), w),
        steepness(at[1]) * between(b - a, d - c, w),
        steepness(at[2]) * (above - below),
    )


@wp.func
def steepness(t: float) -> float:
    """The derivative of `eased`."""
    return 30.0 * t * t * (t * (t - 2.0) + 1.0)


@wp.func
def flat_noise_at(seed: int, point: wp.vec2) -> float:
    """The same on a plane."""
    x = wp.floor(point[0])
    y = wp.floor(point[1])
    key = wp.uint32(seed) * wp.uint32(0x1E3779B1)
    return 0.8 * square(key, int(x), int(y), 0, eased(point[0] - x), eased(point[1] - y))


@wp.func
def cloudy(seed: int, point: wp.vec3) -> float:
    """Three octaves of noise."""
    return 0.6 * noise_at(seed, point) + 0.3 * noise_at(seed + 1, 2.1 * point) + 0.15 * noise_at(seed + 2, 4.3 * point)


@wp.func
def cloudy_flat(seed: int, point: wp.vec2, blur: float) -> float:
    """Noise of a plane down to cells of the size `blur`: octaves that would be finer are left out."""
    result = float(0.0)
    weight = float(0.5)
    rate = float(1.0)
    for octave in range(3):
        if rate * blur < 0.7:
            result += weight * flat_noise_at(seed + octave, rate * point)
        weight = weight * 0.8
        rate = rate * 4.1
    return result


@wp.func
def chance(seed: int, x: float, y: float, z: float) -> float:
    """A number from 0 to 1 that belongs to a cell."""
    state = wp.rand_init(seed, int(x) * 7919 + int(y) * 104729 + int(z) * 1299709)
    return wp.randf(state)


@wp.func
def band(coordinate: float, share: float, blur: float) -> float:
    """1 in the first `share` of each unit, 0 in the rest, with edges `blur` wide."""
    t = coordinate - wp.floor(coordinate)
    return smooth(0.0, blur, t) * (1.0 - smooth(share, share + blur, t))


@wp.func
def patterned(
    pattern: int, point: wp.vec3, first: wp.vec3, second: wp.vec3, third: wp.vec3, scale: float, turn: wp.vec2,
    seed: int, pixel_m: float,
) -> wp.vec3:  # fmt: skip
    """The colour of a pattern at a point, where a pixel covers `pixel_m`; `turn` is its cosine and sine."""
    if pattern == PLAIN:
        return first
    blur = wp.clamp(1.5 * pixel_m / scale, 0.04, 1.0)
    coarse = smooth(0.35, 1.0, pixel_m / scale)
    turned_x = turn[0] * point[0] - turn[1] * point[1]
    turned_y = turn[1] * point[0] + turn[0] * point[1]
    mixed = float(0.0)
    mean = float(0.0)
    other = second
    if pattern == STRIPES:
        mixed = band(turned_y / scale, 0.45, blur)
        mean = 0.45
    elif pattern == CHECKS:
        across = band(turned_x / scale, 0.5, blur)
        along = band(turned_y / scale, 0.5, blur)
        mixed = 0.5 * (across + along)
        thin = wp.max(band(turned_x / scale + 0.23, 0.06, blur), band(turned_y / scale + 0.23, 0.06, blur))
        first = first + (third - first) * thin * (1.0 - coarse) * 0.6
        mean = 0.5
    elif pattern == DOTS or pattern == FLORAL:
        cell = wp.vec3(wp.floor(point[0] / scale), wp.floor(point[1] / scale), wp.floor(2.0 * point[2] / scale))
        jitter = 0.0
        size = 0.28
        if pattern == FLORAL:
            jitter = 0.5 * (chance(seed, cell[0], cell[1], cell[2]) - 0.5)
            size = 0.2 + 0.25 * chance(seed + 1, cell[0], cell[1], cell[2])
            if chance(seed + 2, cell[0], cell[1], cell[2]) > 0.5:
                other = third
        dx = point[0] / scale - cell[0] - 0.5 - jitter
        dy = point[1] / scale - cell[1] - 0.5 + jitter
        radius = wp.sqrt(dx * dx + dy * dy)
        if pattern == FLORAL:
            radius = radius * (1.0 + 0.35 * wp.cos(5.0 * wp.atan2(dy, dx)))
        mixed = 1.0 - smooth(size - 0.5 * blur, size + 0.5 * blur, radius)
        mean = 0.25
    elif pattern == KNIT:
        rib = 0.5 + 0.5 * wp.sin(6.2832 * turned_x / scale)
        mixed = 0.35 * rib + 0.15 * (0.5 + 0.5 * wp.sin(6.2832 * turned_y / scale))
        mean = 0.25
    elif pattern == DENIM:
        worn = smooth(-0.1, 0.5, cloudy(seed, 7.0 * point))
        twill = 0.5 + 0.5 * wp.sin(6.2832 * (point[0] + point[1]) / 0.004)
        mixed = 0.45 * worn + 0.12 * twill * (1.0 - smooth(0.001, 0.004, pixel_m))
        mean = 0.25
        coarse = 0.0
    elif pattern == CAMOUFLAGE:
        field = cloudy(seed, point / scale)
        mixed = smooth(0.0, 0.06 + blur * 0.1, field)
        spots = smooth(0.12, 0.18 + blur * 0.1, cloudy(seed + 7, 1.3 * point / scale))
        first = first + (third - first) * spots
        mean = 0.45
    elif pattern == PRINT:
        inside = smooth(-0.005, 0.005, 0.11 - wp.abs(point[0])) * smooth(-0.005, 0.005, 0.09 - wp.abs(point[1] - 0.33))
        figure = smooth(-0.02, 0.05, noise_at(seed, 14.0 * point)) * smooth(0.0, 0.01, point[2])
        if chance(seed, 1.0, 2.0, 3.0) > 0.5:
            figure = smooth(0.0, 0.01, point[2]) * band(point[1] / 0.06, 0.55, 0.1)
        mixed = inside * figure
        coarse = 0.0
    mixed = mixed + (mean - mixed) * coarse
    return first + (other - first) * wp.clamp(mixed, 0.0, 1.0)
