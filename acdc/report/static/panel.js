// The panel beside the graph: the selected node's card, and its edges with their numbers.

const panel = document.getElementById("panel");
const MOST_LISTED = 25;
const HAS_INPUTS = EDGES.some((edge) => edge.input);

function showPanel() {
  const node = state.node ? GRAPH.nodes[INDEX.get(state.node)] : null;
  panel.replaceChildren(...(node ? ofNode(node) : ofNone()));
  panel.scrollTop = 0;
}

function ofNone() {
  const keys = [["Tab", "to the graph"], ["↑ ↓", "along the strongest edges"], ["← →", "in the row"], ["Enter", "select"], ["P", "pin"], ["O", "open or close a group"], ["Esc", "leave"], ["/", "find"]];
  return [
    element("h3", {}, "No node selected"),
    element("p", {}, "Select a node to see what it does, what it reads and who reads it; Shift pins it, a double click opens its group. Drag to move; Ctrl and the wheel, or the buttons, zoom."),
    element("p", {}, ...keys.flatMap(([key, words]) => [element("kbd", {}, key), ` ${words}  `])),
    ...pinned(),
  ];
}

function pinned() {
  if (!state.pins.size) return [];
  return [element("h3", {}, "Pinned"), element("p", {}, ...[...state.pins].flatMap((name) => [toNode(name), " "])), ...groupPinned()];
}

function toNode(name) {
  return element("button", { type: "button", class: "to-node", onclick: () => update({ node: name }) }, name);
}

function ofNode(node) {
  const cards = new Map([...document.querySelectorAll("#cards [data-card]")].map((each) => [each.dataset.card, each]));
  const card = cards.get(node.id) ?? cards.get(node.label); // a head's is of all its spans
  const isPinned = state.pins.has(node.id);
  const buttons = element(
    "div",
    { class: "panel-buttons" },
    element("button", { type: "button", id: "pin", "aria-pressed": String(isPinned), onclick: () => pin(node.id) }, isPinned ? "pinned" : "pin"),
    element("button", { type: "button", id: "close", onclick: () => update({ node: "" }) }, "close"),
  );
  const about = card ? card.cloneNode(true) : element("div", {}, element("h3", {}, node.id), element("p", {}, kindWords(node)));
  const patterns = [...about.querySelectorAll("[data-patterns]")]; // the longest part stands last
  patterns.forEach((place) => place.remove());
  patterns.forEach(showPatterns);
  return [...groupPart(node.id), buttons, about, edgeList(node, "in"), edgeList(node, "out"), ...patterns, ...pinned()];
}

function kindWords(node) {
  const words = { input: "The token embeddings.", logits: "The output.", head: `An attention head of layer ${node.layer}.`, mlp: `The MLP of layer ${node.layer}.` }[node.kind] ?? node.kind;
  return `${words} ${node.kind === "logits" ? "" : `Influence ${plain(node.influence)}: the share of what the logits read that comes through it.`}`;
}

/** All edges of the node, shown in the graph or not, the strongest first. */
function edgeList(node, way) {
  const [own, other] = way === "in" ? ["dst", "src"] : ["src", "dst"];
  const edges = ORDERS[state.by].filter((edge) => edge[own] === INDEX.get(node.id));
  if (!edges.length) return element("p", { class: "about" }, way === "in" ? "It reads nothing else." : "Nothing else reads it.");
  const rows = edges.slice(0, MOST_LISTED).map((edge) =>
    element(
      "tr",
      {},
      element("td", {}, toNode(GRAPH.nodes[edge[other]].id)),
      HAS_INPUTS ? element("td", {}, edge.input) : null,
      element("td", { class: "amount" }, signed(edge.weight)),
      element("td", { class: "amount" }, plain(edge.influence)),
    ),
  );
  const more = edges.length > rows.length ? ` (the strongest ${rows.length} of ${edges.length})` : "";
  const heads = [way === "in" ? "from" : "to", HAS_INPUTS ? "input" : null, GRAPH.words.label, "influence"].filter((head) => head);
  return element(
    "table",
    { class: "ways" },
    element("caption", {}, `${way === "in" ? "Reads" : "Is read by"}: ${counted(edges.length, "edge")}${more}`),
    element("thead", {}, element("tr", {}, ...heads.map((head, i) => element("th", { scope: "col", class: i >= heads.length - 2 ? "amount" : "" }, head)))),
    element("tbody", {}, ...rows),
  );
}

onChange((changes) => {
  if (["node", "pins", "by", "group", "groups"].some((name) => name in changes)) showPanel();
});
