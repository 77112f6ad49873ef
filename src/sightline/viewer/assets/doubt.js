// Stated uncertainty: a haze where a body may be, and other poses that the picture allows. Both can be switched off.

const everybody = data.frames.flatMap((frame) => frame.p);
const stated = { spread: everybody.some((person) => person.s), others: everybody.some((person) => person.h) };
const layers = { spread: stated.spread, others: stated.others };
const CORNERS = 48;
const AWAY = Array.from({ length: CORNERS }, (_, k) => [Math.cos(2 * Math.PI * k / CORNERS), Math.sin(2 * Math.PI * k / CORNERS)]);

// The covariance (m\u00b2) on the ground frame of half-widths along the camera's axes.
function covariance(sigma) {
  const turn = data.ground.turn;
  return turn.map((a) => turn.map((b) => sigma.reduce((sum, v, k) => sum + a[k] * b[k] * v * v, 0)));
}

// The outline (px) of an ellipse, a corner for each direction, and how far each lies in its direction;
// `slope` has two rows: what a metre along each axis of the ground frame is on the panel.
function outline(center, spread, slope) {
  const half = slope.map((row) => [0, 1, 2].map((k) => row.reduce((sum, v, r) => sum + v * spread[r][k], 0)));
  const flat = slope.map((_, a) => slope.map((row) => half[a].reduce((sum, v, k) => sum + v * row[k], 0)));
  const corners = [], reach = [];
  for (const [x, y] of AWAY) {
    const px = flat[0][0] * x + flat[0][1] * y, py = flat[1][0] * x + flat[1][1] * y;
    const width = Math.sqrt(Math.max(px * x + py * y, 1e-12));
    corners.push([center[0] + px / width, center[1] + py / width]);
    reach.push(center[0] * x + center[1] * y + width);
  }
  return { corners, reach };
}

// The hull of two outlines: for each direction the corner that lies further out.
function swept(a, b) { return a.corners.map((corner, k) => (a.reach[k] >= b.reach[k] ? corner : b.corners[k])); }

// Polygons as one translucent shape, no denser where they overlap.
const sheet = document.createElement("canvas");
function drawHaze(ctx, width, height, polygons, colour, alpha) {
  if (!polygons.length) return;
  const under = sheet.getContext("2d"), ratio = Math.min(window.devicePixelRatio || 1, 3);
  sheet.width = Math.round(width * ratio);
  sheet.height = Math.round(height * ratio);
  under.setTransform(ratio, 0, 0, ratio, 0, 0);
  for (const polygon of polygons) fill(under, polygon, colour);
  ctx.globalAlpha = alpha;
  ctx.drawImage(sheet, 0, 0, width, height);
  ctx.globalAlpha = 1;
}

function hazeOf(outlines, bones) {
  const shapes = outlines.filter((one) => one).map((one) => one.corners);
  for (const [child, parent] of bones) if (outlines[child] && outlines[parent]) shapes.push(swept(outlines[child], outlines[parent]));
  return shapes;
}

const BONES = parents.map((parent, child) => [child, parent]).filter(([, parent]) => parent >= 0);

// What is stated of a person in the 3D view: the haze, then the other poses as faint lines.
function drawDoubt(ctx, width, height, view, actor) {
  if (layers.spread && actor.sigma) {
    const outlines = actor.joints.map((joint, k) => {
      const p = joint && actor.sigma[k] && view.seen(joint);
      if (!p) return null;
      const { right, down, ahead } = view.turn, across = [p[0] - width / 2, p[1] - height / 2];
      const slope = [right, down].map((row, a) => row.map((v, c) => (view.focal * v - across[a] * ahead[c]) / p[2]));
      return outline(p, covariance(actor.sigma[k]), slope);
    });
    drawHaze(ctx, width, height, hazeOf(outlines, BONES), actor.colour, data.haze);
  }
  if (!layers.others) return;
  for (const other of othersOf(actor)) {
    const seen = other.joints.map((joint) => joint && view.seen(joint));
    const lines = BONES.filter(([a, b]) => seen[a] && seen[b]).map(([a, b]) => [seen[a], seen[b]]);
    const near = seen.filter((p) => p).reduce((least, p) => Math.min(least, p[2]), Infinity);
    const thick = Math.min(Math.max(0.35 * LIMB_M * view.focal / Math.max(near, 0.3), 1.6), 8);
    ctx.globalAlpha = data.ghost;
    ctx.strokeStyle = mixed(actor.colour, palette.text, 0.35);
    ctx.lineWidth = thick;
    ctx.beginPath();
    for (const [a, b] of lines) { ctx.moveTo(a[0], a[1]); ctx.lineTo(b[0], b[1]); }
    ctx.stroke();
    ctx.globalAlpha = 1;
  }
}

function othersOf(actor) {
  return (actor.source.h || []).map((other) => ({ words: other.w, joints: placed({ j: other.j }).joints }));
}

// The score of each other pose, beside the joint in which it parts from its person most.
function drawScores(ctx, view, actors, labels) {
  const taken = [...above(ctx.canvas), ...labels.map((label) => label.spot)];
  for (const actor of actors) {
    const body = actor.joints.map((joint) => joint && view.seen(joint));
    for (const other of othersOf(actor)) {
      const seen = other.joints.map((joint) => joint && view.seen(joint));
      const gap = (k) => (body[k] && seen[k] ? Math.hypot(seen[k][0] - body[k][0], seen[k][1] - body[k][1]) : -1);
      const joint = parents.reduce((best, _, k) => (gap(k) > gap(best) ? k : best), 0), far = gap(joint);
      if (far < 0) continue;
      const first = far > 0 ? Math.atan2(seen[joint][1] - body[joint][1], seen[joint][0] - body[joint][0]) : -Math.PI / 2;
      const busy = [...taken, ...along(body).map((p) => ({ x: p[0] - 8, y: p[1] - 8, w: 16, h: 16 }))];
      const spot = freeSpot(seen[joint], first, busy);
      taken.push(spot.box);
      words(ctx, other.words, spot.x, spot.y, "center", mixed(actor.colour, palette.text, 0.35));
    }
  }
}

// Spots that a body covers: its joints, and between those of a limb.
function along(seen) {
  const between = BONES.filter(([a, b]) => seen[a] && seen[b]).flatMap(([a, b]) => (
    [0.25, 0.5, 0.75].map((t) => [0, 1].map((k) => seen[a][k] + t * (seen[b][k] - seen[a][k])))
  ));
  return [...seen.filter((p) => p), ...between];
}

// The cheapest place for a short word around a point: near, in the wanted direction (rad), off what is taken.
function freeSpot(center, first, taken) {
  let best = { cost: Infinity };
  for (let ring = 0; ring < 4; ring++) {
    for (let step = -6; step < 6; step++) {
      const angle = first + step * Math.PI / 6, reach = 10 + 12 * ring;
      const x = center[0] + Math.cos(angle) * (reach + 10), y = center[1] + Math.sin(angle) * reach;
      const box = { x: x - 15, y: y - 8, w: 30, h: 16 };
      const cost = 20 * ring + 4 * Math.abs(step) + taken.reduce((sum, other) => sum + overlap(box, other), 0);
      if (cost < best.cost) best = { cost, x, y, box };
    }
  }
  return best;
}

// In the top view: where root and shoulders, which are what is drawn there, may be.
function drawTopSpread(ctx, width, height, actor, at, scale) {
  if (!layers.spread || !actor.sigma) return;
  const pair = data.skeleton.pairs.length ? data.skeleton.pairs[0] : [], rows = [data.skeleton.root, ...pair];
  const slope = [[scale, 0, 0], [0, -scale, 0]];
  const outlines = rows.map((row) => {
    const joint = actor.joints[row], sigma = actor.sigma[row];
    return joint && sigma ? outline(at(joint[0], joint[1]), covariance(sigma), slope) : null;
  });
  drawHaze(ctx, width, height, hazeOf(outlines, pair.length ? [[1, 2]] : []), actor.colour, data.haze);
}

// The root's depth, one half-width nearer and farther along the camera's axis.
function drawDepthBar(ctx, actor, at) {
  const sigma = layers.spread && actor.sigma && actor.sigma[data.skeleton.root];
  if (!sigma) return;
  const ahead = data.ground.turn.map((row) => row[2] * sigma[2]);
  const ends = [-1, 1].map((sign) => at(actor.place[0] + sign * ahead[0], actor.place[1] + sign * ahead[1]));
  const length = Math.max(Math.hypot(ends[1][0] - ends[0][0], ends[1][1] - ends[0][1]), 1e-9);
  const across = [-(ends[1][1] - ends[0][1]) * 5 / length, (ends[1][0] - ends[0][0]) * 5 / length];
  stroke(ctx, ends, actor.colour, 2);
  for (const [x, y] of ends) stroke(ctx, [[x - across[0], y - across[1]], [x + across[0], y + across[1]]], actor.colour, 2);
}
