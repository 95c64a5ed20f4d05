// What is shown: one state, kept in the address after '#', so that a link shows the same again.

const DATA = JSON.parse(document.getElementById("data").textContent);
const GRAPH = DATA.graph;
const MOST_DRAWN = 2000; // edges; more make every browser slow

const INDEX = new Map(GRAPH.nodes.map((node, i) => [node.id, i]));
const EDGES = GRAPH.edges.map(([src, dst, input, weight, influence], i) => ({ i, src, dst, input, weight, influence }));
const ACROSS = GRAPH.across.map(([from, to]) => ({ from, to })); // a head's keys and values, and where they are read
const ROLES = [...new Set(GRAPH.nodes.map((node) => node.role).filter((role) => role))];
const HAS_GROUPS = ROLES.length > 0 || GRAPH.nodes.some((node) => node.group);

const size = (weight) => (weight === null ? 0 : Math.abs(weight));
const ORDERS = {
  score: [...EDGES].sort((a, b) => size(b.weight) - size(a.weight) || b.influence - a.influence),
  influence: [...EDGES].sort((a, b) => b.influence - a.influence || size(b.weight) - size(a.weight)),
};

const state = { n: GRAPH.first.n, by: GRAPH.first.by, node: "", pins: new Set(), group: false, only: false, find: "" };
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
  if (state.n !== GRAPH.first.n) words.set("n", state.n);
  if (state.by !== GRAPH.first.by) words.set("by", state.by);
  if (state.node) words.set("node", state.node);
  if (state.pins.size) words.set("pin", JSON.stringify([...state.pins]));
  if (state.group) words.set("group", "1");
  if (state.only) words.set("only", "1");
  return words.toString() || "circuit";
}

/** The state that an address asks for; what it doesn't name, or names wrongly, is as at first. */
function stateOf(hash) {
  const words = new URLSearchParams(hash.replace(/^#/, ""));
  const n = Number.parseInt(words.get("n"), 10);
  return {
    n: n > 0 ? n : GRAPH.first.n,
    by: words.get("by") in ORDERS ? words.get("by") : GRAPH.first.by,
    node: INDEX.has(words.get("node")) ? words.get("node") : "",
    pins: new Set(namesIn(words.get("pin")).filter((name) => INDEX.has(name))),
    group: words.get("group") === "1" && HAS_GROUPS,
    only: words.get("only") === "1",
  };
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
