"use strict";
// What the three panels have in common: colours, limbs, plates with ids and distances.

const data = JSON.parse(document.getElementById("poses").textContent);
const palette = data.palette;
const parents = data.skeleton.parents;

// One person of a frame in metres on the ground frame (x right, y forward, z up), from whole millimetres.
function placed(person) {
  const joints = parents.map((_, k) => {
    const at = person.j.slice(3 * k, 3 * k + 3);
    return at[0] === null ? null : at.map((v) => v / 1000);
  });
  const known = joints.filter((joint) => joint);
  const root = joints[data.skeleton.root];
  const mean = (axis) => known.reduce((sum, joint) => sum + joint[axis], 0) / known.length;
  const place = root || (known.length ? [mean(0), mean(1), mean(2)] : null);
  const distance = place ? Math.hypot(place[0], place[1], place[2] - data.ground.height) : null;
  const sigma = person.s ? parents.map((_, k) => (person.s[3 * k] === null ? null : person.s.slice(3 * k, 3 * k + 3).map((v) => v / 1000))) : null;
  return { id: person.id, colour: person.c, joints, place, distance, sigma, about: aboutDistance(place, sigma), source: person };
}

// A point of the ground frame (m) in the camera's frame (m).
function inCamera(place) {
  const p = [place[0], place[1], place[2] - data.ground.height];
  return [0, 1, 2].map((k) => data.ground.turn.reduce((sum, row, r) => sum + row[k] * p[r], 0));
}

// The 68 % half-width of a distance (m): the picture fixes the line of sight, so the root's errors along it add up.
function aboutDistance(place, sigma) {
  const root = sigma && sigma[data.skeleton.root];
  if (!place || !root) return null;
  const away = inCamera(place), far = Math.max(Math.hypot(...away), 1e-9);
  return away.reduce((sum, v, k) => sum + Math.abs(v) / far * root[k], 0);
}

function facing(actor) {
  for (const [left, right] of data.skeleton.pairs) {
    const a = actor.joints[left], b = actor.joints[right];
    if (!a || !b) continue;
    const x = a[0] - b[0], y = a[1] - b[1], length = Math.hypot(x, y);
    if (length > 0.05) return [y / length, -x / length];
  }
  return null;
}

function mixed(hex, other, share) {
  const read = (text) => [1, 3, 5].map((k) => parseInt(text.slice(k, k + 2), 16));
  const a = read(hex), b = read(other);
  return "#" + a.map((v, k) => Math.round(v + (b[k] - v) * share).toString(16).padStart(2, "0")).join("");
}

const tones = new Map();
function toned(hex, side) {
  const key = hex + side;
  if (!tones.has(key)) {
    tones.set(key, side === "left" ? mixed(hex, "#ffffff", 0.55) : side === "right" ? mixed(hex, "#000000", 0.25) : hex);
  }
  return tones.get(key);
}

function metres(value) { return value.toFixed(2) + " m"; }

function metresAbout(actor) { return actor.about === null || !layers.spread ? metres(actor.distance) : `${actor.distance.toFixed(2)} \u00b1 ${metres(actor.about)}`; }

function stroke(ctx, points, colour, width, alpha = 1) {
  ctx.globalAlpha = alpha;
  ctx.strokeStyle = colour;
  ctx.lineWidth = width;
  ctx.beginPath();
  points.forEach((p, k) => (k ? ctx.lineTo(p[0], p[1]) : ctx.moveTo(p[0], p[1])));
  ctx.stroke();
  ctx.globalAlpha = 1;
}

function fill(ctx, points, colour, alpha = 1) {
  ctx.globalAlpha = alpha;
  ctx.fillStyle = colour;
  ctx.beginPath();
  points.forEach((p, k) => (k ? ctx.lineTo(p[0], p[1]) : ctx.moveTo(p[0], p[1])));
  ctx.fill();
  ctx.globalAlpha = 1;
}

function dot(ctx, p, radius, colour) {
  ctx.fillStyle = colour;
  ctx.beginPath();
  ctx.arc(p[0], p[1], radius, 0, 2 * Math.PI);
  ctx.fill();
}

// A canvas as large as its place on the screen, in CSS pixels, sharp on any display.
function prepared(canvas) {
  const ratio = Math.min(window.devicePixelRatio || 1, 3);
  const width = canvas.clientWidth, height = canvas.clientHeight;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const ctx = canvas.getContext("2d");
  ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
  ctx.clearRect(0, 0, width, height);
  ctx.lineCap = ctx.lineJoin = "round";
  return { ctx, width, height };
}

function overlap(a, b) {
  const w = Math.min(a.x + a.w, b.x + b.w) - Math.max(a.x, b.x) + 4;
  const h = Math.min(a.y + a.h, b.y + b.h) - Math.max(a.y, b.y) + 4;
  return Math.max(0, w) * Math.max(0, h);
}

// What the page itself shows above a canvas (titles, buttons, notes), as boxes on it.
function above(canvas) {
  const from = canvas.getBoundingClientRect();
  return [...canvas.parentElement.children].filter((one) => one !== canvas).flatMap((one) => {
    const box = one.getBoundingClientRect();
    return box.width ? [{ x: box.left - from.left, y: box.top - from.top, w: box.width, h: box.height }] : [];
  });
}

// Plates with id and distance: each takes the cheapest free spot around its anchor {x, y, badge, text, colour}.
function plates(ctx, width, height, labels, reach, first, top = 34) {
  const size = 14, tall = 22, taken = above(ctx.canvas);
  for (const label of labels) taken.push({ x: label.x - 8, y: label.y - 6, w: 16, h: 16 });
  for (const label of labels) {
    ctx.font = `700 ${size}px system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif`;
    label.badgeWidth = Math.max(tall, ctx.measureText(label.badge).width + 12);
    label.w = label.badgeWidth + (label.text ? ctx.measureText(label.text).width + 13 : 0);
    label.h = tall;
    let best = Infinity;
    for (let ring = 0; ring < 6; ring++) {
      for (let step = 0; step < 12; step++) {
        const turn = (step - 6) * Math.PI / 6, angle = first + turn;
        const cx = label.x + Math.cos(angle) * (reach + ring * 15 + label.w / 2);
        const cy = label.y + Math.sin(angle) * (reach + ring * 15 + label.h / 2);
        const x = Math.min(Math.max(cx - label.w / 2, 6), Math.max(6, width - label.w - 6));
        const y = Math.min(Math.max(cy - label.h / 2, top), Math.max(top, height - label.h - 26));
        const spot = { x, y, w: label.w, h: label.h };
        const moved = Math.hypot(x + label.w / 2 - cx, y + label.h / 2 - cy);
        const cost = 20 * ring + 6 * Math.abs(turn) + 0.5 * moved + 50 * taken.reduce((sum, other) => sum + overlap(spot, other), 0);
        if (cost < best) { best = cost; label.spot = spot; }
      }
    }
    taken.push(label.spot);
  }
  for (const label of labels) {
    const { x, y, w, h } = label.spot;
    const near = [Math.min(Math.max(label.x, x), x + w), Math.min(Math.max(label.y, y), y + h)];
    if (Math.hypot(near[0] - label.x, near[1] - label.y) > reach + 8) stroke(ctx, [[label.x, label.y], near], label.colour, 1.5, 0.7);
  }
  for (const label of labels) {
    const { x, y, w, h } = label.spot;
    ctx.globalAlpha = 0.85;
    rounded(ctx, x, y, w, h, palette.casing);
    ctx.globalAlpha = 1;
    rounded(ctx, x, y, label.badgeWidth, h, label.colour);
    ctx.textBaseline = "middle";
    ctx.fillStyle = palette.casing;
    ctx.textAlign = "center";
    ctx.fillText(label.badge, x + label.badgeWidth / 2, y + h / 2 + 1);
    ctx.fillStyle = palette.text;
    ctx.textAlign = "left";
    ctx.fillText(label.text, x + label.badgeWidth + 6, y + h / 2 + 1);
  }
}

function rounded(ctx, x, y, w, h, colour) {
  const r = 4;
  ctx.fillStyle = colour;
  ctx.beginPath();
  ctx.moveTo(x + r, y);
  ctx.arcTo(x + w, y, x + w, y + h, r);
  ctx.arcTo(x + w, y + h, x, y + h, r);
  ctx.arcTo(x, y + h, x, y, r);
  ctx.arcTo(x, y, x + w, y, r);
  ctx.fill();
}

function words(ctx, text, x, y, align, colour = palette.muted) {
  ctx.font = `400 12px system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif`;
  ctx.textAlign = align;
  ctx.textBaseline = "middle";
  ctx.lineWidth = 3;
  ctx.strokeStyle = palette.panel;
  ctx.strokeText(text, x, y);
  ctx.fillStyle = colour;
  ctx.fillText(text, x, y);
}

function badge(actor) { return actor.id === null ? "" : String(actor.id); }
