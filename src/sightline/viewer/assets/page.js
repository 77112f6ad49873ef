// State, controls and the loop that redraws when something changed.

const get = (id) => document.getElementById(id);
const canvases = { scene: get("scene"), picture: get("picture"), top: get("top"), chart: get("chart") };
const state = { frame: data.start, playing: false, elapsed: 0, orbit: null, home: "behind", dirty: true };

function cameraOf(frame) { return data.cameras[frame.c]; }

function cloud() {
  const found = [[0, 0, data.ground.height], [0, 0, 0]], step = Math.max(1, Math.floor(data.frames.length / 60));
  for (let k = 0; k < data.frames.length; k += step) {
    for (const person of data.frames[k].p) {
      for (const joint of placed(person).joints) if (joint && Math.hypot(...joint) <= data.reach) found.push(joint, [joint[0], joint[1], 0]);
    }
  }
  if (found.length < 3) for (const x of [data.grid.low[0], data.grid.high[0]]) for (const y of [data.grid.low[1], data.grid.high[1]]) found.push([x, y, 0]);
  return found;
}

function look(view) {
  const width = canvases.scene.clientWidth, height = canvases.scene.clientHeight, angle = Math.PI / 180;
  state.home = view;
  if (view === "camera") {
    // The eye in the camera's place; the panel shows all that the camera does.
    const [x, y, z] = data.ground.axis, far = Math.max(2, data.reach / 2), { size, halfTan } = data.cameras[0];
    const focal = 0.94 * Math.min(width / 2 / halfTan, height / 2 / (halfTan * size[1] / size[0]));
    state.orbit = {
      target: [x * far, y * far, z * far + data.ground.height], distance: far, azimuth: Math.atan2(-x, y),
      elevation: -Math.asin(Math.max(-1, Math.min(1, z))), fov: 2 * Math.atan(Math.min(width, height) / 2 / focal),
    };
  } else {
    const [azimuth, elevation] = { behind: [28, 20], side: [90, 12], above: [0, 89.9] }[view];
    state.orbit = orbitAround(cloud(), azimuth * angle, elevation * angle, width, height);
  }
  state.dirty = true;
}

function describe(frame, actors) {
  const when = frame.t === null ? "" : `  ·  ${frame.t.toFixed(2)} s`, count = frame.p.length;
  get("file").textContent = frame.f || data.title;
  get("moment").textContent = `frame ${frame.i}${when}  ·  ${count === 0 ? "nobody" : count === 1 ? "1 person" : `${count} people`}`;
  get("people").replaceChildren(...actors.map((actor) => {
    const row = document.createElement("li"), chip = document.createElement("b");
    const far = document.createElement("strong"), where = document.createElement("span");
    chip.style.background = actor.colour;
    chip.textContent = badge(actor) || "\u00a0";
    far.textContent = actor.distance === null ? "no 3D" : metresAbout(actor);
    where.textContent = actor.place ? ["x", "y", "z"].map((name, k) => `${name} ${signed(inCamera(actor.place)[k])}`).join("   ") : "";
    row.append(chip, far, where);
    return row;
  }));
  if (!count) get("people").innerHTML = "<li><span style='margin:0'>Nobody in this frame</span></li>";
}

function signed(value) { return (Math.round(value * 100) / 100 + 0).toFixed(2).replace("-", "\u2212"); }

function redraw() {
  const frame = data.frames[state.frame], actors = frame.p.map(placed);
  drawScene(canvases.scene, state.orbit, actors.filter((actor) => actor.place), cameraOf(frame));
  drawPicture(canvases.picture, state.frame, actors, cameraOf(frame));
  drawTop(canvases.top, state.frame, actors, cameraOf(frame));
  if (data.frames.length > 1) drawChart(canvases.chart, state.frame);
  describe(frame, actors);
}

function show(frame) {
  state.frame = Math.max(0, Math.min(data.frames.length - 1, frame));
  get("seek").value = state.frame;
  state.dirty = true;
}

function play(on) {
  state.playing = on && data.frames.length > 1;
  state.elapsed = 0;
  get("play").classList.toggle("playing", state.playing);
}

let before = null;
function tick(now) {
  if (state.playing && before !== null) {
    state.elapsed += (now - before) / 1000 * data.fps * Number(get("speed").value);
    const whole = Math.floor(state.elapsed);
    state.elapsed -= whole;
    if (whole > 0) show((state.frame + whole) % data.frames.length);
  }
  before = now;
  if (state.dirty) { state.dirty = false; redraw(); }
  requestAnimationFrame(tick);
}

function pan(dx, dy) {
  const orbit = state.orbit, view = eyeOf(orbit, canvases.scene.clientWidth, canvases.scene.clientHeight);
  const metre = orbit.distance / view.focal;
  orbit.target = orbit.target.map((v, k) => v - (dx * view.turn.right[k] + dy * view.turn.down[k]) * metre);
}

function zoom(factor) { state.orbit.distance = Math.min(Math.max(state.orbit.distance * factor, 0.3), 500); }

function turn(dx, dy) {
  state.orbit.azimuth -= dx * 0.006;
  state.orbit.elevation = Math.min(Math.max(state.orbit.elevation + dy * 0.006, -1.5), 1.5697);
}

const fingers = new Map();
canvases.scene.addEventListener("pointerdown", (event) => {
  canvases.scene.setPointerCapture(event.pointerId);
  fingers.set(event.pointerId, [event.clientX, event.clientY]);
});
canvases.scene.addEventListener("pointermove", (event) => {
  const old = fingers.get(event.pointerId);
  if (!old) return;
  const now = [event.clientX, event.clientY], dx = now[0] - old[0], dy = now[1] - old[1];
  if (fingers.size === 2) {
    const other = [...fingers].find(([id]) => id !== event.pointerId)[1];
    const apart = (p) => Math.max(10, Math.hypot(p[0] - other[0], p[1] - other[1]));
    zoom(apart(old) / apart(now));
    pan(dx / 2, dy / 2);
  } else if (event.buttons & 6 || event.shiftKey) pan(dx, dy);
  else turn(dx, dy);
  fingers.set(event.pointerId, now);
  state.home = null;
  state.dirty = true;
});
for (const name of ["pointerup", "pointercancel"]) canvases.scene.addEventListener(name, (event) => fingers.delete(event.pointerId));
canvases.scene.addEventListener("contextmenu", (event) => event.preventDefault());
canvases.scene.addEventListener("dblclick", () => look("behind"));
canvases.scene.addEventListener("wheel", (event) => {
  event.preventDefault();
  zoom(Math.exp(Math.max(-60, Math.min(60, event.deltaY)) * 0.003));
  state.home = null;
  state.dirty = true;
}, { passive: false });
document.querySelectorAll("nav button").forEach((button) => button.addEventListener("click", () => look(button.dataset.view)));
for (const name of ["spread", "others"]) {
  get(`layer-${name}`).hidden = !stated[name];
  get(name).addEventListener("change", (event) => { layers[name] = event.target.checked; state.dirty = true; });
}
if (data.spreadWords) get("layer-spread").title = data.spreadWords;
get("play").addEventListener("click", () => play(!state.playing));
get("seek").addEventListener("input", (event) => { play(false); show(Number(event.target.value)); });
document.addEventListener("keydown", (event) => {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (event.target.tagName === "SELECT") return;
  if (event.key === " " && event.target.tagName !== "BUTTON") { event.preventDefault(); play(!state.playing); }
  if (step && event.target.id !== "seek") { play(false); show(state.frame + step); }
});
window.addEventListener("resize", () => { if (state.home) look(state.home); state.dirty = true; });
if (backdrop) backdrop.addEventListener("load", () => { state.dirty = true; });

get("scale").textContent = `Scale: ${data.scale}`;
get("machinery").textContent = data.machinery;
get("floor").textContent = data.ground.words;
get("root").textContent = `camera to ${data.skeleton.rootName}; x, y, z as the camera sees (m)`;
get("transport").hidden = data.frames.length < 2;
get("seek").max = data.frames.length - 1;
document.querySelector(".sides .left").style.background = toned(data.first, "left");
document.querySelector(".sides .right").style.background = toned(data.first, "right");
look("behind");
show(data.start);
requestAnimationFrame(tick);
