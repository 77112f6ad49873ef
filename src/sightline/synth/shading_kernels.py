"""How surfaces look in their light: shadows, materials, floor, walls and backdrop; compiled by warp for the CPU.

Rows of `materials` are those of `shading.material_table`. All positions are in the world's frame, all colours linear.
"""

import warp as wp

from sightline.synth.pattern_kernels import cloudy, cloudy_flat, noise_and_slope_at, noise_at, patterned, smooth

SKIN = wp.constant(0)
EYE = wp.constant(1)
HAIR = wp.constant(2)
CLOTH = wp.constant(3)
LEATHER = wp.constant(4)
FLAT = wp.constant(5)

TAPS = wp.constant(8)
"""Texels of a shadow map that are asked for a pixel, once for what stands there and once for how much it hides."""
BLOCK = wp.constant(8)
"""Texels along a side of the blocks of `Shadows.covers`."""
GOLDEN_COS = wp.constant(-0.7373688)
GOLDEN_SIN = wp.constant(0.6754903)
"""Of the golden angle, by which one tap's direction follows the last (Vogel 1979)."""


@wp.struct
class Shadows:
    """Who shades whom towards a light: the greatest height of what stands in each texel, and in blocks of them.

    A block of `covers` holds the greatest height that any search from within it can meet.
    """

    nearest: wp.array2d(dtype=float)
    covers: wp.array2d(dtype=float)
    map_from_world: wp.mat44
    texel_m: float
    softness: float
    search_px: float


@wp.struct
class Lamp:
    """The light, and who stands in it, towards the lamp and towards the zenith."""

    towards: wp.vec3
    lamp: wp.vec3
    sky: wp.vec3
    ground: wp.vec3
    shadows: int
    before: Shadows
    above: Shadows


@wp.func
def unshaded(shadows: Shadows, point: wp.vec3) -> float:
    """The share of a light of half-angle `softness` that is seen from a point.

    First the mean distance of what lies before it is found, then the share of the shadow map that blocks within the
    radius that the light's size has at that distance (percentage-closer soft shadows).
    """
    nearest = shadows.nearest
    bias_m = 3.0 * shadows.texel_m
    at = wp.transform_point(shadows.map_from_world, point)
    size = nearest.shape[0]
    u = at[0]
    v = at[1]
    if u < 0.0 or v < 0.0 or u >= float(size) or v >= float(size):
        return 1.0
    if shadows.covers[int(v) // BLOCK, int(u) // BLOCK] - at[2] <= bias_m:
        return 1.0
    blockers = float(0.0)
    gap = float(0.0)
    across = float(1.0)
    along = float(0.0)
    for tap in range(TAPS):
        radius = shadows.search_px * wp.sqrt((float(tap) + 0.5) / float(TAPS))
        x = wp.clamp(int(u + radius * across), 0, size - 1)
        y = wp.clamp(int(v + radius * along), 0, size - 1)
        turned = GOLDEN_COS * across - GOLDEN_SIN * along
        along = GOLDEN_SIN * across + GOLDEN_COS * along
        across = turned
        over = nearest[y, x] - at[2]
        if over > bias_m:
            blockers += 1.0
            gap += over
    if blockers == 0.0:
        return 1.0
    radius_px = wp.clamp(shadows.softness * gap / blockers / shadows.texel_m, 0.8, 0.12 * float(size))
    free = float(0.0)
    for tap in range(TAPS):
        radius = radius_px * wp.sqrt((float(tap) + 0.5) / float(TAPS))
        x = wp.clamp(int(u + radius * across), 0, size - 1)
        y = wp.clamp(int(v + radius * along), 0, size - 1)
        turned = GOLDEN_COS * across - GOLDEN_SIN * along
        along = GOLDEN_SIN * across + GOLDEN_COS * along
        across = turned
        free += 1.0 - smooth(0.5 * bias_m, 1.5 * bias_m, nearest[y, x] - at[2])
    return free / float(TAPS)


@wp.kernel(enable_backward=False)
def draw_heights(
    points: wp.array(dtype=wp.vec3f), cut: wp.array(dtype=wp.float64), faces: wp.array(dtype=wp.vec3i),
    nearest: wp.array2d(dtype=float),
):  # fmt: skip
    """Draw triangles, given in texels and metres towards the lamp, into a map of the greatest height. One thread."""
    size = nearest.shape[0]
    for f in range(faces.shape[0]):
        t = faces[f]
        a = points[t[0]]
        b = points[t[1]]
        c = points[t[2]]
        x0 = wp.max(int(wp.ceil(wp.min(a[0], wp.min(b[0], c[0])) - 0.5)), 0)
        x1 = wp.min(int(wp.floor(wp.max(a[0], wp.max(b[0], c[0])) - 0.5)), size - 1)
        if x0 > x1:
            continue
        y0 = wp.max(int(wp.ceil(wp.min(a[1], wp.min(b[1], c[1])) - 0.5)), 0)
        y1 = wp.min(int(wp.floor(wp.max(a[1], wp.max(b[1], c[1])) - 0.5)), size - 1)
        area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        if y0 <= y1 and area != 0.0:
            if cut[t[0]] >= 0.0 or cut[t[1]] >= 0.0 or cut[t[2]] >= 0.0:
                scale = 1.0 / area
                for y in range(y0, y1 + 1):
                    for x in range(x0, x1 + 1):
                        px = float(x) + 0.5
                        py = float(y) + 0.5
                        v = ((px - a[0]) * (c[1] - a[1]) - (py - a[1]) * (c[0] - a[0])) * scale
                        w = ((b[0] - a[0]) * (py - a[1]) - (b[1] - a[1]) * (px - a[0])) * scale
                        if v >= 0.0 and w >= 0.0 and v + w <= 1.0:
                            height = a[2] + v * (b[2] - a[2]) + w * (c[2] - a[2])
                            nearest[y, x] = wp.max(nearest[y, x], height)


@wp.kernel(enable_backward=False)
def add_normals(points: wp.array(dtype=wp.vec3d), faces: wp.array(dtype=wp.vec3i), normals: wp.array(dtype=wp.vec3f)):
    """Sum the faces' normals, as long as the faces are large, at their corners. One thread."""
    for f in range(faces.shape[0]):
        t = faces[f]
        a = points[t[0]]
        normal = wp.cross(points[t[1]] - a, points[t[2]] - a)
        n = wp.vec3f(float(normal[0]), float(normal[1]), float(normal[2]))
        normals[t[0]] = normals[t[0]] + n
        normals[t[1]] = normals[t[1]] + n
        normals[t[2]] = normals[t[2]] + n


@wp.func
def albedo(row: int, materials: wp.array2d(dtype=float), point: wp.vec3, mark: float, pixel_m: float) -> wp.vec3:
    """The colour of a material at a point of its own coordinates."""
    kind = int(materials[row, 0])
    first = wp.vec3(materials[row, 8], materials[row, 9], materials[row, 10])
    second = wp.vec3(materials[row, 11], materials[row, 12], materials[row, 13])
    third = wp.vec3(materials[row, 14], materials[row, 15], materials[row, 16])
    seed = int(materials[row, 7])
    scale = materials[row, 2]
    colour = first
    if kind == SKIN:
        flush = smooth(0.0, 0.6, cloudy(seed, 9.0 * point)) * 0.35
        colour = first + (third - first) * flush
        colour = colour + (second - colour) * mark
        if pixel_m < 0.02:
            colour = colour * (1.0 + 0.06 * noise_at(seed + 5, 60.0 * point))
    elif kind == EYE:
        white = wp.vec3(0.72, 0.69, 0.66)
        iris = smooth(0.35, 0.55, mark)
        colour = white + (first - white) * iris
        colour = colour * (1.0 - 0.97 * smooth(0.75, 0.85, mark))
    elif kind == HAIR:
        strand = noise_at(seed, wp.vec3(220.0 * point[0], 22.0 * point[1], 220.0 * point[2]))
        lock = noise_at(seed + 1, wp.vec3(45.0 * point[0], 7.0 * point[1], 45.0 * point[2]))
        fine = 1.0 - smooth(0.002, 0.012, pixel_m)
        colour = first + (second - first) * wp.clamp(0.5 + 0.8 * lock + 0.6 * strand * fine, 0.0, 1.0)
    else:
        turn = wp.vec2(materials[row, 3], materials[row, 17])
        colour = patterned(int(materials[row, 1]), point, first, second, third, scale, turn, seed, pixel_m)
        colour = colour + (second - colour) * mark
        if kind == FLAT:
            colour = colour * (1.0 + 0.2 * cloudy_flat(seed + 3, 1.7 * wp.vec2(point[0], point[1]), 1.7 * pixel_m))
        else:
            colour = colour * (1.0 + 0.08 * noise_at(seed + 3, 1.3 * point / wp.max(scale, 0.02)))
        if pixel_m < 0.004:
            colour = colour * (1.0 + 0.10 * noise_at(seed + 4, 500.0 * point) * (1.0 - smooth(0.001, 0.004, pixel_m)))
    return wp.vec3(wp.max(colour[0], 0.0), wp.max(colour[1], 0.0), wp.max(colour[2], 0.0))


@wp.func
def relief_slope(point: wp.vec3, kind: int, seed: int, detailed: bool) -> wp.vec3:
    """The slope of folds, pores or strands, in their own unit; cloth creases where its noise changes sign."""
    found = noise_and_slope_at(seed + 11, point)
    slope = wp.vec3(found[1], found[2], found[3])
    if kind == CLOTH or kind == LEATHER:
        if found[0] > 0.0:
            slope = -slope
        if detailed:
            fine = noise_and_slope_at(seed + 12, wp.vec3(2.3 * point[0], 1.7 * point[1], 2.3 * point[2]))
            slope = slope + 0.35 * wp.vec3(2.3 * fine[1], 1.7 * fine[2], 2.3 * fine[3])
    return slope


@wp.func
def tilted_normal(normal: wp.vec3, point: wp.vec3, bump: float, seed: int, kind: int, pixel_m: float) -> wp.vec3:
    """The normal, tilted by folds of cloth, pores or strands: the slope of a relief on the surface."""
    rate = wp.vec3(15.0, 8.0, 15.0)
    if kind == SKIN:
        rate = wp.vec3(120.0, 120.0, 120.0)
    elif kind == HAIR:
        rate = wp.vec3(110.0, 12.0, 110.0)
    strength = bump * (1.0 - smooth(0.15, 0.6, pixel_m * rate[0]))
    if kind == CLOTH:
        strength = 2.5 * strength
    if strength <= 0.0:
        return normal
    slope = relief_slope(wp.cw_mul(rate, point), kind, seed, pixel_m < 0.006)
    slope = slope - wp.dot(slope, normal) * normal
    return wp.normalize(normal - strength * slope)


@wp.func
def lit(
    colour: wp.vec3, kind: int, gloss: float, roughness: float, normal: wp.vec3, view: wp.vec3, point: wp.vec3,
    lamp: Lamp,
) -> wp.vec3:  # fmt: skip
    """The light that leaves a point towards `view`: lamp with shadow, light from all around, a highlight."""
    facing = wp.dot(normal, lamp.towards)
    wrapped = facing
    if kind == SKIN:
        wrapped = (facing + 0.28) / 1.28
    shade = float(1.0)
    open_sky = float(1.0)
    if lamp.shadows == 1:
        offset = point + 0.01 * normal
        if wrapped > 0.0:
            shade = unshaded(lamp.before, offset)
        open_sky = unshaded(lamp.above, offset)
    lit_share = wp.max(facing, 0.0)
    diffuse = wp.vec3(lit_share, lit_share, lit_share)
    if kind == SKIN:
        diffuse = wp.vec3(
            wp.max(wrapped, 0.0), wp.max((facing + 0.10) / 1.10, 0.0), wp.max((facing + 0.06) / 1.06, 0.0)
        )
    upward = 0.5 + 0.5 * normal[2]
    around = (lamp.ground + (lamp.sky - lamp.ground) * upward) * (0.4 + 0.6 * open_sky)
    light = wp.cw_mul(diffuse, lamp.lamp) * shade + around
    result = wp.cw_mul(colour, light)
    if gloss <= 0.0:
        return result
    glint = highlight(normal, wp.normalize(view + lamp.towards), roughness) * lit_share
    beside = 1.0 - wp.max(wp.dot(normal, view), 0.0)
    rim = beside * beside * (beside * beside) * beside
    tint = wp.vec3(1.0, 1.0, 1.0)
    if kind == HAIR:
        tint = wp.vec3(0.4, 0.4, 0.4) + 2.0 * colour
    result = result + gloss * wp.cw_mul(tint, lamp.lamp * (glint * shade) + around * (0.15 + 0.6 * rim))
    return result


@wp.func
def highlight(normal: wp.vec3, half: wp.vec3, roughness: float) -> float:
    """The lobe (n·h)^s of Blinn and Phong, normalized; 0 where it would be below e⁻¹² of its peak."""
    sharp = 2.0 / wp.max(roughness * roughness, 0.01)
    aligned = wp.dot(normal, half)
    if sharp * (1.0 - aligned) > 12.0 or aligned <= 0.0:
        return 0.0
    return wp.pow(aligned, sharp) * (sharp + 2.0) / 8.0


@wp.func
def looked_up(picture: wp.array3d(dtype=wp.uint8), linear: wp.array(dtype=float), x: float, y: float) -> wp.vec3:
    """A picture's colour at a pixel position (corner origin), bilinear, mirrored beyond its borders."""
    height = picture.shape[0]
    width = picture.shape[1]
    fx = x - 0.5
    fy = y - 0.5
    x0 = int(wp.floor(fx))
    y0 = int(wp.floor(fy))
    sx = fx - wp.floor(fx)
    sy = fy - wp.floor(fy)
    left = mirrored(x0, width)
    right = mirrored(x0 + 1, width)
    above = mirrored(y0, height)
    below = mirrored(y0 + 1, height)
    top = (1.0 - sx) * pixel(picture, linear, above, left) + sx * pixel(picture, linear, above, right)
    bottom = (1.0 - sx) * pixel(picture, linear, below, left) + sx * pixel(picture, linear, below, right)
    return (1.0 - sy) * top + sy * bottom


@wp.func
def pixel(picture: wp.array3d(dtype=wp.uint8), linear: wp.array(dtype=float), y: int, x: int) -> wp.vec3:
    """A pixel's linear light."""
    return wp.vec3(linear[int(picture[y, x, 0])], linear[int(picture[y, x, 1])], linear[int(picture[y, x, 2])])


@wp.func
def mirrored(index: int, size: int) -> int:
    """An index into a row that goes on mirrored at both ends."""
    if index >= 0 and index < size:
        return index
    period = 2 * size
    wrapped = index - period * int(wp.floor(float(index) / float(period)))
    return wp.min(wrapped, period - 1 - wrapped)


@wp.struct
class Surroundings:
    """Floor, walls and backdrop."""

    camera_position: wp.vec3
    backdrop_from_world: wp.mat33
    backdrop_focal: wp.vec2
    backdrop_center: wp.vec2
    ground_kind: int
    ground_material: int
    ground_radius_m: float
    walls: int


@wp.func
def behind(
    ray: wp.vec3, around: Surroundings, picture: wp.array3d(dtype=wp.uint8), linear: wp.array(dtype=float)
) -> wp.vec3:
    """What the backdrop shows in a direction."""
    aimed = around.backdrop_from_world * ray
    ahead = wp.max(wp.abs(aimed[2]), 1.0e-3)
    u = around.backdrop_focal[0] * aimed[0] / ahead + around.backdrop_center[0]
    v = around.backdrop_focal[1] * aimed[1] / ahead + around.backdrop_center[1]
    return looked_up(picture, linear, wp.clamp(u, -1.0e5, 1.0e5), wp.clamp(v, -1.0e5, 1.0e5))


@wp.func
def single(vector: wp.vec3d) -> wp.vec3:
    """The same vector in single precision."""
    return wp.vec3(float(vector[0]), float(vector[1]), float(vector[2]))


@wp.func
def surroundings_along(
    ray_cam: wp.vec3d, world_from_cam: wp.mat33d, around: Surroundings, lamp: Lamp, materials: wp.array2d(dtype=float),
    wall_points: wp.array(dtype=wp.vec3f), wall_normals: wp.array(dtype=wp.vec3f), wall_materials: wp.array(dtype=int),
    picture: wp.array3d(dtype=wp.uint8), linear: wp.array(dtype=float), pixel_rad: float,
) -> wp.vec4:  # fmt: skip
    """What a ray shows without people and things, and how far along it that lies (infinite: backdrop).

    Where there is no ray, it is black.
    """
    if wp.length_sq(ray_cam) == wp.float64(0.0):
        return wp.vec4(0.0, 0.0, 0.0, float(wp.inf))
    ray = single(world_from_cam * ray_cam)
    colour = wp.vec3(0.0, 0.0, 0.0)
    nearest = float(wp.inf)
    wall = int(-1)
    for w in range(around.walls):
        slope = wp.dot(ray, wall_normals[w])
        if wp.abs(slope) > 1.0e-6:
            far = wp.dot(wall_points[w] - around.camera_position, wall_normals[w]) / slope
            if far > 0.0 and far < nearest and around.camera_position[2] + far * ray[2] >= 0.0:
                nearest = far
                wall = w
    floor_far = float(wp.inf)
    if around.ground_kind > 0 and ray[2] < -1.0e-6 and around.camera_position[2] > 0.0:
        floor_far = -around.camera_position[2] / ray[2]
    if wall >= 0 and nearest < floor_far:
        normal = wall_normals[wall]
        if wp.dot(normal, ray) > 0.0:
            normal = -normal
        point = around.camera_position + nearest * ray
        local = wp.vec3(wp.dot(point, wp.vec3(-normal[1], normal[0], 0.0)), point[2], 0.0)
        row = wall_materials[wall]
        base = albedo(row, materials, local, 0.0, nearest * pixel_rad)
        colour = lit(base, FLAT, materials[row, 4], materials[row, 5], normal, -ray, point, lamp)
    elif floor_far < wp.inf:
        point = around.camera_position + floor_far * ray
        up = wp.vec3(0.0, 0.0, 1.0)
        if around.ground_kind == 1:
            shade = float(1.0)
            sky = float(1.0)
            if lamp.shadows == 1:
                shade = unshaded(lamp.before, point)
                sky = unshaded(lamp.above, point)
            colour = behind(ray, around, picture, linear)
            bright = lamp.lamp[1] * wp.max(lamp.towards[2], 0.0)
            colour = colour * ((bright * shade + lamp.sky[1] * (0.4 + 0.6 * sky)) / (bright + lamp.sky[1] + 1.0e-6))
            nearest = floor_far
        else:
            row = around.ground_material
            pixel_m = floor_far * pixel_rad / wp.max(-ray[2], 0.05)
            base = albedo(row, materials, wp.vec3(point[0], point[1], 0.0), 0.0, pixel_m)
            shown = lit(base, FLAT, materials[row, 4], materials[row, 5], up, -ray, point, lamp)
            away = wp.sqrt(point[0] * point[0] + point[1] * point[1])
            faded = smooth(0.4 * around.ground_radius_m, around.ground_radius_m, away)
            colour = shown
            if faded > 0.0:
                colour = shown + (behind(ray, around, picture, linear) - shown) * faded
            nearest = wp.inf
            if away < around.ground_radius_m:
                nearest = floor_far
    else:
        colour = behind(ray, around, picture, linear)
        nearest = wp.inf
    return wp.vec4(colour[0], colour[1], colour[2], nearest)


@wp.kernel(enable_backward=False)
def shade_surroundings(
    rays_cam: wp.array2d(dtype=wp.vec3d), world_from_cam: wp.mat33d, around: Surroundings, lamp: Lamp,
    materials: wp.array2d(dtype=float),
    wall_points: wp.array(dtype=wp.vec3f), wall_normals: wp.array(dtype=wp.vec3f), wall_materials: wp.array(dtype=int),
    picture: wp.array3d(dtype=wp.uint8), linear: wp.array(dtype=float), pixel_rad: float,
    colours: wp.array2d(dtype=wp.vec3f),
    along: wp.array2d(dtype=wp.float64),
):  # fmt: skip
    """`surroundings_along` of every pixel. One thread for each row: to start one for each pixel takes a fifth of it."""
    y = wp.tid()
    for x in range(rays_cam.shape[1]):
        seen = surroundings_along(
            rays_cam[y, x], world_from_cam, around, lamp, materials, wall_points, wall_normals, wall_materials, picture,
            linear, pixel_rad,
        )  # fmt: skip
        colours[y, x] = wp.vec3(seen[0], seen[1], seen[2])
        along[y, x] = wp.float64(seen[3])


@wp.func
def surface_along(
    ray_cam: wp.vec3d, far: float, t: wp.vec3i, s: wp.vec3, row: int, world_from_cam: wp.mat33d,
    camera_position: wp.vec3, normals: wp.array(dtype=wp.vec3f), canonical: wp.array(dtype=wp.vec3f),
    mark: wp.array(dtype=float), materials: wp.array2d(dtype=float), lamp: Lamp,
    pixel_rad: float,
) -> wp.vec3:  # fmt: skip
    """What a ray shows that meets, `far` along it, the face of vertices `t` where its corners have the shares `s`."""
    ray = single(world_from_cam * ray_cam)
    normal = wp.normalize(s[0] * normals[t[0]] + s[1] * normals[t[1]] + s[2] * normals[t[2]])
    if wp.dot(normal, ray) > 0.0:
        normal = wp.normalize(normal - 1.02 * wp.dot(normal, ray) * ray)
    point = s[0] * canonical[t[0]] + s[1] * canonical[t[1]] + s[2] * canonical[t[2]]
    marked = s[0] * mark[t[0]] + s[1] * mark[t[1]] + s[2] * mark[t[2]]
    kind = int(materials[row, 0])
    pixel_m = far * pixel_rad
    base = albedo(row, materials, point, marked, pixel_m)
    tilted = tilted_normal(normal, point, materials[row, 6], int(materials[row, 7]), kind, pixel_m)
    return lit(
        base, kind, materials[row, 4], materials[row, 5], tilted, -ray, camera_position + far * ray, lamp,
    )  # fmt: skip


@wp.kernel(enable_backward=False)
def shade_surfaces(
    rays_cam: wp.array2d(dtype=wp.vec3d), world_from_cam: wp.mat33d, camera_position: wp.vec3,
    face_seen: wp.array2d(dtype=int),
    shares: wp.array2d(dtype=wp.vec3f), along: wp.array2d(dtype=wp.float64), around: wp.array2d(dtype=wp.vec3f),
    around_along: wp.array2d(dtype=wp.float64), faces: wp.array(dtype=wp.vec3i), face_material: wp.array(dtype=int),
    face_key: wp.array(dtype=int), normals: wp.array(dtype=wp.vec3f), canonical: wp.array(dtype=wp.vec3f),
    mark: wp.array(dtype=float),
    materials: wp.array2d(dtype=float), lamp: Lamp,
    pixel_rad: float, weight: float, shaded_key: wp.array2d(dtype=int),
    shaded: wp.array2d(dtype=wp.vec3f), first_x: int, last_x: int, first_y: int, total: wp.array2d(dtype=wp.vec3f),
):  # fmt: skip
    """Put what every ray meets first into `total`, which is the surroundings at the beginning, by a share of `weight`.

    A pixel shades a material of a part of a body once: `shaded_key` and `shaded` hold the last one and its colour. So
    what several drawings are for, the edges between surfaces, costs little more than one. One thread for each row.
    """
    y = wp.tid() + first_y
    for x in range(first_x, last_x + 1):
        face = face_seen[y, x]
        if face >= 0 and along[y, x] <= around_along[y, x]:
            row = face_material[face]
            if shaded_key[y, x] != face_key[face]:
                shaded[y, x] = surface_along(
                    rays_cam[y, x], float(along[y, x]), faces[face], shares[y, x], row, world_from_cam,
                    camera_position, normals, canonical, mark, materials, lamp, pixel_rad,
                )  # fmt: skip
                shaded_key[y, x] = face_key[face]
            total[y, x] = total[y, x] + weight * (shaded[y, x] - around[y, x])
