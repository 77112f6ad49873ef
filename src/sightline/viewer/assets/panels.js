// The two flat panels and the chart: picture plane, top view, distances over time.

const backdrop = data.backdrop ? Object.assign(new Image(), { src: data.backdrop.image }) : null;

function points(flat) {
  return flat ? parents.map((_, k) => (flat[2 * k] === null ? null : [flat[2 * k], flat[2 * k + 1]])) : parents.map(() => null);
}

function drawPicture(canvas, frameNumber, actors, camera) {
  const { ctx, width, height } = prepared(canvas);
  const zoom = Math.min(width / camera.size[0], height / camera.size[1]);
  const left = (width - camera.size[0] * zoom) / 2, top = (height - camera.size[1] * zoom) / 2;
  const at = (p) => p && [left + p[0] * zoom, top + p[1] * zoom];
  ctx.save();
  ctx.beginPath();
  ctx.rect(left, top, camera.size[0] * zoom, camera.size[1] * zoom);
  ctx.fillStyle = palette.page;
  ctx.fill();
  ctx.clip();
  if (backdrop && backdrop.complete) {
    ctx.globalAlpha = data.backdrop.frame === frameNumber ? 1 : 0.25;
    ctx.drawImage(backdrop, left, top, camera.size[0] * zoom, camera.size[1] * zoom);
    ctx.globalAlpha = 1;
  }
  const labels = [];
  for (const actor of [...actors].sort((a, b) => b.distance - a.distance)) {
    const found = points(actor.source.k).map(at), wire = points(actor.source.r).map(at);
    const known = [...found, ...wire].filter((p) => p);
    if (!known.length) continue;
    const tall = Math.max(...[0, 1].map((k) => Math.max(...known.map((p) => p[k])) - Math.min(...known.map((p) => p[k]))));
    const thick = Math.min(Math.max(0.028 * tall, 2.4), 8);
    skeleton2d(ctx, found, thick + 2, () => palette.casing);
    skeleton2d(ctx, found, thick, (k) => toned(actor.colour, data.skeleton.sides[k]));
    skeleton2d(ctx, wire, Math.max(0.9, 0.25 * thick), () => "#ffffff");
    const crown = (found.some((p) => p) ? found : wire).filter((p) => p).reduce((a, b) => (b[1] < a[1] ? b : a));
    if (crown[0] > left && crown[0] < width - left && crown[1] > top && crown[1] < height - top) {
      labels.push({ x: crown[0], y: crown[1], badge: badge(actor), text: "", colour: actor.colour });
    }
  }
  ctx.restore();
  ctx.strokeStyle = palette.border;
  ctx.lineWidth = 1;
  ctx.strokeRect(left + 0.5, top + 0.5, camera.size[0] * zoom - 1, camera.size[1] * zoom - 1);
  plates(ctx, width, height, labels, 10, -Math.PI / 2);
}

function skeleton2d(ctx, spots, width, colour) {
  parents.forEach((parent, child) => {
    if (parent >= 0 && spots[child] && spots[parent]) stroke(ctx, [spots[child], spots[parent]], colour(child), width);
  });
}

function drawTop(canvas, frameNumber, actors, camera) {
  const { ctx, width, height } = prepared(canvas);
  const { low, high } = data.bounds;
  const scale = Math.min((width - 90) / (high[0] - low[0]), (height - 84) / (high[1] - low[1]));
  const origin = [width / 2 - (low[0] + high[0]) / 2 * scale, height - 34 + low[1] * scale];
  const at = (x, y) => [origin[0] + x * scale, origin[1] - y * scale];
  drawField(ctx, camera, origin, Math.hypot(width, height));
  drawRings(ctx, camera, origin, scale, width, height);
  const labels = [];
  for (const actor of actors.filter((one) => one.place)) drawTopSpread(ctx, width, height, actor, at, scale);
  for (const actor of actors.filter((one) => one.place)) {
    drawTrail(ctx, actor, frameNumber, at);
    const [x, y] = at(actor.place[0], actor.place[1]), thick = Math.min(Math.max(0.14 * scale, 4), 14);
    const ahead = facing(actor);
    if (ahead) {
      const side = [ahead[1] * 0.9 * thick, ahead[0] * 0.9 * thick];
      fill(ctx, [[x + ahead[0] * 2.6 * thick, y - ahead[1] * 2.6 * thick], [x + side[0], y + side[1]], [x - side[0], y - side[1]]], mixed(actor.colour, palette.panel, 0.35));
    }
    drawDepthBar(ctx, actor, at);
    const [left, right] = data.skeleton.pairs.length ? data.skeleton.pairs[0].map((k) => actor.joints[k]) : [null, null];
    if (left && right) {
      const a = at(left[0], left[1]), b = at(right[0], right[1]), middle = [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
      stroke(ctx, [a, b], palette.casing, thick + 2.5);
      stroke(ctx, [middle, b], toned(actor.colour, "right"), thick);
      stroke(ctx, [a, middle], toned(actor.colour, "left"), thick);
    }
    dot(ctx, [x, y], 0.62 * thick + 1.5, palette.casing);
    dot(ctx, [x, y], 0.62 * thick, actor.colour);
    labels.push({ x, y, badge: badge(actor), text: metresAbout(actor), colour: actor.colour });
  }
  plates(ctx, width, height, labels, Math.max(16, 0.3 * scale), 0);
}

function drawField(ctx, camera, origin, far) {
  const [left, right] = camera.fan, arc = [];
  for (let k = 0; k <= 48; k++) {
    const angle = left + (right - left) * k / 48;
    arc.push([origin[0] + Math.sin(angle) * far, origin[1] - Math.cos(angle) * far]);
  }
  fill(ctx, [origin, ...arc], palette.camera, 0.06);
  for (const end of [arc[0], arc[48]]) stroke(ctx, [origin, end], palette.camera, 1.3, 0.45);
  const opening = Math.min(Math.max((right - left) / 2, 0.15), 0.9), middle = (left + right) / 2;
  const tip = (angle) => [origin[0] + Math.sin(angle) * 17, origin[1] - Math.cos(angle) * 17];
  fill(ctx, [origin, tip(middle - opening), tip(middle + opening)], palette.camera);
  dot(ctx, origin, 4.5, palette.camera);
}

function drawRings(ctx, camera, origin, scale, width, height) {
  const step = [0.25, 0.5, 1, 2, 5, 10, 20, 50, 100].find((value) => value * scale >= 56) || 100;
  const edge = Math.min(0, Math.max(camera.fan[0], -0.96));
  const last = Math.floor(Math.hypot(width, height) / scale / step);
  for (let count = 1; count <= last; count++) {
    ctx.strokeStyle = count % 5 === 0 ? palette.grid_strong : palette.grid;
    ctx.lineWidth = 1;
    ctx.beginPath();
    ctx.arc(origin[0], origin[1], count * step * scale, 0, 2 * Math.PI);
    ctx.stroke();
  }
  for (let count = 1; count <= last; count++) {
    const reach = count * step * scale, text = `${+(count * step).toFixed(2)} m`;
    const x = Math.max(origin[0] + Math.sin(edge) * reach - 44, 8), across = (origin[0] - x - 16) / reach;
    if (Math.abs(across) > 1) continue;
    const y = origin[1] - Math.sqrt(1 - across * across) * reach;
    if (y > 44 && y < height - 16) words(ctx, text, x, y, "left");
  }
}

function drawTrail(ctx, actor, frameNumber, at) {
  if (actor.id === null) return;
  const path = [];
  for (let k = Math.max(0, frameNumber - data.trail); k <= frameNumber; k++) {
    const person = data.frames[k].p.find((one) => one.id === actor.id);
    const place = person && placed(person).place;
    if (place) path.push(at(place[0], place[1]));
  }
  if (path.length > 1) stroke(ctx, path, actor.colour, 2, 0.55);
}

// Distance over time, one line per id, nearer is lower; `frameNumber` is marked.
const history = new Map();
data.frames.forEach((frame, k) => frame.p.forEach((person, order) => {
  const key = person.id === null ? `order ${order}` : person.id, actor = placed(person);
  if (!history.has(key)) history.set(key, { colour: actor.colour, rows: [] });
  if (actor.distance !== null) history.get(key).rows.push([k, actor.distance]);
}));

function drawChart(canvas, frameNumber) {
  const { ctx, width, height } = prepared(canvas);
  const all = [...history.values()].flatMap((line) => line.rows.map((row) => row[1]));
  const low = all.reduce((a, b) => Math.min(a, b), Infinity), high = all.reduce((a, b) => Math.max(a, b), -Infinity);
  const span = Math.max(high - low, 0.5), middle = (high + low) / 2, last = Math.max(data.frames.length - 1, 1);
  const at = ([k, d]) => [8 + (width - 16) * k / last, height / 2 - (d - middle) / span * (height - 16)];
  stroke(ctx, [[8, height - 1], [width - 8, height - 1]], palette.grid, 1);
  for (const line of history.values()) {
    let run = [];
    line.rows.forEach((row, k) => {
      if (k && row[0] !== line.rows[k - 1][0] + 1) { stroke(ctx, run, line.colour, 2); run = []; }
      run.push(at(row));
    });
    if (run.length) stroke(ctx, run, line.colour, 2);
  }
  const x = 8 + (width - 16) * frameNumber / last;
  stroke(ctx, [[x, 2], [x, height - 2]], palette.text, 2);
}
