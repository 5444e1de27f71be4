// The latent explorer: a decoder's forward pass in plain JavaScript, and the sliders that move its latents.
// Models come as scripts that fill globalThis.labkitModels, since a page opened from file:// may fetch nothing.
"use strict";
(() => {
  const models = (globalThis.labkitModels ??= {});

  // ---- weights ------------------------------------------------------------------------------------------------
  function fromHalf(bits) {
    const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
    if (exponent === 0) return sign * fraction * 2 ** -24;
    return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  }

  function unpack(model) {
    const text = atob(model.weights), bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    if (model.dtype === "float32") return new Float32Array(bytes.buffer);
    return Float32Array.from(new Uint16Array(bytes.buffer), fromHalf);
  }

  // ---- layers: each takes and gives {data, shape: [C, H, W]} ----------------------------------------------------
  const size = (shape) => shape[0] * shape[1] * shape[2];

  function withBias(shape, bias) {
    const data = new Float32Array(size(shape)), area = shape[1] * shape[2];
    if (bias) for (let c = 0; c < shape[0]; c++) data.fill(bias[c], c * area, (c + 1) * area);
    return { data, shape };
  }

  // Tap by tap over the map's rows; places whose partner lies in the padding are left out.
  function conv2d(x, { w, b, out, kernel: k, stride: s, padding: p }) {
    const [channels, h, wide] = x.shape, side = (n) => Math.floor((n + 2 * p - k) / s) + 1;
    const y = withBias([out, side(h), side(wide)], b), [, yh, yw] = y.shape, target = y.data, source = x.data;
    const reach = (tap, n, ny) => // from the first place i with i · s + tap − p on the map up to the last
      [Math.max(0, Math.ceil((p - tap) / s)), Math.min(ny, Math.floor((n - 1 + p - tap) / s) + 1)];
    const rows = Array.from({ length: k }, (_, tap) => reach(tap, h, yh));
    const columns = Array.from({ length: k }, (_, tap) => reach(tap, wide, yw));
    for (let o = 0; o < out; o++) for (let c = 0; c < channels; c++)
      for (let ky = 0; ky < k; ky++) for (let kx = 0; kx < k; kx++) {
        const weight = w[((o * channels + c) * k + ky) * k + kx], left = columns[kx][0], right = columns[kx][1];
        for (let i = rows[ky][0]; i < rows[ky][1]; i++) {
          const from = (c * h + i * s + ky - p) * wide + kx - p, to = (o * yh + i) * yw;
          for (let j = left; j < right; j++) target[to + j] += weight * source[from + j * s];
        }
      }
    return y;
  }

  // Pixel by pixel: the sum over channels runs along the weights as they lie, which is fast, and skips ReLU's zeros.
  function transposed(x, { w, b, out, kernel: k, stride: s, padding: p, extra }) {
    const [channels, h, wide] = x.shape, side = (n) => (n - 1) * s - 2 * p + k + extra, taps = out * k * k;
    const y = withBias([out, side(h), side(wide)], b), [, yh, yw] = y.shape, patch = new Float64Array(taps);
    for (let i = 0; i < h; i++) for (let j = 0; j < wide; j++) {
      patch.fill(0);
      for (let c = 0; c < channels; c++) {
        const value = x.data[(c * h + i) * wide + j], at = c * taps;
        if (value !== 0) for (let n = 0; n < taps; n++) patch[n] += value * w[at + n];
      }
      for (let n = 0; n < taps; n++) {
        const row = i * s - p + (Math.floor(n / k) % k), column = j * s - p + (n % k);
        if (row >= 0 && row < yh && column >= 0 && column < yw)
          y.data[(Math.floor(n / (k * k)) * yh + row) * yw + column] += patch[n];
      }
    }
    return y;
  }

  const activations = {
    relu: (v) => (v > 0 ? v : 0),
    leaky: (v, slope) => (v > 0 ? v : slope * v),
    silu: (v) => v / (1 + Math.exp(-v)),
    sigmoid: (v) => 1 / (1 + Math.exp(-v)),
    tanh: Math.tanh,
  };

  function upsample(x, { factor: f }) { // by nearest neighbour
    const [c, h, w] = x.shape, H = h * f, W = w * f, data = new Float32Array(c * H * W);
    for (let n = 0; n < c * H; n++) for (let j = 0; j < W; j++)
      data[n * W + j] = x.data[Math.floor(n / f) * w + Math.floor(j / f)];
    return { data, shape: [c, H, W] };
  }

  const operations = {
    linear(x, { w, b, out }) {
      const n = x.data.length, y = withBias([out, 1, 1], b);
      for (let o = 0; o < out; o++) {
        let sum = 0;
        for (let i = 0; i < n; i++) sum += w[o * n + i] * x.data[i];
        y.data[o] += sum;
      }
      return y;
    },
    conv2d,
    transposed,
    affine: (x, { w, b }) => ({ data: x.data.map((v, i) => v * w[i] + b[i]), shape: x.shape }),
    coupling(x, { kept, scale, shift }) { // features of parity `kept` say how the others are scaled and shifted
      const seen = x.data.filter((_, i) => i % 2 === kept), half = { data: seen, shape: [seen.length, 1, 1] };
      const s = through(scale, half).data, t = through(shift, half).data, data = x.data.slice();
      for (let j = 0; j < s.length; j++) data[2 * j + 1 - kept] = data[2 * j + 1 - kept] * Math.exp(s[j]) + t[j];
      return { data, shape: x.shape };
    },
    reshape: (x, { shape }) => ({ data: x.data, shape }),
    activation: (x, { name, slope }) => ({ data: x.data.map((v) => activations[name](v, slope)), shape: x.shape }),
    upsample,
    residual(x, { body, shortcut }) {
      const y = through(body, x), z = through(shortcut, x);
      return { data: y.data.map((v, i) => v + z.data[i]), shape: y.shape };
    },
    norm(x, { w, b, groups, eps }) {
      const n = x.data.length / groups, area = x.shape[1] * x.shape[2], data = new Float32Array(x.data.length);
      for (let g = 0; g < groups; g++) {
        let mean = 0, variance = 0;
        for (let i = g * n; i < (g + 1) * n; i++) mean += x.data[i] / n;
        for (let i = g * n; i < (g + 1) * n; i++) variance += (x.data[i] - mean) ** 2 / n;
        const scale = 1 / Math.sqrt(variance + eps);
        for (let i = g * n; i < (g + 1) * n; i++) {
          const c = Math.floor(i / area);
          data[i] = (x.data[i] - mean) * scale * (w ? w[c] : 1) + (b ? b[c] : 0);
        }
      }
      return { data, shape: x.shape };
    },
  };

  const through = (layers, x) => layers.reduce((y, layer) => operations[layer.op](y, layer), x);

  // The layers with their weights as views of one array; [start, length] pairs stand for them in the file.
  function load(model) {
    const all = unpack(model), view = (at) => at && all.subarray(at[0], at[0] + at[1]);
    const bind = (layer) => {
      const bound = { ...layer, w: view(layer.w), b: view(layer.b) };
      for (const part of ["body", "shortcut", "scale", "shift"]) if (layer[part]) bound[part] = layer[part].map(bind);
      return bound;
    };
    const layers = model.layers.map(bind);
    return (z) => through(layers, { data: Float32Array.from(z), shape: [z.length, 1, 1] });
  }

  // ---- faces by number ------------------------------------------------------------------------------------------
  function latentsOf(seed, count, start) { // face 0 is the one to begin with, where a model has one
    if (seed === 0 && start) return start;
    let state = seed >>> 0;
    const uniform = () => { // mulberry32: the same number gives the same face in every browser
      state = (state + 0x6d2b79f5) | 0;
      let t = Math.imul(state ^ (state >>> 15), 1 | state);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return (((t ^ (t >>> 14)) >>> 0) + 0.5) / 4294967296;
    };
    return Array.from({ length: count }, () =>
      Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform()));
  }

  // Divided by the root so that a mixture of two standard normal latents has variance 1 again.
  const mix = (a, b, t) => a.map((v, i) => ((1 - t) * v + t * b[i]) / Math.hypot(1 - t, t));

  // ---- the page -------------------------------------------------------------------------------------------------
  function element(tag, attributes, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }

  let mounted = 0;
  function mount(root) {
    const key = root.dataset.model, model = models[key];
    if (!model) { root.textContent = `The model ${key} is not in this folder.`; return; }
    const decode = load(model), number = mounted++, id = (part) => `explorer-${number}-${part}`;
    const asked = model.conditions.map((c, i) => ({ ...c, index: i })).filter((c) => c.shown);
    const first = model.start ? 0 : 1, linked = "link" in root.dataset; // a notebook's address is not ours
    const named = () => (state.a ? `Face ${state.a}` : "The face to begin with");
    const fresh = () => ({ a: first, b: 2, t: 0, c: asked.map((c) => (c.value > 0 ? 1 : 0)), z: {} });
    const canvas = element("canvas", { role: "img", "aria-label": `A face drawn by ${model.title}` });
    const status = element("p", { class: "explorer-status", "aria-live": "polite" });
    const controls = element("div", { class: "explorer-controls" });
    const title = element("h2", { class: "explorer-title" }, model.title[0].toUpperCase() + model.title.slice(1));
    root.replaceChildren(title, element("div", { class: "explorer-picture" }, canvas, status), controls);
    let state = fresh(), waiting = false;

    function slider(part, label, min, max, step, moved) {
      const input = element("input", { type: "range", id: id(part), min, max, step }), shown = element("output", { for: id(part) });
      controls.append(element("div", { class: "explorer-row" }, element("label", { for: id(part) }, label), input, shown));
      input.addEventListener("input", () => { moved(Number(input.value)); later(`${label}: ${input.value}`); });
      return (value) => { input.value = value; shown.textContent = (Math.round(value / step) * step + 0).toFixed(step < 0.1 ? 2 : 1).replace("-", "−"); };
    }
    function button(label, pressed) {
      const made = element("button", { type: "button" }, label);
      made.addEventListener("click", () => later(pressed()));
      return made;
    }

    const knobs = model.latents.map(({ index, label }) =>
      [index, slider(`z${index}`, label, -3, 3, 0.1, (value) => { state.z[index] = value; })]);
    const boxes = asked.map((c, i) => {
      const box = element("input", { type: "checkbox", id: id(`c${i}`) });
      box.addEventListener("change", () => { state.c[i] = Number(box.checked); later(`${c.label}: ${box.checked ? "yes" : "no"}`); });
      return [box, element("label", { for: id(`c${i}`) }, c.label)];
    });
    if (boxes.length) controls.append(element("fieldset", {}, element("legend", {}, "Condition"),
      ...boxes.map(([box, label]) => element("span", {}, box, label))));
    const walk = slider("t", "from this face to another", 0, 1, 0.01, (value) => { state.t = value; });
    const anyone = () => Math.floor(Math.random() * 1e6);
    controls.append(element("div", { class: "explorer-buttons" },
      button("Another face", () => { state = { ...state, a: anyone(), b: anyone(), t: 0, z: {} }; return named(); }),
      button("Back to the start", () => { state = { ...fresh(), a: state.a, b: state.b }; return named(); })));

    const hash = () => {
      const moved = Object.entries(state.z).map(([i, v]) => `${i}:${v}`).join(",");
      return `#${new URLSearchParams({ m: key, a: state.a, b: state.b, t: state.t, c: state.c.join(""), z: moved })}`;
    };
    function read() { // a link may be written by anybody: what does not fit is left at the start
      const got = new URLSearchParams(location.hash.slice(1)), number = (name, otherwise) =>
        got.get(name) && Number.isFinite(Number(got.get(name))) ? Number(got.get(name)) : otherwise;
      if (got.get("m") !== key) return false;
      state = fresh();
      state.a = number("a", first); state.b = number("b", 2); state.t = Math.min(1, Math.max(0, number("t", 0)));
      if (new RegExp(`^[01]{${asked.length}}$`).test(got.get("c") ?? "")) state.c = [...got.get("c")].map(Number);
      for (const [i, v] of (got.get("z") || "").split(",").map((pair) => pair.split(":").map(Number)))
        if (model.latents.some(({ index }) => index === i) && Number.isFinite(v)) state.z[i] = Math.min(3, Math.max(-3, v));
      return true;
    }

    function draw() {
      const z = mix(latentsOf(state.a, model.latent_dim, model.start), latentsOf(state.b, model.latent_dim, model.start), state.t);
      for (const [i, v] of Object.entries(state.z)) z[i] = v;
      for (const [i, set] of knobs) set(z[i]);
      const condition = model.conditions.map((c) => c.value);
      asked.forEach((c, i) => { condition[c.index] = state.c[i] ? 1 : -1; boxes[i][0].checked = Boolean(state.c[i]); });
      walk(state.t);
      const { data, shape: [channels, h, w] } = decode([...z, ...condition]), image = new ImageData(w, h);
      for (let i = 0; i < h * w; i++) {
        for (let c = 0; c < 3; c++) image.data[4 * i + c] = 127.5 * (data[(channels === 3 ? c : 0) * h * w + i] + 1) + 0.5;
        image.data[4 * i + 3] = 255;
      }
      canvas.width = w; canvas.height = h;
      canvas.getContext("2d").putImageData(image, 0, 0);
    }
    function later(words) { // at most one picture a frame, however fast a slider moves
      status.textContent = words;
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => { waiting = false; draw(); if (linked) history.replaceState(null, "", hash()); });
    }
    if (linked) {
      addEventListener("hashchange", () => { if (read()) draw(); });
      read();
    }
    status.textContent = named();
    draw();
  }

  globalThis.labkitExplorer = { load, mount, latentsOf, mix };
  if (globalThis.document) {
    const all = () => document.querySelectorAll(".labkit-explorer:empty").forEach(mount); // those filled before stay as they are
    if (document.readyState === "loading") addEventListener("DOMContentLoaded", all);
    else all();
  }
})();
