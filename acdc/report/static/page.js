// The page as a whole: its tools, its keys, its theme, and its start.

const tools = Object.fromEntries(["find", "by", "n", "shown", "group", "only", "permalink", "save"].map((name) => [name, document.getElementById(name)]));

function showTools() {
  tools.n.max = Math.min(EDGES.length, MOST_DRAWN);
  tools.n.value = state.n;
  tools.by.value = state.by;
  tools.group.checked = state.group;
  tools.group.disabled = !state.groups.length;
  tools.save.hidden = !DOCUMENT;
  tools.only.checked = state.only;
  tools.only.disabled = !state.pins.size && !state.only;
  const part = state.only && state.pins.size ? EDGES.filter((edge) => [edge.src, edge.dst].every((i) => state.pins.has(GRAPH.nodes[i].id))).length : state.n;
  tools.shown.textContent = `${part.toLocaleString("en")} of ${GRAPH.n_edges.toLocaleString("en")} shown`;
  tools.permalink.href = `#${permalink()}`;
  document.getElementById("at-size").textContent = keptWords();
}

function showLegend() {
  const line = (style, words) => legendEntry(`M1,6H27`, `edge ${style}`, words);
  const box = (role, i) => legendEntry("M2,1H26V11H2Z", `body`, role, `node colored role-${Math.min(i, 8)}`);
  const inputs = { q: "query input", k: "key input", v: "value input", "": "input of an MLP or the logits" };
  const present = Object.keys(inputs).filter((input) => EDGES.some((edge) => edge.input === input));
  const negative = EDGES.some((edge) => edge.weight < 0) ? [line("negative", `${GRAPH.words.negative ?? "negative"}`)] : [];
  const across = ACROSS.length ? [legendEntry("M1,6H27", "across", "a head's keys and values, read at later spans")] : [];
  const shapes = { feature: "a feature", error: "an error: what a dictionary leaves over", input: "a token" };
  const kinds = Object.keys(shapes).filter((kind) => GRAPH.nodes.some((node) => node.kind === "feature" || node.kind === "error") && GRAPH.nodes.some((node) => node.kind === kind));
  const shape = (kind) => legendEntry(shapeOf({ kind, width: 26 }), "body", shapes[kind], `node ${kind}`, "-14 -15 28 30");
  const group = state.groups.some((each) => !each.role) ? [legendEntry(shapeOf({ kind: "group", width: 26 }), "body", "a group of nodes", "node group", "-14 -15 32 34")] : [];
  const width = GRAPH.scored ? [document.createTextNode(`width: size of ${GRAPH.words.label}, by logarithm; lines lead downwards${state.groups.length ? ", between groups upwards too" : ""}`)] : [document.createTextNode("lines lead downwards; edges have no score")];
  document.getElementById("legend").replaceChildren(...present.map((input) => line(input, inputs[input])), ...negative, ...across, ...kinds.map(shape), ...group, ...ROLES.map(box), ...width);
}

function legendEntry(path, style, words, around = "", box = "0 0 28 12") {
  const entry = element("span", {}, words);
  const picture = d3.create("svg").attr("width", 28).attr("height", 12).attr("viewBox", box).attr("aria-hidden", "true");
  picture.append("g").attr("class", around).append("path").attr("class", style).attr("d", path).attr("stroke-width", 2);
  entry.prepend(picture.node());
  return entry;
}

tools.n.addEventListener("input", () => update({ n: Number(tools.n.value) }));
tools.by.addEventListener("change", () => update({ by: tools.by.value }));
tools.group.addEventListener("change", () => update({ group: tools.group.checked }));
tools.save.addEventListener("click", saveGroups);
tools.only.addEventListener("change", () => update({ only: tools.only.checked }));
tools.find.addEventListener("input", () => {
  update({ find: tools.find.value });
  const found = GRAPH.nodes.find((node) => node.id === tools.find.value.trim());
  if (found) update({ node: found.id });
});
document.getElementById("tools").addEventListener("submit", (event) => event.preventDefault());
GRAPH.nodes.forEach((node) => document.getElementById("node-names").append(element("option", { value: node.id })));

document.addEventListener("keydown", (event) => {
  const typing = event.target.matches("input:not([type=range]):not([type=checkbox]), select, textarea");
  if (event.key === "Escape") {
    tools.find.value = "";
    update({ node: "", find: "" });
  } else if (event.key === "/" && !typing) {
    event.preventDefault();
    tools.find.focus();
  }
});

document.getElementById("theme").addEventListener("click", () => {
  const isDark = (document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  document.documentElement.dataset.theme = isDark ? "light" : "dark";
});

window.addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((each) => (each.open = true)));
window.addEventListener("resize", drawChart);
window.addEventListener("hashchange", () => {
  if (location.hash.includes("=")) update({ ...state, ...stateOf(location.hash) });
});

onChange(showTools);
onChange((changes) => "groups" in changes && showLegend());
document.documentElement.classList.add("scripted");
showLegend();
Object.assign(state, stateOf(location.hash));
draw();
fit();
showPanel();
showTools();
drawChart();
