// The interactive graph: drawn as SVG, panned and zoomed by d3, walked through by keys.

const svg = d3.select("#graph");
const view = svg.append("g");
const layers = Object.fromEntries(["back", "across", "lines", "hits", "boxes"].map((name) => [name, view.append("g")]));
const hint = document.getElementById("hint");
const zoom = d3
  .zoom()
  .scaleExtent([0.05, 4])
  .filter((event) => (event.type === "wheel" ? event.ctrlKey || event.metaKey : !event.button)) // a plain wheel scrolls the page
  .on("zoom", ({ transform }) => view.attr("transform", transform));
svg.call(zoom).on("dblclick.zoom", null);

let shown = { nodes: [], edges: [] };
let places = { rows: [], columns: [], step: 0, left: 0, right: 0 };

const calm = matchMedia("(prefers-reduced-motion: reduce)");
const colorOf = (role) => (role ? `colored role-${Math.min(ROLES.indexOf(role), 8)}` : "");
const markOf = (node) => ({ true: " ✓", false: " ✗" })[node.holds] ?? "";

function draw() {
  shown = drawn();
  places = layOut(shown);
  const widest = d3.max(shown.edges, (edge) => size(edge.weight)) || 0;
  shown.edges.forEach((edge) => (edge.strength = strengthOf(edge, widest)));
  drawBack();
  drawAcross();
  drawEdges();
  drawNodes();
  mark();
}

/** From 0 to 1 by the logarithm of the size: weights span decades. */
function strengthOf(edge, widest) {
  if (!widest || !size(edge.weight)) return 0;
  return Math.max(0, 1 + Math.log10(size(edge.weight) / widest) / 2.5);
}

function drawBack() {
  const [left, right] = [places.left - 84, places.right + 16];
  const bands = layers.back.selectAll("rect").data(places.rows.filter((row) => row.layer % 2 === 0));
  bands.join("rect").attr("class", "band").attr("x", left).attr("width", right - left).attr("y", (row) => row.y - places.step / 2).attr("height", places.step);
  const labels = layers.back.selectAll("text.row-label").data(places.rows);
  labels.join("text").attr("class", "row-label").attr("x", left + 8).attr("y", (row) => row.y + 4).text((row) => (row.layer < 0 || row.label === "logits" ? "" : row.label));
  const bottom = (places.rows.at(-1)?.y ?? 0) + places.step / 2;
  const lines = layers.back.selectAll("line").data(places.columns.slice(1));
  lines.join("line").attr("class", "column-line").attr("x1", (c) => c.left - COLUMN_GAP / 2).attr("x2", (c) => c.left - COLUMN_GAP / 2).attr("y1", -places.step / 2).attr("y2", bottom);
  const heads = layers.back.selectAll("text.column-label").data(places.columns);
  heads.join("text").attr("class", "column-label").attr("text-anchor", "middle").attr("x", (c) => c.middle).attr("y", -places.step / 2 - 10).text((c) => c.span);
}

const portOf = (edge) => (edge.input && edge.to.kind === "head" ? { q: -0.28, k: 0, v: 0.28 }[edge.input] * edge.to.width : 0);

/** Dotted: what a head has read into a key or value at one span, on the way to where it is used. */
function drawAcross() {
  const byIndex = new Map(shown.nodes.flatMap((node) => node.members.map((name) => [INDEX.get(name), node])));
  const links = ACROSS.map(({ from, to }) => ({ from: byIndex.get(from), to: byIndex.get(to) })).filter(({ from, to }) => from && to && from !== to);
  layers.across
    .selectAll("path")
    .data(links)
    .join("path")
    .attr("class", "across")
    .attr("d", ({ from, to }) => `M${from.x},${from.y + HEIGHT / 2}C${from.x},${from.y + HEIGHT / 2 + 30} ${to.x},${to.y + HEIGHT / 2 + 30} ${to.x},${to.y + HEIGHT / 2}`);
}

const along = d3.line().curve(d3.curveMonotoneY);

/** Through the lanes; where there are none, one curve that is upright at both ends, or leads around from a group. */
function pathOf(edge) {
  const [x0, y0, x1, y1] = [edge.from.x, edge.from.y + HEIGHT / 2, edge.to.x + portOf(edge), edge.to.y - HEIGHT / 2];
  if (edge.to.r <= edge.from.r) return `M${x0},${y0}C${x0 + 150},${y0 + 60} ${x1 + 150},${y1 - 60} ${x1},${y1}`;
  if (edge.lanes.length) return along([[x0, y0], ...edge.lanes.map((lane) => [lane.x + edge.side, lane.y]), [x1, y1]]);
  const bend = Math.max(18, Math.min(90, Math.abs(y1 - y0) / 2));
  return `M${x0},${y0}C${x0},${y0 + bend} ${x1},${y1 - bend} ${x1},${y1}`;
}

const keyOf = (edge) => `${edge.from.id}\n${edge.to.id}\n${edge.input}`;

function drawEdges() {
  const ordered = [...shown.edges].sort((a, b) => a.strength - b.strength); // strong ones on top
  layers.lines
    .selectAll("path")
    .data(ordered, keyOf)
    .join("path")
    .order()
    .attr("class", (edge) => `edge ${edge.input} ${edge.weight < 0 ? "negative" : ""}`)
    .attr("d", pathOf)
    .attr("stroke-width", (edge) => (GRAPH.scored ? 0.7 + 4.8 * edge.strength ** 1.3 : 1.3))
    .style("opacity", (edge) => (GRAPH.scored ? 0.3 + 0.6 * edge.strength : 0.6));
  layers.hits
    .selectAll("path")
    .data(ordered.length <= 800 ? ordered : [], keyOf)
    .join("path")
    .order()
    .attr("class", "hit")
    .attr("d", pathOf)
    .on("pointermove", (event, edge) => showHint(event, edgeWords(edge)))
    .on("pointerleave", hideHint)
    .on("click", (_, edge) => update({ node: edge.to.members[0] }));
}

function edgeWords(edge) {
  const many = edge.count > 1 ? ` (${edge.count} edges, summed)` : "";
  const name = `${nameOf(edge.from)} → ${nameOf(edge.to)}${edge.input ? ` <${edge.input}>` : ""}${many}`;
  const weight = GRAPH.scored ? `\n${GRAPH.words.label} ${signed(edge.weight)}` : "";
  return `${name}${weight}\ninfluence ${plain(edge.influence)}`;
}

const nameOf = (node) => (node.isGroup ? `${node.group.name} (${counted(node.members.length, "node")})` : node.label + (node.span ? ` @ ${node.span}` : ""));

function nodeWords(node) {
  const [n_in, n_out] = [shown.edges.filter((edge) => edge.to === node).length, shown.edges.filter((edge) => edge.from === node).length];
  const role = node.role ? `\n${node.role}${{ true: ", its test holds", false: ", its test failed" }[node.holds] ?? ""}` : "";
  const members = node.isGroup ? `\n${node.members.join(", ")}` : "";
  return `${nameOf(node)}${role}${members}\n${n_in} in, ${n_out} out, of those shown`;
}

function drawNodes() {
  const boxes = layers.boxes.selectAll("g.node").data(shown.nodes, (node) => `${node.id}\n${node.isGroup ?? ""}`);
  const fresh = boxes.enter().append("g").attr("role", "button");
  for (const [name, kind] of [["ring", "rect"], ["body", "path"], ["name", "text"], ["role", "text"], ["pin", "text"]]) fresh.append(kind).attr("class", name);
  boxes.exit().remove();
  const all = fresh.merge(boxes).order();
  all
    .attr("class", (node) => `node ${node.kind} ${colorOf(node.role)} ${node.holds === false ? "failed" : ""}`)
    .attr("transform", (node) => `translate(${node.x},${node.y})`)
    .attr("aria-label", (node) => nodeWords(node).replaceAll("\n", ", "))
    .on("pointermove", (event, node) => showHint(event, nodeWords(node)))
    .on("pointerleave", hideHint)
    .on("click", (event, node) => (event.shiftKey ? pin(...node.members) : select(node)))
    .on("dblclick", (_, node) => groupOf(node.members[0]) && toggleGroup(groupOf(node.members[0])))
    .on("focus", (_, node) => reveal(node))
    .on("keydown", walk);
  all.select(".ring").attr("x", (node) => -node.width / 2 - 5).attr("y", -HEIGHT / 2 - 5).attr("width", (node) => node.width + 10).attr("height", HEIGHT + 10).attr("rx", 9);
  all.select(".body").attr("d", shapeOf);
  all.select(".name").attr("y", (node) => (node.role ? 1 : 5)).text(shortLabel);
  all.select(".role").attr("y", 13).text((node) => node.role + markOf(node));
  all.select(".pin").attr("x", (node) => node.width / 2 - 9).attr("y", -HEIGHT / 2 + 11).text("●");
  const entered = d3.rollup(shown.edges.filter((edge) => edge.input), (edges) => new Set(edges.map((edge) => edge.input)), (edge) => edge.to);
  const ports = all.selectAll("text.port").data((node) => [...(entered.get(node) ?? [])].map((input) => ({ input, to: node })));
  ports.join("text").attr("class", (port) => `port ${port.input}`).attr("x", portOf).attr("y", -HEIGHT / 2 - 3).text((port) => port.input);
}

/** Heads are boxes, MLPs hexagons, features octagons, errors slanted, groups a stack, input and logits pills: told apart without colour. */
function shapeOf({ kind, width }) {
  const [w, h] = [width / 2, HEIGHT / 2];
  if (kind === "mlp") return `M${-w},0L${10 - w},${-h}H${w - 10}L${w},0L${w - 10},${h}H${10 - w}Z`;
  if (kind === "feature") return `M${-w},${-h / 2}L${8 - w},${-h}H${w - 8}L${w},${-h / 2}V${h / 2}L${w - 8},${h}H${8 - w}L${-w},${h / 2}Z`;
  if (kind === "error") return `M${10 - w},${-h}H${w}L${w - 10},${h}H${-w}Z`;
  if (kind === "group") return `M${-w},${-h}H${w}V${h}H${-w}ZM${4 - w},${h}V${h + 3}H${w + 3}V${4 - h}H${w}V${h}Z`;
  const r = kind === "input" || kind === "logits" ? h : 6;
  return `M${r - w},${-h}H${w - r}a${r},${r} 0 0 1 ${r},${r}V${h - r}a${r},${r} 0 0 1 ${-r},${r}H${r - w}a${r},${r} 0 0 1 ${-r},${-r}V${r - h}a${r},${r} 0 0 1 ${r},${-r}Z`;
}

/** Show what is selected, pinned and found, without laying anything out again. */
function mark() {
  const isSelected = (node) => state.node !== "" && node.members.includes(state.node);
  const near = new Set(shown.edges.filter((edge) => isSelected(edge.from) || isSelected(edge.to)).flatMap((edge) => [edge.from, edge.to]));
  const wanted = state.find.trim().toLowerCase();
  const isFound = (node) => wanted !== "" && [node.id, node.label, node.role].some((text) => text.toLowerCase().includes(wanted));
  const any = shown.nodes.some(isSelected);
  const nodes = layers.boxes.selectAll("g.node");
  nodes.classed("selected", isSelected).classed("pinned", (node) => node.members.some((name) => state.pins.has(name))).classed("found", isFound);
  nodes.classed("faint", (node) => (any && !near.has(node) && !isSelected(node)) || (wanted !== "" && shown.nodes.some(isFound) && !isFound(node)));
  nodes.attr("aria-pressed", (node) => String(isSelected(node)));
  const stop = shown.nodes.find(isSelected) ?? shown.nodes[0];
  nodes.attr("tabindex", (node) => (node === stop ? 0 : -1)); // one stop of the tabulator; arrows go on from there
  const touches = (edge) => isSelected(edge.from) || isSelected(edge.to);
  layers.across.selectAll("path").classed("far", (link) => any && !touches(link)).classed("near", (link) => any && touches(link));
  layers.lines.selectAll("path").classed("near", (edge) => any && touches(edge)).classed("far", (edge) => any && !touches(edge));
}

function select(node) {
  update({ node: node.members.includes(state.node) && !node.isGroup ? "" : node.members[0] });
}

/** Pin nodes, or let them go if all of them are pinned. */
function pin(...names) {
  const pins = new Set(state.pins);
  const all = names.every((name) => pins.has(name));
  names.forEach((name) => (all ? pins.delete(name) : pins.add(name)));
  update({ pins });
}

/** Keys on a node: along the strongest edge out or in, beside it in its row, select, pin, open a group, leave. */
function walk(event, node) {
  const strongest = (edges, end) => d3.greatest(edges, (edge) => edge.strength + 1e-6 * edge.influence)?.[end];
  const row = shown.nodes.filter((other) => other.y === node.y).sort((a, b) => a.x - b.x);
  const keys = {
    ArrowDown: () => strongest(shown.edges.filter((edge) => edge.from === node), "to"),
    ArrowUp: () => strongest(shown.edges.filter((edge) => edge.to === node), "from"),
    ArrowRight: () => row[row.indexOf(node) + 1],
    ArrowLeft: () => row[row.indexOf(node) - 1],
  };
  if (event.key in keys) focusOn(keys[event.key]());
  else if (event.key === "Enter" || event.key === " ") select(node);
  else if (event.key === "p") pin(...node.members);
  else if (event.key === "o" && groupOf(node.members[0])) toggleGroup(groupOf(node.members[0]));
  else return;
  event.preventDefault();
}

function focusOn(node) {
  if (!node) return;
  const nodes = layers.boxes.selectAll("g.node");
  nodes.attr("tabindex", (other) => (other === node ? 0 : -1));
  nodes.filter((other) => other === node).node().focus();
}

/** Move the view if a node isn't in it. */
function reveal(node) {
  const { width, height } = svg.node().getBoundingClientRect();
  const at = d3.zoomTransform(svg.node());
  const [x, y] = at.apply([node.x, node.y]);
  if (x < 40 || y < 30 || x > width - 40 || y > height - 30) moved().call(zoom.translateTo, node.x, node.y);
}

const moved = () => (calm.matches ? svg : svg.transition().duration(250));

/** Show the whole graph, or its width where it would be too small to read. */
function fit() {
  const { width, height } = svg.node().getBoundingClientRect();
  const box = view.node().getBBox();
  if (!box.width || !width) return;
  const whole = Math.min(width / (box.width + 30), height / (box.height + 30), 1.5);
  const scale = Math.max(whole, Math.min(0.55, width / (box.width + 30)));
  const top = Math.max(15, (height - box.height * scale) / 2);
  const home = d3.zoomIdentity.translate(width / 2 - scale * (box.x + box.width / 2), top - scale * box.y).scale(scale);
  svg.call(zoom.transform, home);
}

function showHint(event, words) {
  const { left, top, width } = svg.node().getBoundingClientRect();
  hint.textContent = words;
  hint.hidden = false;
  const x = Math.min(event.clientX - left + 14, width - hint.offsetWidth - 6);
  hint.style.left = `${Math.max(4, x)}px`;
  hint.style.top = `${event.clientY - top + 16}px`;
}

function hideHint() {
  hint.hidden = true;
}

d3.select("#zoom-in").on("click", () => moved().call(zoom.scaleBy, 1.4));
d3.select("#zoom-out").on("click", () => moved().call(zoom.scaleBy, 1 / 1.4));
d3.select("#fit").on("click", fit);
d3.select("#full").on("click", () => document.querySelector(".stage").requestFullscreen().then(fit));

const REDRAWS = ["n", "by", "group", "groups", "only"]; // other changes only mark what is drawn
onChange((changes) => {
  const isDrawn = !state.node || shown.nodes.some((node) => node.members.includes(state.node));
  if (REDRAWS.some((name) => name in changes) || !isDrawn || ("pins" in changes && state.only)) draw();
  else mark();
});
