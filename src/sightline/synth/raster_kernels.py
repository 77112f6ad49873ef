"""The inner loops of drawing triangles, compiled by warp for the CPU; imported only when something is drawn.

Each kernel is launched with a single thread and loops itself: triangles write to a shared depth buffer one after the
other, so the same input gives the same bytes.
"""

import warp as wp


@wp.func
def first_index(low: wp.float64, limit: int) -> int:
    """The first pixel whose centre is not left of `low`, which is finite."""
    return int(wp.clamp(wp.int64(wp.ceil(low - wp.float64(0.5))), wp.int64(0), wp.int64(limit)))


@wp.func
def last_index(high: wp.float64, limit: int) -> int:
    """The last pixel whose centre is not right of `high`, which is finite."""
    return int(wp.clamp(wp.int64(wp.floor(high - wp.float64(0.5))), wp.int64(-1), wp.int64(limit - 1)))


@wp.kernel(enable_backward=False)
def draw_triangles(
    points: wp.array(dtype=wp.vec3d),
    points_px: wp.array(dtype=wp.vec2d),
    cut: wp.array(dtype=wp.float64),
    faces: wp.array(dtype=wp.vec3i),
    rows: wp.array(dtype=int),
    rays: wp.array2d(dtype=wp.vec3d),
    pad_px: wp.array(dtype=wp.float64),
    asked: wp.array2d(dtype=wp.bool),
    everywhere: int,
    offset_px: wp.vec2d,
    along: wp.array2d(dtype=wp.float64),
    face_seen: wp.array2d(dtype=int),
    shares: wp.array2d(dtype=wp.vec3f),
):
    """Keep, for the ray of every pixel, the nearest triangle it meets: how far along the ray, which, and where on it.

    A ray r meets the triangle ABC where r·(B×C), r·(C×A) and r·(A×B) have one sign; they are the corners' shares.
    Neighbours see the same numbers at a common edge, so no ray slips through between them.
    """
    height = rays.shape[0]
    width = rays.shape[1]
    for f in range(faces.shape[0]):
        t = faces[f]
        pad = pad_px[f]
        a_px = points_px[t[0]] - offset_px
        b_px = points_px[t[1]] - offset_px
        c_px = points_px[t[2]] - offset_px
        x0 = first_index(wp.min(a_px[0], wp.min(b_px[0], c_px[0])) - pad, width)
        x1 = last_index(wp.max(a_px[0], wp.max(b_px[0], c_px[0])) + pad, width)
        if x0 > x1:
            continue
        y0 = first_index(wp.min(a_px[1], wp.min(b_px[1], c_px[1])) - pad, height)
        y1 = last_index(wp.max(a_px[1], wp.max(b_px[1], c_px[1])) + pad, height)
        wanted = everywhere == 1 and y0 <= y1
        if everywhere == 0:
            for y in range(y0, y1 + 1):
                for x in range(x0, x1 + 1):
                    if asked[y, x]:
                        wanted = True
                        break
                if wanted:
                    break
        if wanted:
            a = points[t[0]]
            b = points[t[1]]
            c = points[t[2]]
            bc = wp.cross(b, c)
            ca = wp.cross(c, a)
            ab = wp.cross(a, b)
            cut_a = cut[t[0]]
            cut_b = cut[t[1]]
            cut_c = cut[t[2]]
            for y in range(y0, y1 + 1):
                for x in range(x0, x1 + 1):
                    if everywhere == 1 or asked[y, x]:
                        ray = rays[y, x]
                        u = wp.dot(ray, bc)
                        v = wp.dot(ray, ca)
                        w = wp.dot(ray, ab)
                        least = wp.min(u, wp.min(v, w))
                        most = wp.max(u, wp.max(v, w))
                        total = u + v + w
                        if (least >= wp.float64(0.0) or most <= wp.float64(0.0)) and total != wp.float64(0.0):
                            u = u / total
                            v = v / total
                            w = w / total
                            point = u * a + v * b + w * c
                            far = wp.dot(point, ray) / wp.dot(ray, ray)
                            kept = u * cut_a + v * cut_b + w * cut_c >= wp.float64(0.0)
                            if kept and far > wp.float64(0.0) and far < along[y, x]:
                                along[y, x] = far
                                face_seen[y, x] = rows[f]
                                shares[y, x] = wp.vec3f(float(u), float(v), float(w))


@wp.kernel(enable_backward=False)
def pinhole_rays(focal: wp.vec2d, center: wp.vec2d, asked: wp.array2d(dtype=wp.bool), rays: wp.array2d(dtype=wp.vec3d)):
    """Unit rays of a camera without distortion; `center` is counted from where they go through the first pixel."""
    y = wp.tid()
    down = (wp.float64(y) - center[1]) / focal[1]
    for x in range(rays.shape[1]):
        if asked[y, x]:
            across = (wp.float64(x) - center[0]) / focal[0]
            rays[y, x] = wp.normalize(wp.vec3d(across, down, wp.float64(1.0)))


@wp.kernel(enable_backward=False)
def interpolated_rays(
    coarse: wp.array2d(dtype=wp.vec3d),
    first_x: wp.array(dtype=int),
    shares_x: wp.array2d(dtype=wp.float64),
    first_y: wp.array(dtype=int),
    shares_y: wp.array2d(dtype=wp.float64),
    between: wp.array2d(dtype=wp.vec3d),
    asked: wp.array2d(dtype=wp.bool),
    rays: wp.array2d(dtype=wp.vec3d),
):
    """Rays between knots, each from eight rows and eight columns of them; `between` is for what is in between."""
    y = wp.tid()
    for column in range(coarse.shape[1]):
        sum = wp.vec3d(wp.float64(0.0), wp.float64(0.0), wp.float64(0.0))
        for k in range(8):
            sum += shares_y[y, k] * coarse[first_y[y] + k, column]
        between[y, column] = sum
    for x in range(rays.shape[1]):
        if asked[y, x]:
            ray = wp.vec3d(wp.float64(0.0), wp.float64(0.0), wp.float64(0.0))
            for k in range(8):
                ray += shares_x[x, k] * between[y, first_x[x] + k]
            rays[y, x] = ray
