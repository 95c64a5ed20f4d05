// Attention patterns of a head on example prompts: a grid of destination by source, and the tokens under it.

/** The rows of a pattern, each weight in [0, 1]. */
function weightsOf(text, n) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  return Array.from({ length: n }, (_, i) => Array.from(bytes.subarray(i * n, (i + 1) * n), (byte) => byte / 255));
}

function showPatterns(place) {
  const patterns = DATA.patterns[place.dataset.patterns] ?? [];
  const choice = { pattern: 0, row: -1, weighted: false };
  const show = () => place.replaceChildren(...patternParts(patterns, choice, show));
  if (patterns.length) show();
}

function patternParts(patterns, choice, show) {
  const pattern = patterns[choice.pattern];
  const n = pattern.tokens.length;
  const row = choice.row < 0 || choice.row >= n ? n - 1 : choice.row;
  const weights = weightsOf(choice.weighted ? pattern.value_weighted : pattern.weights, n);
  const set = (changes) => {
    Object.assign(choice, changes);
    show();
  };
  const prompts = element("select", { "aria-label": "prompt", onchange: (event) => set({ pattern: Number(event.target.value), row: -1 }) });
  patterns.forEach((each, i) => prompts.append(element("option", { value: i, selected: i === choice.pattern }, `prompt ${each.prompt + 1}, ${each.side}`)));
  const weighted = element("input", { type: "checkbox", checked: choice.weighted, onchange: (event) => set({ weighted: event.target.checked }) });
  return [
    element("h4", {}, "Attention"),
    element("div", { class: "pattern-tools" }, prompts, pattern.value_weighted ? element("label", {}, weighted, " weighted by values") : null),
    patternGrid(pattern, weights, row, set),
    element("p", { class: "about" }, `From “${pattern.tokens[row]}” (${row + 1} of ${n}), which reads, darker for more; choose another token:`),
    patternTokens(pattern, weights, row, set),
    element("p", { class: "about" }, `Most of it: ${mostOf(pattern, weights[row])}.`),
  ];
}

function mostOf(pattern, weights) {
  const places = d3.range(weights.length).sort((a, b) => weights[b] - weights[a]).slice(0, 3);
  return places.filter((i) => weights[i] > 0).map((i) => `${pattern.tokens[i]} ${plain(Number(weights[i].toFixed(2)))}`).join(", ");
}

const inkOf = d3.interpolateRgb("#ffffff", "#0b4f94");

function patternGrid(pattern, weights, row, set) {
  const n = pattern.tokens.length;
  const cell = Math.max(2, Math.min(16, Math.floor(320 / n)));
  const canvas = element("canvas", { class: "pattern-view", width: n * cell, height: n * cell, role: "img", "aria-label": `Attention of ${n} by ${n} tokens; the chosen row is in the text below` });
  const pen = canvas.getContext("2d");
  weights.forEach((line, i) =>
    line.forEach((weight, j) => {
      pen.fillStyle = inkOf(weight);
      pen.fillRect(j * cell, i * cell, cell, cell);
    }),
  );
  pen.strokeStyle = "#b04a00";
  pen.strokeRect(0.5, row * cell + 0.5, n * cell - 1, cell - 1);
  const at = (event) => [event.offsetY, event.offsetX].map((place) => Math.max(0, Math.min(n - 1, Math.floor((place / canvas.clientWidth) * n))));
  canvas.addEventListener("pointermove", (event) => {
    const [i, j] = at(event);
    canvas.title = `${pattern.tokens[i]} → ${pattern.tokens[j]}: ${weights[i][j].toFixed(2)}`;
  });
  canvas.addEventListener("click", (event) => set({ row: at(event)[0] }));
  return canvas;
}

function patternTokens(pattern, weights, row, set) {
  const buttons = pattern.tokens.map((text, i) => {
    const button = element("button", { type: "button", "aria-pressed": String(i === row), title: weights[row][i].toFixed(2), onclick: () => set({ row: i }) }, element("bdi", {}, text));
    button.style.background = inkOf(weights[row][i]);
    button.style.color = weights[row][i] > 0.75 ? "#ffffff" : "#000000"; // at least 4.5:1 either way
    return button;
  });
  return element("div", { class: "pattern-tokens" }, ...buttons);
}
