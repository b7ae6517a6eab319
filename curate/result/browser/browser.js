// The browser of rows. Texts of the data become text nodes, never markup; the page's policy allows this script alone, and
// no request. The fragment of the address is the state: #row=SOURCE/ID and the filters that are set.
"use strict";
(() => {
  const root = document.getElementById("browser");
  const block = document.getElementById("rows-data");
  if (!root) return;
  const at = (selector) => root.querySelector(selector);
  const how = at(".how"), filters = at(".filters"), list = at(".rows-found"), shown = at(".shown"), count = at(".count");
  const dialog = at("dialog"), search = at("[name=q]"), keys = at("dialog input");
  const CHOICES = [...root.querySelectorAll("select")].map((select) => select.name);
  const RANGES = ["turns_from", "turns_to", "characters_from", "characters_to"];
  const NAMES = ["q", ...CHOICES, ...RANGES];
  const inputs = Object.fromEntries(NAMES.map((name) => [name, at(`[name=${name}]`)]));
  const AT_ONCE = 150;
  const state = Object.fromEntries(NAMES.map((name) => [name, ""]));
  let data, rows, found = [], listed = 0, current = null, unseen;

  // A table that is wider than the page is scrolled by keys too.
  const reach = () => {
    for (const wide of document.querySelectorAll(".wide")) {
      if (wide.scrollWidth > wide.clientWidth) wide.tabIndex = 0;
      else wide.removeAttribute("tabindex");
    }
  };
  window.addEventListener("resize", reach);
  window.addEventListener("load", () => setTimeout(reach, 100)); // after the rows: it lays the whole page out

  if (!block?.textContent.trim()) {
    how.textContent = "This page has no texts of rows: it was published without them, or the build folder has none.";
    return;
  }
  read(block.textContent.trim()).then(start, (error) => {
    how.textContent = `The rows of this page cannot be read (${error.name}). A browser from 2023 or later is needed.`;
  });

  async function read(text) {
    const packed = atob(text);
    const bytes = new Uint8Array(packed.length);
    for (let i = 0; i < packed.length; i += 1) bytes[i] = packed.charCodeAt(i);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return JSON.parse(await new Response(stream).text());
  }

  function start(read) {
    data = read;
    rows = data.rows;
    unseen = new RegExp(data.unseen, "gu");
    block.remove();
    rows.forEach((row, number) => { row.number = number; });
    const all = rows.length === data.total;
    how.textContent = all
      ? `All ${many(data.total, "row")} ${data.are}${data.every}.`
      : `${many(rows.length, "row")} of the ${data.total.toLocaleString("en")} ${data.are}: ${data.chosen}.`;
    root.classList.add("live");
    document.documentElement.classList.add("with-rows");
    listen();
    follow();
    const narrow = matchMedia("(max-width: 46rem)");
    const fold = () => { at(".fold").open = !narrow.matches || [...CHOICES, ...RANGES].some((name) => state[name] !== ""); };
    narrow.addEventListener("change", fold);
    fold();
  }

  function many(number, noun) {
    return `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
  }

  // Making elements.

  function make(tag, kind, ...children) {
    const element = document.createElement(tag);
    if (kind) element.className = kind;
    element.append(...children);
    return element;
  }

  // A text as nodes: characters that hide, reorder or forge text are boxes with their code.
  function visible(text) {
    const nodes = [];
    let place = 0;
    for (const match of String(text).matchAll(unseen)) {
      const code = match[0].codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
      const box = make("span", "unseen", `U+${code}`);
      box.title = data.names[match[0]] ?? "CONTROL CHARACTER";
      nodes.push(text.slice(place, match.index), box);
      place = match.index + match[0].length;
    }
    return [...nodes, String(text).slice(place)];
  }

  function coded(text) {
    return text.replace(unseen, (one) => `[U+${one.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}]`);
  }

  function marked(text, titles) {
    const mark = make("mark", "", ...visible(text));
    mark.title = coded(titles.join(", "));
    return mark;
  }

  function spans(parts) {
    return parts.flatMap((part) => {
      if (typeof part === "string") return visible(part);
      if (Array.isArray(part)) return [marked(part[0], part.slice(1))];
      return [" ", make("span", "gap", `… ${part.gap} …`), " "];
    });
  }

  // Filtering.

  function wordsOf(row) {
    if (row.words === undefined) {
      const texts = [row.id, row.source, row.match ?? "", ...(row.items ?? []).map((item) => item[0])];
      for (const part of [...row.parts, ...(row.before ?? [])]) {
        texts.push((part.text ?? []).map((span) => (typeof span === "string" ? span : Array.isArray(span) ? span[0] : "\n")).join(""));
        texts.push(part.role ?? "", ...(part.flags ?? []));
      }
      row.words = texts.join("\n").toLowerCase();
    }
    return row.words;
  }

  const stepsOf = (row) => [row.step, ...(row.edited ?? [])].filter(Boolean);
  const VALUES = {
    source: (row) => [row.source], fate: (row) => [row.fate], step: stepsOf,
    reason: (row) => (row.reason ? [row.reason] : []), language: (row) => (row.language ? [row.language] : []),
    change: (row) => [row.change], cause: (row) => [row.cause],
  };

  // Which filters a row fails: the count beside a choice is of rows that fail no other filter.
  function failed(row, wanted) {
    const fails = CHOICES.filter((name) => wanted[name] && !VALUES[name](row).includes(wanted[name]));
    for (const name of ["turns", "characters"]) {
      const from = wanted[`${name}_from`], to = wanted[`${name}_to`];
      if ((from !== "" && row[name] < Number(from)) || (to !== "" && row[name] > Number(to))) fails.push(name);
    }
    if (wanted.q && !wordsOf(row).includes(wanted.q.toLowerCase())) fails.push("q");
    return fails;
  }

  function filter() {
    const counts = Object.fromEntries(CHOICES.map((name) => [name, new Map()]));
    found = [];
    for (const row of rows) {
      const fails = failed(row, state);
      if (!fails.length) found.push(row);
      for (const name of CHOICES) {
        const others = fails.length === 0 || (fails.length === 1 && fails[0] === name);
        for (const value of VALUES[name](row)) counts[name].set(value, (counts[name].get(value) ?? 0) + Number(others));
      }
    }
    CHOICES.forEach((name) => choices(name, counts[name]));
    const set = NAMES.some((name) => state[name] !== "");
    count.textContent = set ? `${many(found.length, "row")} found of ${rows.length.toLocaleString("en")}` : many(rows.length, "row");
    at(".clear").disabled = !set;
    list.scrollTop = 0;
    list.querySelector("ol").replaceChildren();
    listed = 0;
    more();
    if (!found.length) list.querySelector("ol").append(make("li", "empty", "No row has all of this."));
  }

  function choices(name, counts) {
    const select = inputs[name];
    const order = { source: data.sources, step: data.steps.map((step) => step.label), fate: ["dropped", "kept"], change: ["entered", "left", "changed"] }[name];
    const values = order ? order.filter((value) => counts.has(value)) : [...counts.keys()].sort((a, b) => counts.get(b) - counts.get(a) || (a < b ? -1 : 1));
    const wanted = state[name];
    const usual = values.filter((value) => value === wanted || counts.get(value) || name === "source" || name === "fate" || name === "change");
    if (wanted && !usual.includes(wanted)) usual.push(wanted);
    const options = usual.map((value) => new Option(`${coded(value)} (${(counts.get(value) ?? 0).toLocaleString("en")})`, value));
    select.replaceChildren(new Option("all", ""), ...options);
    select.value = wanted;
    select.disabled = !usual.length;
  }

  // The list: rows are added as it is scrolled.

  function more(upTo = 0) {
    const until = Math.min(found.length, Math.max(listed + AT_ONCE, upTo));
    const items = [];
    for (; listed < until; listed += 1) items.push(item(found[listed]));
    list.querySelector("ol").append(...items);
  }

  function item(row) {
    const first = make("span", "first", make("span", "name", ...visible(row.id)), badge("span", row));
    const why = row.change ? `${row.source} · ${row.cause}` : row.step ? `${row.source} · ${row.step}: ${row.reason}` : [row.source, ...(row.edited ?? [])].join(" · ");
    const said = row.parts.find((part) => part.text && !part.folded && part.role !== "system");
    const begin = said ? said.text.map((span) => (typeof span === "string" ? span : Array.isArray(span) ? span[0] : " … ")).join("").slice(0, 90) : "";
    const link = make("a", "", first, make("span", "why", ...visible(why)), make("span", "said", ...visible(begin.replace(/\s+/g, " "))));
    link.href = address(row);
    link.tabIndex = -1;
    link.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
      event.preventDefault();
      show(row);
      link.focus();
    });
    row.link = link;
    return make("li", "", link);
  }

  // What became of a row: its fate in a build, or how it changed from one build to another.
  function badge(tag, row) {
    const what = row.change ?? row.fate;
    return make(tag, `fate ${what}`, what);
  }

  // One row.

  function show(row, { scroll = false } = {}) {
    for (const old of list.querySelectorAll("[aria-current]")) {
      old.removeAttribute("aria-current");
      old.tabIndex = -1;
    }
    current = row;
    const place = row ? found.indexOf(row) : -1;
    if (place >= listed) more(place + AT_ONCE);
    const link = place >= 0 ? row.link : found[0]?.link;
    if (link) link.tabIndex = 0;
    if (place >= 0) {
      row.link.setAttribute("aria-current", "true");
      const box = list.getBoundingClientRect(), own = row.link.getBoundingClientRect();
      if (own.top < box.top) list.scrollTop -= box.top - own.top;
      if (own.bottom > box.bottom) list.scrollTop += own.bottom - box.bottom;
    }
    shown.scrollTop = 0;
    shown.replaceChildren(...(row ? detail(row, place) : [make("p", "empty", "Choose a row.")]));
    highlight();
    remember();
    if (scroll) document.getElementById("rows").scrollIntoView();
  }

  function detail(row, place) {
    const title = make("h3", "", ...visible(`${row.source}/${row.id}`));
    const previous = button("←", "Previous row", place > 0, () => step(-1));
    const next = button("→", "Next row", place >= 0 ? place + 1 < found.length : found.length > 0, () => step(1));
    const copy = button("Copy link", "Copy a link to this row", true, () => copyLink(copy, row));
    const top = make("div", "top", title, make("div", "moves", previous, next, copy));
    const notes = place < 0 ? [make("p", "note warn", "The filters that are set leave this row out.")] : [];
    return [top, verdict(row), ...notes, facts(row), ...edits(row), ...chosen(row), ...items(row), ...chat(row), ...fields(row)];
  }

  function button(text, label, enabled, action) {
    const found = make("button", "", text);
    found.type = "button";
    found.title = label;
    if (text !== label) found.setAttribute("aria-label", label);
    found.disabled = !enabled;
    found.addEventListener("click", action);
    return found;
  }

  function verdict(row) {
    const line = make("p", "verdict", badge("strong", row));
    if (row.change) line.append(": ", ...visible(row.why));
    else if (row.step) line.append(" by ", make("strong", "", ...visible(row.step)), ": ", ...visible(row.reason));
    if (row.score !== undefined && row.bound !== undefined && row.score !== row.bound) {
      line.append(`, measured ${number(row.score)}, ${row.score > row.bound ? "over" : "under"} the bound ${number(row.bound)}`);
    }
    if (row.match) line.append(", matched “", ...visible(row.match), "”");
    return line;
  }

  function number(value) {
    return typeof value === "number" ? value.toLocaleString("en", { maximumSignificantDigits: 6 }) : String(value);
  }

  function facts(row) {
    const some = [many(row.turns, "turn"), many(row.characters, "character")];
    if (row.tokens !== undefined) some.push(many(row.tokens, "token"));
    if (row.language) some.push(row.language);
    if (row.split) some.push(`${row.split} split`);
    if (row.copies) some.push(`${row.copies} copies`);
    some.push(`${row.file}:${row.line}`);
    return make("p", "facts", ...visible(some.join(" · ")));
  }

  function edits(row) {
    const notes = [];
    if (row.edited) notes.push(make("p", "note", "Changed by ", make("strong", "", row.edited.join(", ")), ". The text before is not in the build folder: this is the text after."));
    if (row.stale) notes.push(make("p", "note", `Changed by ${row.stale.join(", ")} after it was measured: its hits are not highlighted.`));
    return notes;
  }

  function chosen(row) {
    if (!row.chosen) return [];
    const [place, of, why] = row.chosen;
    const line = make("p", "note", `Chosen ${number(place)} of ${number(of)} from its source`);
    why.forEach(([name, value], at) => {
      line.append(at ? ", " : ": ", ...visible(name), " ", make("strong", "", ...visible(number(value))));
    });
    return [line];
  }

  function items(row) {
    if (!row.items) return [];
    const line = make("p", "note", "Contains ");
    row.items.forEach(([name, words], place) => {
      line.append(place ? ", " : "", make("strong", "", ...visible(name)), words ? ` (${words} of the item)` : "");
    });
    return [line];
  }

  function chat(row) {
    const own = turns(row.kind, row.parts, row.fields ?? []);
    if (row.before) {
      const was = make("section", "was", make("h4", "", "before"), ...turns(row.kind, row.before, []));
      const is = make("section", "is", make("h4", "", "now"), ...own);
      return [make("div", "sides versions", was, is)];
    }
    if (!row.survivor) return own;
    const survivor = make("section", "survivor", make("h4", "", "kept in its place: ", ...visible(row.survivor.name), ` (${row.survivor.fate})`), ...(row.survivor.parts ?? []).map(turn));
    const known = rows.find((other) => `${other.source}/${other.id}` === row.survivor.name);
    if (known) {
      const link = make("a", "", "open it");
      link.href = address(known);
      survivor.append(make("p", "", link));
    }
    return [make("div", "sides", make("section", "", make("h4", "", "this row"), ...own), survivor)];
  }

  function turns(kind, parts, fields) {
    const sides = new Map();
    const before = [];
    for (const part of parts) {
      if (!part.side || part.side === "prompt") before.push(part);
      else if (part.side === "completion" && kind === "rated") sides.set(sides.size, [part]);
      else sides.set(part.side, [...(sides.get(part.side) ?? []), part]);
    }
    const scores = Object.fromEntries(fields.filter(([name]) => name.endsWith("_score")));
    const columns = [...sides].map(([side, parts]) => {
      const name = typeof side === "number" ? "" : side;
      const score = scores[`${side}_score`];
      const head = name ? [make("h4", "", name, score === undefined ? "" : ` · score ${number(score)}`)] : [];
      return make("section", name, ...head, ...parts.map(turn));
    });
    const own = before.map(turn);
    if (columns.length) own.push(make("div", "sides", ...columns));
    return own;
  }

  function turn(part) {
    if (part.left_out) return make("p", "gap", `… ${many(part.left_out, "turn")} left out …`);
    const [role, ...rest] = part.role.split(", ");
    const kind = ["user", "assistant", "tool", "system"].includes(role) ? role : role === "tools" ? "tool" : "";
    const who = [...visible(role), ...(rest.length ? [make("small", "", " · ", ...visible(rest.join(", ")))] : [])];
    for (const flag of part.flags ?? []) who.push(" ", marked(flag, [flag]));
    if (part.scores) who.push(make("div", "scores", ...part.scores.map(([name, value]) => make("span", "", ...visible(name), ` ${number(value)}`))));
    const code = rest.some((word) => word.startsWith("call")) || role === "tools";
    const text = make("div", code ? "text code" : "text", ...spans(part.text ?? []));
    text.dir = "auto";
    if (!part.text) text.append(make("span", "gap", "no text"));
    if (!part.folded) return make("div", `turn ${kind}`, make("div", "who", ...who), text);
    const size = make("span", "peek", peek(part.text ?? []));
    return make("details", `turn ${kind}`, make("summary", "who", ...who, size), text);
  }

  function peek(parts) {
    const text = parts.map((span) => (typeof span === "string" ? span : Array.isArray(span) ? span[0] : " … ")).join("");
    const one = coded(text).replace(/\s+/g, " ").trim();
    return one.length > 60 ? `${one.slice(0, 60)}…` : one;
  }

  function fields(row) {
    const own = (row.fields ?? []).filter(([name]) => !(row.kind === "preference" && name.endsWith("_score")));
    const tables = [["Measured", Object.entries(row.scores ?? {})], ["Also in the row", own]].filter(([, lines]) => lines.length);
    const found = tables.map(([name, lines]) => {
      const table = pairs(lines);
      return make("details", "more-of-row", make("summary", "who", name, make("small", "", ` · ${lines.length}`)), table);
    });
    if (row.apart) found.unshift(make("div", "more-of-row versions", make("h4", "", "beside its turns, before and now"), pairs(row.apart)));
    return found;
  }

  // A table of names, each with a value, or one before and one now.
  function pairs(lines) {
    return make("table", "more", make("tbody", "", ...lines.map(([label, ...values]) => {
      const head = make("th", "", ...visible(label));
      head.scope = "row";
      const kinds = values.length > 1 ? ["was", "is"] : [""];
      return make("tr", "", head, ...values.map((value, place) => make("td", kinds[place], ...(Array.isArray(value) ? spans(value) : [number(value)]))));
    })));
  }

  // Matches of the search are highlighted where the browser can do it without changing the page.
  function highlight() {
    if (!window.Highlight || !CSS.highlights) return;
    CSS.highlights.delete("found");
    const wanted = state.q.toLowerCase();
    if (!wanted) return;
    const ranges = [];
    const walk = document.createTreeWalker(shown, NodeFilter.SHOW_TEXT);
    while (walk.nextNode() && ranges.length < 500) {
      const text = walk.currentNode.data.toLowerCase();
      if (text.length !== walk.currentNode.data.length) continue;
      for (let place = text.indexOf(wanted); place >= 0; place = text.indexOf(wanted, place + wanted.length)) {
        const range = new Range();
        range.setStart(walk.currentNode, place);
        range.setEnd(walk.currentNode, place + wanted.length);
        ranges.push(range);
        walk.currentNode.parentElement.closest("details:not([open])")?.setAttribute("open", "");
      }
    }
    CSS.highlights.set("found", new Highlight(...ranges));
  }

  // State in the address.

  const encoded = (text) => encodeURIComponent(text.toWellFormed ? text.toWellFormed() : text).replaceAll("%2F", "/");

  function address(row, wanted = {}) {
    const parts = row ? [`row=${encoded(`${row.source}/${row.id}`)}`] : ["rows"];
    for (const name of NAMES) if (wanted[name]) parts.push(`${name}=${encoded(wanted[name])}`);
    return `#${parts.join("&")}`;
  }

  function remember() {
    try {
      history.replaceState(null, "", address(current, state));
    } catch (error) {
      if (error.name !== "SecurityError") throw error; // in a notebook cell the address is not ours
    }
  }

  function follow() {
    const wanted = {};
    for (const part of location.hash.slice(1).split("&")) {
      const place = part.indexOf("=");
      try {
        wanted[place < 0 ? part : part.slice(0, place)] = place < 0 ? "" : decodeURIComponent(part.slice(place + 1));
      } catch (error) {
        if (!(error instanceof URIError)) throw error; // a cut link
      }
    }
    const ours = "row" in wanted || "rows" in wanted;
    if (!ours && current) return;
    for (const name of NAMES) {
      state[name] = (ours && wanted[name]) || "";
      inputs[name].value = state[name];
    }
    filter();
    mark();
    const row = wanted.row && rows.find((one) => `${one.source}/${one.id}` === wanted.row);
    const old = location.hash;
    show(row || found[0] || null, { scroll: ours && (wanted.row || old.includes("&")) });
    if (wanted.row && !row) {
      shown.replaceChildren(make("p", "empty", ...visible(`${wanted.row} is not among the ${many(rows.length, "row")} on this page.`)));
    }
    if (!ours && old !== location.hash) restore(old);
  }

  function restore(old) {
    try {
      history.replaceState(null, "", old || location.pathname + location.search);
    } catch (error) {
      if (error.name !== "SecurityError") throw error;
    }
  }

  function mark() {
    for (const name of NAMES) inputs[name].classList.toggle("on", state[name] !== "");
  }

  function change() {
    for (const name of NAMES) state[name] = inputs[name].value.trim();
    filter();
    mark();
    show(found.includes(current) ? current : found[0] ?? null);
  }

  function clear() {
    for (const name of NAMES) inputs[name].value = "";
    change();
  }

  function step(by) {
    const place = found.indexOf(current);
    const next = found[place < 0 ? 0 : Math.min(found.length - 1, Math.max(0, place + by))];
    if (!next) return;
    const inList = list.contains(document.activeElement);
    const inRow = shown.contains(document.activeElement);
    show(next);
    if (inList) next.link.focus({ preventScroll: true });
    else if (inRow) shown.focus({ preventScroll: true });
  }

  async function copyLink(button, row) {
    const link = location.href.replace(/#.*/s, "") + address(row);
    try {
      await navigator.clipboard.writeText(link);
      button.textContent = "Copied";
    } catch {
      location.hash = address(row); // no clipboard here: the link is in the address bar
      button.textContent = "In the address";
    }
    setTimeout(() => { button.textContent = "Copy link"; }, 1600);
  }

  function listen() {
    let wait;
    filters.addEventListener("input", () => {
      clearTimeout(wait);
      wait = setTimeout(change, 60);
    });
    at(".clear").addEventListener("click", () => { clear(); search.focus(); });
    at(".help").addEventListener("click", () => dialog.showModal());
    at(".close").addEventListener("click", () => dialog.close());
    list.addEventListener("scroll", () => {
      if (list.scrollTop + list.clientHeight > list.scrollHeight - 600) more();
    });
    window.addEventListener("hashchange", follow);
    document.addEventListener("keydown", press);
  }

  function press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || dialog.open) return;
    const typing = event.target.closest?.("input, select, textarea");
    if (event.key === "Escape" && event.target === search) {
      event.preventDefault();
      if (search.value) { search.value = ""; change(); } else search.blur();
      return;
    }
    if (typing) return;
    const arrows = list.contains(event.target) ? { ArrowDown: 1, ArrowUp: -1 } : {};
    const by = arrows[event.key] ?? (keys.checked ? { j: 1, k: -1 }[event.key] : undefined);
    if (by) step(by);
    else if (keys.checked && event.key === "/") search.focus();
    else if (keys.checked && event.key === "?") dialog.showModal();
    else return;
    event.preventDefault();
  }
})();
