// Groups: nodes drawn as one until they are opened. They can be made, named, taken apart and saved here.

const DOCUMENT = JSON.parse(document.getElementById("document")?.textContent ?? "null");

const groupOf = (id) => state.groups.find((group) => group.ids.includes(id));
const isClosed = (group) => Boolean(group) && state.group && !group.open;

/** Replace a group by others: none, or it with changes. */
function regroup(group, ...others) {
  update({ groups: state.groups.flatMap((each) => (each === group ? others : [each])) });
}

/** Make nodes one group; they leave those that they were in. */
function makeGroup(name, ids) {
  const wanted = new Set(ids);
  const rest = state.groups.map((group) => ({ ...group, ids: group.ids.filter((id) => !wanted.has(id)) })).filter((group) => group.ids.length);
  update({ groups: [...rest, { name, ids: [...wanted], role: false, open: false }], group: true, pins: new Set(), only: false, node: ids[0] });
}

/** What the panel says of the selected node's group: its name, its nodes, and what can be done with it. */
function groupPart(id) {
  const group = groupOf(id);
  if (!group) return [];
  const name = element("input", { id: "group-name", value: group.name, onchange: (event) => regroup(group, { ...group, name: event.target.value.trim() || group.name }) });
  const opened = isClosed(group);
  const open = element("button", { type: "button", id: "open-group", onclick: () => toggleGroup(group) }, opened ? "open" : "draw as one");
  const apart = element("button", { type: "button", id: "ungroup", onclick: () => regroup(group) }, "ungroup");
  return [
    element("div", { class: "group-part" },
      element("div", { class: "panel-buttons" }, element("label", {}, "group ", name), open, apart),
      element("p", {}, `${counted(group.ids.length, "node")}: `, ...group.ids.flatMap((each) => [toNode(each), " "]))),
  ];
}

/** Open a group that is drawn as one; draw one that isn't as one. */
function toggleGroup(group) {
  const closed = isClosed(group);
  if (!closed && !state.group) state.groups.forEach((each) => (each.open = true)); // this one alone
  Object.assign(state, { group: true });
  regroup(group, { ...group, open: closed });
}

/** Makes the pinned nodes a group. */
function groupPinned() {
  if (!state.pins.size) return [];
  const name = element("input", { id: "new-group", placeholder: "name", autocomplete: "off", "aria-label": "Name of the group" });
  const make = () => makeGroup(name.value.trim() || `group ${state.groups.length + 1}`, [...state.pins]);
  name.addEventListener("keydown", (event) => event.key === "Enter" && make());
  return [element("p", { class: "panel-buttons" }, name, element("button", { type: "button", id: "make-group", onclick: make }, "group the pinned"))];
}

/** The file with the groups that there are now, to be kept; where the page has not the whole file, the groups alone. */
function saveGroups() {
  const made = structuredClone(DOCUMENT.file);
  (made.qParams ?? made).supernodes = state.groups.map(({ name, ids }) => [name, ...ids.map((id) => DOCUMENT.ids[INDEX.get(id)])]);
  const address = URL.createObjectURL(new Blob([JSON.stringify(made)], { type: "application/json" }));
  element("a", { href: address, download: DOCUMENT.name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}
