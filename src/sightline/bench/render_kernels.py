"""The inner loop of ray casting with warp's mesh, compiled for the CPU; imported only where the benchmark runs."""

import warp as wp


@wp.kernel(enable_backward=False)
def cast_rays(
    mesh: wp.uint64,
    faces: wp.array(dtype=wp.vec3i),
    cut: wp.array(dtype=float),
    rays: wp.array2d(dtype=wp.vec3f),
    farthest: float,
    along: wp.array2d(dtype=float),
    face_seen: wp.array2d(dtype=int),
):
    """Send a ray from the origin through each pixel to the first face that is not cut away where it is met."""
    y, x = wp.tid()
    start = float(0.0)
    going = wp.length(rays[y, x]) > 0.5
    while going:
        hit = wp.mesh_query_ray(mesh, start * rays[y, x], rays[y, x], farthest)
        going = False
        if hit.result:
            corners = faces[hit.face]
            kept = hit.u * cut[corners[0]] + hit.v * cut[corners[1]] + (1.0 - hit.u - hit.v) * cut[corners[2]]
            start = start + hit.t
            if kept >= 0.0:
                along[y, x] = start
                face_seen[y, x] = hit.face
            else:
                start = start + 1.0e-5
                going = True
