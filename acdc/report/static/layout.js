// Where nodes stand: rows from the input to the logits and, where there are spans, a column for each.

const GAP = 14;
const COLUMN_GAP = GRAPH.spans.length > 6 ? 18 : 44;
const HEIGHT = ROLES.length ? 38 : 28; // a role is a second line
const LANE = 6; // the room of a line that passes a row
const WIDEST = 1.6; // canvases' widths that rows in one line may take; where they need several lines, each takes one
const [LEAST_ROOM, SPARE] = [150, 100]; // of a column's line; of each column, where there are many
const MOST_LANES = 30000; // with more, lines lead straight to where they end

/** The nodes and edges to draw: the first n of the order, of pinned nodes alone if so asked, heads of a role as one. */
function drawn() {
  let edges = ORDERS[state.by].slice(0, state.n);
  if (state.only && state.pins.size) {
    const pinned = new Set([...state.pins].map((name) => INDEX.get(name)));
    edges = EDGES.filter((edge) => pinned.has(edge.src) && pinned.has(edge.dst));
  }
  const used = new Set(edges.flatMap((edge) => [edge.src, edge.dst]));
  if (!EDGES.length) GRAPH.nodes.forEach((_, i) => used.add(i));
  for (const name of [state.node, ...state.pins]) if (INDEX.has(name)) used.add(INDEX.get(name));
  if (!(state.only && state.pins.size)) GRAPH.nodes.forEach((node, i) => (node.kind === "input" || node.kind === "logits") && used.add(i));
  const nodes = [...used].sort((a, b) => a - b).map((i) => ({ ...GRAPH.nodes[i], i, members: [GRAPH.nodes[i].id] }));
  const found = state.group ? grouped(nodes, edges) : { nodes, edges: edges.map((edge) => ({ ...edge, count: 1 })) };
  found.nodes.forEach((node) => (node.width = widthOf(node)));
  return found;
}

const shortened = (text, longest) => (text.length > longest ? `${text.slice(0, longest - 1)}…` : text);

/** Each group that isn't open as one node, if two of its nodes are shown; edges between the same nodes and inputs are summed. */
function grouped(nodes, edges) {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const place = new Map(nodes.map((node) => [node.i, node]));
  for (const [i, group] of state.groups.entries()) {
    const members = group.ids.map((id) => byId.get(id)).filter((node) => node).sort((a, b) => a.i - b.i);
    if (group.open || members.length < Math.min(2, group.ids.length)) continue;
    const middle = members[Math.floor((members.length - 1) / 2)];
    const label = group.role ? `${members.length} heads` : `${shortened(group.name, 30)} (${members.length})`;
    const own = group.role ? {} : { kind: "group", role: "" };
    const one = { ...middle, ...own, id: `group ${i}: ${group.name}`, label, group, isGroup: true, holds: null, members: members.map((member) => member.id) };
    members.forEach((member) => place.set(member.i, one));
  }
  const sums = new Map();
  for (const edge of edges) {
    const [src, dst] = [place.get(edge.src), place.get(edge.dst)];
    if (src === dst) continue;
    const key = `${src.id}\n${dst.id}\n${edge.input}`;
    const sum = sums.get(key) ?? { ...edge, weight: null, influence: 0, count: 0, from: src, to: dst };
    sum.weight = edge.weight === null ? sum.weight : (sum.weight ?? 0) + edge.weight;
    sum.influence += edge.influence;
    sum.count += 1;
    sums.set(key, sum);
  }
  return { nodes: [...new Set(place.values())], edges: [...sums.values()] };
}

/** What is written on a node: long labels, such as rules, stand whole in the hint and the panel. */
const shortLabel = (node) => shortened(node.label, node.isGroup ? 40 : 24);

function widthOf(node) {
  return Math.max(58, 7.4 * shortLabel(node).length + 18, 5.1 * node.role.length + 16);
}

/**
 * Give every node x and y, and every edge its ends and the places that it passes; the rows and columns that there are.
 * Layered as Sugiyama, Tagawa and Toda (1981): a line that passes a row has a narrow place in it, and goes around nodes.
 */
function layOut({ nodes, edges }) {
  const byIndex = new Map(nodes.flatMap((node) => node.members.map((name) => [INDEX.get(name), node])));
  edges.forEach((edge) => {
    edge.from = byIndex.get(edge.src);
    edge.to = byIndex.get(edge.dst);
  });
  const spans = spansIn(nodes);
  const whole = [...d3.group(nodes, rowOf)].sort((a, b) => a[0] - b[0]).map(([, row]) => row);
  const room = roomOf(whole, spans);
  const levels = whole.map((row) => wrapped(row, room));
  const rows = levels.flat();
  rows.forEach((row, r) => row.forEach((node) => (node.r = r)));
  const heads = levels.flatMap((lines, l) => lines.map(([first], i) => ({ label: i ? "" : first.row, layer: first.layer, l })));
  const links = withLanes(rows, edges);
  const columns = spans.length > 1 ? columnsOf(rows, spans) : [];
  order(rows, links, columns);
  const [left, right] = d3.extent(rows.flat().flatMap((place) => [place.x - place.width / 2, place.x + place.width / 2]));
  const step = Math.max(HEIGHT + 32, Math.min(HEIGHT + 100, ((right - left) * 0.7) / rows.length)); // fills a canvas
  for (const place of [...rows.flat(), ...heads.map((head, r) => Object.assign(head, { r }))]) place.y = place.r * step;
  return { rows: heads, columns, step, left, right };
}

const widthIn = (nodes) => d3.sum(nodes, (node) => node.width + GAP);

/** How wide a line of a column may be: so wide that all columns together fill a canvas, the narrow ones whole. */
function roomOf(rows, spans) {
  const canvas = document.getElementById("graph").getBoundingClientRect().width || 950;
  const widths = d3.sort((spans.length ? spans : [undefined]).map((span) => d3.max(rows, (row) => widthIn(row.filter((node) => columnOf(node) === span)))));
  if (d3.sum(widths) <= WIDEST * canvas) return Infinity;
  let left = Math.max(canvas, SPARE * widths.length + canvas / 2);
  for (const [i, width] of widths.entries()) {
    const share = left / (widths.length - i);
    if (width > share) return Math.max(LEAST_ROOM, share);
    left -= width;
  }
  return Infinity;
}

/** A row that is too wide as several lines, in each column the strongest nodes first. */
function wrapped(row, room) {
  const cells = d3.groups(row, columnOf).map(([, cell]) => cell.sort((a, b) => a.i - b.i));
  const lines = cells.map((cell) => Math.min(cell.length, Math.max(1, Math.ceil(widthIn(cell) / room))));
  const cut = (cell, n, i) => cell.slice(Math.ceil((cell.length * i) / n), Math.ceil((cell.length * (i + 1)) / n));
  return d3.range(Math.max(...lines)).map((i) => cells.flatMap((cell, c) => (i < lines[c] ? cut(cell, lines[c], i) : [])));
}

const strengthIn = (weight) => 0.05 + Math.sqrt(size(weight));

/** Put a lane into each row that a pair of nodes' lines pass; the links between neighbouring rows. */
function withLanes(rows, edges) {
  const pairs = d3.group(edges, (edge) => edge.from, (edge) => edge.to);
  const passed = d3.sum(edges, (edge) => Math.abs(edge.to.r - edge.from.r) - 1);
  const links = [];
  for (const [from, ends] of pairs) {
    for (const [to, between] of ends) {
      const lanes = [];
      for (let r = from.r + 1; passed < MOST_LANES && r < to.r; r += 1) {
        lanes.push({ r, from, span: columnOf(from), width: LANE * between.length - GAP });
      }
      lanes.forEach((lane) => rows[lane.r].push(lane));
      const chain = [from, ...lanes, to];
      const strength = d3.sum(between, (edge) => strengthIn(edge.weight));
      d3.pairs(chain, (a, b) => links.push([a, b, strength]));
      between.forEach((edge, i) => Object.assign(edge, { lanes, side: LANE * (i - (between.length - 1) / 2) }));
    }
  }
  return links;
}

const FIRST_OF_ROW = new Map();
GRAPH.nodes.forEach((node, i) => {
  const key = `${node.layer}\n${node.row}`;
  if (!FIRST_OF_ROW.has(key)) FIRST_OF_ROW.set(key, i);
});
const rowOf = (node) => FIRST_OF_ROW.get(`${node.layer}\n${node.row}`);

/** The column of a node or a lane: what is of no span, as the logits, stands in the last. */
const columnOf = (node) => node.span ?? GRAPH.spans.at(-1);

function spansIn(nodes) {
  const here = new Set(nodes.map(columnOf));
  return GRAPH.spans.filter((span) => here.has(span));
}

/** A column is as wide as its widest row. */
function columnsOf(rows, spans) {
  let left = 0;
  return spans.map((span) => {
    const width = Math.max(80, ...rows.map((row) => d3.sum(row.filter((node) => columnOf(node) === span), (node) => node.width + GAP)));
    const column = { span, left, width, middle: left + width / 2 };
    left += width + COLUMN_GAP;
    return column;
  });
}

/** Order rows by the mean place of their neighbours above, down the rows, and below, up again, then move nodes towards all of them, in their columns. */
function order(rows, links, columns) {
  const [above, below] = [0, 1].map(() => new Map(rows.flat().map((node) => [node, []])));
  for (const [from, to, strength] of links) {
    below.get(from).push([to, strength]);
    above.get(to).push([from, strength]);
  }
  const wish = (node, near) => (near.length ? d3.sum(near, ([other, strength]) => other.x * strength) / d3.sum(near, ([, strength]) => strength) : node.x);
  const nearOf = (node, sweep) => (sweep >= 16 ? [...above.get(node), ...below.get(node)] : (sweep % 2 ? below : above).get(node));
  const places = columns.length ? columns : [{ middle: 0 }];
  const cells = rows.flatMap((row) => places.map((column) => ({ column, nodes: columns.length ? row.filter((node) => columnOf(node) === column.span) : row })));
  for (const { column, nodes } of cells) nodes.forEach((node, i) => (node.x = column.middle + (i - (nodes.length - 1) / 2) * 90));
  for (const { nodes } of cells) nodes.filter((place) => place.from).forEach((lane) => (lane.x = lane.from.x));
  for (let sweep = 0; sweep < 24; sweep += 1) {
    for (const { column, nodes } of sweep % 2 ? [...cells].reverse() : cells) {
      const wishes = new Map(nodes.map((node) => [node, wish(node, nearOf(node, sweep))]));
      if (sweep < 16) nodes.sort((a, b) => wishes.get(a) - wishes.get(b));
      spread(nodes, wishes);
      if (columns.length) confine(nodes, column);
    }
  }
}

/** Push what sticks out of a column back into it; it has room for all. */
function confine(nodes, { left, width }) {
  let edge = left;
  for (const node of nodes) {
    node.x = Math.max(node.x, edge + (node.width + GAP) / 2);
    edge = node.x + (node.width + GAP) / 2;
  }
  edge = left + width;
  for (const node of [...nodes].reverse()) {
    node.x = Math.min(node.x, edge - (node.width + GAP) / 2);
    edge = node.x - (node.width + GAP) / 2;
  }
}

/** The nearest places to the wishes that keep order and gaps: neighbours that collide move as one block. */
function spread(row, wishes) {
  const blocks = [];
  for (const node of row) {
    blocks.push({ nodes: [node], width: node.width + GAP, middle: wishes.get(node) });
    while (blocks.length > 1) {
      const [a, b] = blocks.slice(-2);
      if (a.middle + a.width / 2 <= b.middle - b.width / 2) break;
      const count = a.nodes.length + b.nodes.length;
      // each node of b wishes to be where it is within the block, so its wish counts less the shift
      const start = ((a.middle - a.width / 2) * a.nodes.length + (b.middle - b.width / 2 - a.width) * b.nodes.length) / count;
      blocks.splice(-2, 2, { nodes: [...a.nodes, ...b.nodes], width: a.width + b.width, middle: start + (a.width + b.width) / 2 });
    }
  }
  for (const block of blocks) {
    let x = block.middle - block.width / 2;
    for (const node of block.nodes) {
      node.x = x + (node.width + GAP) / 2;
      x += node.width + GAP;
    }
  }
}
