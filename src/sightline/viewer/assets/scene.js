// The 3D view: an eye that turns around a target on the ground frame (x right, y forward, z up; metres).

const LIMB_M = 0.068, NEAR_M = 0.05, EYE_RAD = 0.6;

function basis(azimuth, elevation) {
  const ahead = [-Math.sin(azimuth) * Math.cos(elevation), Math.cos(azimuth) * Math.cos(elevation), -Math.sin(elevation)];
  const right = [Math.cos(azimuth), Math.sin(azimuth), 0];
  const down = [
    ahead[1] * right[2] - ahead[2] * right[1],
    ahead[2] * right[0] - ahead[0] * right[2],
    ahead[0] * right[1] - ahead[1] * right[0],
  ];
  return { right, down, ahead };
}

// The eye of an orbit {target, distance, azimuth, elevation, fov}, for a panel of a width and a height (px).
function eyeOf(orbit, width, height) {
  const turn = basis(orbit.azimuth, orbit.elevation);
  const eye = orbit.target.map((v, k) => v - turn.ahead[k] * orbit.distance);
  const focal = Math.min(width, height) / 2 / Math.tan((orbit.fov || EYE_RAD) / 2);
  const inView = (p) => {
    const d = [p[0] - eye[0], p[1] - eye[1], p[2] - eye[2]];
    const along = (axis) => d[0] * axis[0] + d[1] * axis[1] + d[2] * axis[2];
    return [along(turn.right), along(turn.down), along(turn.ahead)];
  };
  const onPanel = (v) => [width / 2 + focal * v[0] / v[2], height / 2 + focal * v[1] / v[2], v[2]];
  const seen = (p) => { const v = inView(p); return v[2] > NEAR_M ? onPanel(v) : null; };
  const segment = (p, q) => {
    let a = inView(p), b = inView(q);
    if (a[2] < NEAR_M && b[2] < NEAR_M) return null;
    const cut = (from, to) => { const t = (2 * NEAR_M - from[2]) / (to[2] - from[2]); return from.map((v, k) => v + t * (to[k] - v)); };
    if (a[2] < 2 * NEAR_M && b[2] > 2 * NEAR_M) a = cut(a, b);
    if (b[2] < 2 * NEAR_M && a[2] > 2 * NEAR_M) b = cut(b, a);
    return [onPanel(a), onPanel(b)];
  };
  return { focal, seen, segment, turn };
}

// An orbit that shows all points, seen from a direction.
function orbitAround(points, azimuth, elevation, width, height) {
  const turn = basis(azimuth, elevation), focal = Math.min(width, height) / 2 / Math.tan(EYE_RAD / 2);
  const along = (p, axis) => p[0] * axis[0] + p[1] * axis[1] + p[2] * axis[2];
  const flat = points.map((p) => [along(p, turn.right), along(p, turn.down), along(p, turn.ahead)]);
  const room = [Math.max(60, width / 2 - 40), Math.max(60, height / 2 - 82)];
  const eye = [0, 1, 2].map((k) => flat.reduce((sum, p) => sum + p[k], 0) / flat.length);
  const middle = eye[2];
  for (let round = 0; round < 40; round++) {
    eye[2] = Math.min(...flat.map((p) => p[2] - Math.max(Math.abs(p[0] - eye[0]) * focal / room[0], Math.abs(p[1] - eye[1]) * focal / room[1])));
    for (const k of [0, 1]) {
      const at = flat.map((p) => (p[k] - eye[k]) / Math.max(p[2] - eye[2], 1e-3));
      eye[k] += 0.35 * (Math.max(...at) + Math.min(...at)) * (middle - eye[2]);
    }
  }
  const distance = middle - eye[2];
  const target = [0, 1, 2].map((k) => turn.right[k] * eye[0] + turn.down[k] * eye[1] + turn.ahead[k] * middle);
  return { target, distance, azimuth, elevation };
}

function drawScene(canvas, orbit, actors, camera) {
  const { ctx, width, height } = prepared(canvas);
  const view = eyeOf(orbit, width, height);
  drawGrid(ctx, view);
  const line = (p, q, colour, thick, alpha) => { const s = view.segment(p, q); if (s) stroke(ctx, s, colour, thick, alpha); };
  const foot = [0, 0, 0], apex = [0, 0, data.ground.height];
  if (data.ground.floor) {
    for (const actor of actors) drawShadow(ctx, view, actor);
    line(foot, apex, palette.camera, 1.3, 0.45);
  }
  for (const angle of camera.fan) line(foot, leaving(angle), palette.camera, 1.3, 0.4);
  for (const actor of actors) drawDoubt(ctx, width, height, view, actor);
  const items = [];
  for (const actor of actors) limbs(view, actor, items);
  camera.rim.forEach((p, k) => {
    items.push(edge(view, p, camera.rim[(k + 1) % camera.rim.length], 1.8));
    if (k % Math.max(1, Math.floor(camera.rim.length / 4)) === 0) items.push(edge(view, apex, p, 1.4));
  });
  const rim = camera.rim.map(view.seen);
  if (rim.length > 2 && rim.every((p) => p)) fill(ctx, rim, palette.camera, 0.16);
  for (const item of items.filter((entry) => entry).sort((a, b) => b.depth - a.depth)) item.draw(ctx);
  const labels = [];
  for (const actor of [...actors].sort((a, b) => a.distance - b.distance)) {
    const spots = actor.joints.map((joint) => joint && view.seen(joint)).filter((p) => p);
    if (!spots.length) continue;
    const top = spots.reduce((a, b) => (b[1] < a[1] ? b : a));
    if (top[0] < 0 || top[0] > width || top[1] < 0 || top[1] > height) continue;
    labels.push({ x: top[0], y: top[1], badge: badge(actor), text: metres(actor.distance), colour: actor.colour });
  }
  plates(ctx, width, height, labels, 14, -Math.PI / 2, 50);
  if (layers.others && actors.length <= 8) drawScores(ctx, view, actors, labels);
}

// The far end of a line on the ground that leaves the camera at an azimuth: where it meets the grid's border.
function leaving(angle) {
  const { low, high } = data.grid, x = Math.sin(angle), y = Math.cos(angle);
  const reach = Math.min(x > 1e-9 ? high[0] / x : x < -1e-9 ? low[0] / x : Infinity, y > 1e-9 ? high[1] / y : y < -1e-9 ? low[1] / y : Infinity);
  return [x * reach, y * reach, 0];
}

function drawGrid(ctx, view) {
  const { low, high, step } = data.grid;
  const corners = [[low[0], low[1], 0], [high[0], low[1], 0], [high[0], high[1], 0], [low[0], high[1], 0]].map(view.seen);
  if (data.ground.floor && corners.every((p) => p)) fill(ctx, corners, palette.floor);
  for (const axis of [0, 1]) {
    for (let k = Math.round(low[axis] / step); k * step <= high[axis] + 1e-6; k++) {
      const a = [low[0], low[1], 0], b = [high[0], high[1], 0];
      a[axis] = b[axis] = k * step;
      const s = view.segment(a, b);
      if (s) stroke(ctx, s, k % 5 === 0 ? palette.grid_strong : palette.grid, 1);
    }
  }
}

function drawShadow(ctx, view, actor) {
  parents.forEach((parent, child) => {
    const a = actor.joints[child], b = parent >= 0 && actor.joints[parent];
    if (!a || !b) return;
    const p = view.seen([a[0], a[1], 0]), q = view.seen([b[0], b[1], 0]);
    if (p && q) stroke(ctx, [p, q], palette.shadow, Math.max(2, 1.3 * LIMB_M * view.focal / ((p[2] + q[2]) / 2)));
  });
}

function limbs(view, actor, items) {
  const seen = actor.joints.map((joint) => joint && view.seen(joint));
  const thick = (p) => Math.min(Math.max(LIMB_M * view.focal / Math.max(p[2], 0.3), 2.4), 40);
  seen.forEach((a, child) => {
    if (!a) return;
    const colour = toned(actor.colour, data.skeleton.sides[child]);
    const b = parents[child] >= 0 && seen[parents[child]];
    const radius = child === data.skeleton.head ? 0.95 * thick(a) : 0.62 * thick(a);
    items.push({ depth: a[2] - 0.02, draw: (ctx) => dot(ctx, a, radius, colour) });
    if (!b) return;
    const width = (thick(a) + thick(b)) / 2;
    items.push({ depth: (a[2] + b[2]) / 2, draw: (ctx) => { stroke(ctx, [a, b], palette.casing, width + 2.5); stroke(ctx, [a, b], colour, width); } });
  });
}

function edge(view, p, q, width) {
  const s = view.segment(p, q);
  return s && { depth: (s[0][2] + s[1][2]) / 2, draw: (ctx) => stroke(ctx, s, palette.camera, width) };
}
