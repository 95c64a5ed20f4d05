// What is shown: one state, kept in the address after '#', so that a link shows the same again.

const DATA = JSON.parse(document.getElementById("data").textContent);
const GRAPH = DATA.graph;
const MOST_DRAWN = 2000; // edges; more make every browser slow

const INDEX = new Map(GRAPH.nodes.map((node, i) => [node.id, i]));
const EDGES = GRAPH.edges.map(([src, dst, input, weight, influence], i) => ({ i, src, dst, input, weight, influence }));
const ACROSS = GRAPH.across.map(([from, to]) => ({ from, to })); // a head's keys and values, and where they are read
const ROLES = [...new Set(GRAPH.nodes.map((node) => node.role).filter((role) => role))];

const size = (weight) => (weight === null ? 0 : Math.abs(weight));
const ORDERS = {
  score: [...EDGES].sort((a, b) => size(b.weight) - size(a.weight) || b.influence - a.influence),
  influence: [...EDGES].sort((a, b) => b.influence - a.influence || size(b.weight) - size(a.weight)),
};

/** The file's groups, automatic ones, and the heads of each role in each span. */
function firstGroups() {
  const named = (GRAPH.groups ?? []).map(([name, ...ids]) => ({ name, ids, role: false, open: false }));
  const taken = new Set(named.flatMap((group) => group.ids));
  const heads = GRAPH.nodes.filter((node) => node.kind === "head" && node.role && !taken.has(node.id));
  const roles = d3.groups(heads, (node) => node.role + (node.span ? ` @ ${node.span}` : ""));
  return [...named, ...roles.map(([name, nodes]) => ({ name, ids: nodes.map((node) => node.id), role: true, open: false }))];
}

const packed = (groups) => JSON.stringify(groups.map(({ name, ids, role, open }) => [name, role ? 1 : 0, open ? 1 : 0, ...ids.map((id) => INDEX.get(id))]));
const FIRST_GROUPS = packed(firstGroups());

const FIRST = { ...GRAPH.first, group: Boolean(GRAPH.first.group) };
const state = { n: FIRST.n, by: FIRST.by, node: "", pins: new Set(), group: FIRST.group, groups: firstGroups(), only: false, find: "" };
const listeners = [];

/** Call `listener(changes)` after every change. */
function onChange(listener) {
  listeners.push(listener);
}

/** Change the state, the address and all that shows them. */
function update(changes) {
  Object.assign(state, changes);
  state.n = Math.max(1, Math.min(state.n, MOST_DRAWN, EDGES.length));
  history.replaceState(null, "", `#${permalink()}`);
  listeners.forEach((listener) => listener(changes));
}

/** The state as it stands in an address, without what is as at first. */
function permalink() {
  const words = new URLSearchParams();
  if (state.n !== FIRST.n) words.set("n", state.n);
  if (state.by !== FIRST.by) words.set("by", state.by);
  if (state.node) words.set("node", state.node);
  if (state.pins.size) words.set("pin", JSON.stringify([...state.pins]));
  if (state.group !== FIRST.group) words.set("group", state.group ? "1" : "0");
  if (packed(state.groups) !== FIRST_GROUPS) words.set("groups", packed(state.groups));
  if (state.only) words.set("only", "1");
  return words.toString() || "circuit";
}

/** The state that an address asks for; what it doesn't name, or names wrongly, is as at first. */
function stateOf(hash) {
  const words = new URLSearchParams(hash.replace(/^#/, ""));
  const n = Number.parseInt(words.get("n"), 10);
  return {
    n: n > 0 ? n : FIRST.n,
    by: words.get("by") in ORDERS ? words.get("by") : FIRST.by,
    node: INDEX.has(words.get("node")) ? words.get("node") : "",
    pins: new Set(namesIn(words.get("pin")).filter((name) => INDEX.has(name))),
    group: words.has("group") ? words.get("group") === "1" : FIRST.group,
    groups: words.has("groups") ? unpacked(words.get("groups")) : firstGroups(),
    only: words.get("only") === "1",
  };
}

/** The groups of an address: what isn't one is left out, and a node is in the first that names it. */
function unpacked(text) {
  const taken = new Set();
  const free = (i) => GRAPH.nodes[i] && !taken.has(i) && taken.add(i);
  return namesIn(text)
    .filter((group) => Array.isArray(group) && typeof group[0] === "string")
    .map(([name, role, open, ...places]) => ({ name, ids: places.filter(free).map((i) => GRAPH.nodes[i].id), role: role === 1, open: open === 1 }))
    .filter((group) => group.name && group.ids.length);
}

function namesIn(text) {
  try {
    const found = JSON.parse(text || "[]");
    return Array.isArray(found) ? found : [];
  } catch {
    return [];
  }
}

/** An element with text; texts are never read as HTML. */
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== null) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null).map((child) => (typeof child === "number" ? String(child) : child)));
  return made;
}

/** Three digits, with a sign. */
function signed(value) {
  if (value === null) return "not measured";
  const text = Math.abs(value) >= 1e5 || (value && Math.abs(value) < 1e-4) ? value.toExponential(2) : String(Number(value.toPrecision(3)));
  return (value > 0 ? "+" : "") + text.replace("-", "−");
}

const plain = (value) => (value === null ? "undefined" : signed(value).replace("+", ""));
const counted = (n, thing) => `${n.toLocaleString("en")} ${thing}${n === 1 ? "" : "s"}`;
