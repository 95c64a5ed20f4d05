// Where nodes stand: rows from the input to the logits and, where there are spans, a column for each.

const GAP = 14;
const COLUMN_GAP = 44;
const HEIGHT = ROLES.length ? 38 : 28; // a role is a second line
const LANE = 6; // the room of a line that passes a row
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

const shortened = (text) => (text.length > 40 ? `${text.slice(0, 39)}…` : text);
const groupOf = (node) => node.group || (node.kind === "head" && node.role ? `${node.role}\n${node.span ?? ""}` : "");

/** Heads of one role, in one span, and supernodes as one node each; edges between the same nodes and inputs are summed. */
function grouped(nodes, edges) {
  const groups = d3.group(nodes.filter(groupOf), groupOf);
  const place = new Map(nodes.map((node) => [node.i, node]));
  const merged = [];
  for (const members of groups.values()) {
    if (members.length < 2) continue;
    const middle = members[Math.floor((members.length - 1) / 2)];
    const label = middle.group ? shortened(middle.group) : `${members.length} heads`;
    const id = middle.group ? `${middle.group} (${members.length} nodes)` : `${middle.role}${middle.span ? ` @ ${middle.span}` : ""}`;
    const one = { ...middle, id, label, isGroup: true, holds: null };
    one.members = members.map((member) => member.id);
    merged.push(one);
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

function widthOf(node) {
  return Math.max(58, 7.4 * node.label.length + 18, 5.1 * node.role.length + 16);
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
  const rows = [...d3.group(nodes, rowOf)].sort((a, b) => a[0] - b[0]).map(([, row]) => row);
  rows.forEach((row, r) => row.forEach((node) => (node.r = r)));
  const heads = rows.map((row) => ({ label: row[0].row, layer: row[0].layer }));
  const spans = spansIn(nodes);
  const links = withLanes(rows, edges);
  const columns = spans.length > 1 ? columnsOf(rows, spans) : [];
  order(rows, links, columns);
  const [left, right] = d3.extent(rows.flat().flatMap((place) => [place.x - place.width / 2, place.x + place.width / 2]));
  const step = Math.max(HEIGHT + 32, Math.min(HEIGHT + 100, ((right - left) * 0.7) / rows.length)); // fills a canvas
  for (const place of [...rows.flat(), ...heads.map((head, r) => Object.assign(head, { r }))]) place.y = place.r * step;
  return { rows: heads, columns, step, left, right };
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
        lanes.push({ r, span: columnOf(from), width: LANE * between.length - GAP });
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

/** Order rows by the mean place of their neighbours, down and up again, then move nodes towards them, in their columns. */
function order(rows, links, columns) {
  const neighbours = new Map(rows.flat().map((node) => [node, []]));
  for (const [from, to, strength] of links) {
    neighbours.get(from).push([to, strength]);
    neighbours.get(to).push([from, strength]);
  }
  const wish = (node) => {
    const near = neighbours.get(node);
    return near.length ? d3.sum(near, ([other, strength]) => other.x * strength) / d3.sum(near, ([, strength]) => strength) : node.x;
  };
  const places = columns.length ? columns : [{ middle: 0 }];
  const cells = rows.flatMap((row) => places.map((column) => ({ column, nodes: columns.length ? row.filter((node) => columnOf(node) === column.span) : row })));
  for (const { column, nodes } of cells) nodes.forEach((node, i) => (node.x = column.middle + (i - (nodes.length - 1) / 2) * 90));
  for (let sweep = 0; sweep < 24; sweep += 1) {
    for (const { column, nodes } of sweep % 2 ? [...cells].reverse() : cells) {
      const wishes = new Map(nodes.map((node) => [node, wish(node)]));
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
