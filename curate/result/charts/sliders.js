// Sliders under the histograms of scores: each moves a limit, and shows what the filters would then drop. Counts are in the
// page, exact at each stop; nothing is estimated, and texts become text nodes, never markup.
"use strict";
(() => {
  const block = document.getElementById("limits-data");
  if (!block?.textContent.trim()) return;
  const data = JSON.parse(block.textContent);
  const SIGN = { at_least: "≥", at_most: "≤" };
  const SIDE = { at_least: "at least", at_most: "at most" };
  const written = (count) => count.toLocaleString("en");
  const many = (count) => `${written(count)} row${count === 1 ? "" : "s"}`;
  const sums = (steps) => { let sum = 0; return steps.map((step) => (sum += step)); };
  const short = (limit) => (Number.isInteger(limit) ? written(limit) : String(Number(limit.toPrecision(3))));

  function make(tag, given = {}, ...inside) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(given)) node.setAttribute(name, value);
    node.append(...inside);
    return node;
  }

  // A bar whose scores are partly outside is split where the limit is.
  class Bar {
    constructor(rect) {
      const at = (name) => Number(rect.getAttribute(name));
      Object.assign(this, { rect, low: Number(rect.dataset.low), high: Number(rect.dataset.high) });
      this.x = at("x");
      this.end = this.x + at("width");
      this.says = rect.querySelector("title");
      this.about = this.says?.textContent.replace(/, outside the limit$/, "");
    }

    place(value) {
      const part = (value - this.low) / (this.high - this.low);
      return this.x + Math.min(Math.max(part, 0), 1) * (this.end - this.x);
    }

    show(low, high) {
      const from = this.place(low), to = this.place(high);
      const out = this.high <= low || this.low >= high, whole = !out && to - from > this.end - this.x - 0.5;
      this.paint(this.rect, whole ? "kept" : "out");
      this.rect.classList.toggle("out", out);
      this.inner?.remove();
      if (!out && !whole) {
        this.inner = this.rect.cloneNode(true);
        this.inner.setAttribute("class", "part");
        this.inner.setAttribute("x", from);
        this.inner.setAttribute("width", Math.max(to - from, 0));
        this.paint(this.inner, "kept");
        this.rect.after(this.inner);
      }
      const said = this.about + (out ? ", outside the limit" : whole ? "" : ", partly outside the limit");
      for (const rect of [this.rect, this.inner]) {
        const title = rect?.querySelector("title");
        if (title) title.textContent = said;
      }
    }

    paint(rect, colour) { rect.setAttribute("fill", `var(--c-${colour})`); }
  }

  class Chart {
    constructor(svg) {
      this.svg = svg;
      this.bars = [...svg.querySelectorAll("rect.bin")].map((rect) => new Bar(rect));
      this.limits = [];
    }

    // The place between scores that are kept and those outside.
    edge(limit) {
      if (!limit.whole) return limit.value;
      return limit.side === "at_least" ? Math.ceil(limit.value) : Math.floor(limit.value) + 1;
    }

    x(edge) {
      const bar = this.bars.find((one) => edge < one.high);
      return bar ? bar.place(edge) : this.bars.at(-1).end;
    }

    show() {
      const edges = (side) => this.limits.filter((one) => one.side === side).map((one) => this.edge(one));
      const low = Math.max(-Infinity, ...edges("at_least")), high = Math.min(Infinity, ...edges("at_most"));
      for (const bar of this.bars) bar.show(low, high);
      for (const limit of this.limits) limit.draw(this.x(this.edge(limit)));
    }
  }

  class Limit {
    constructor(found, chart, number) {
      Object.assign(this, found, { chart, number, index: found.at, value: found.stops[found.at], said: "" });
      for (const name of ["outside", "alone"]) this[name] = sums(this[name]);
      this.declared = this.value;
      this.find();
      this.build();
      this.tell();
    }

    get moved() { return this.value !== this.declared; }

    find() {
      const own = [...this.chart.svg.querySelectorAll(".limit")].find((one) =>
        one.dataset.reason === this.reason && one.dataset.side === this.side);
      if (!own) return;
      this.group = own.parentNode;
      this.text = this.group.querySelector("text");
      this.first = this.text.cloneNode(true);
      this.line = own.localName === "line" ? own : null;
      this.at_x = this.line?.getAttribute("x1");
    }

    // Draw the limit where it is, and as a dotted line where the build has it.
    draw(x) {
      if (!this.group) return;
      this.group.querySelectorAll(".moved").forEach((one) => one.remove());
      this.text.toggleAttribute("hidden", this.moved);
      this.text.setAttribute("display", this.moved ? "none" : "inline");
      if (this.line) this.line.setAttribute("stroke-dasharray", this.moved ? "2 4" : "none");
      if (!this.moved) return;
      const top = Number(this.first.getAttribute("y")), width = this.chart.svg.viewBox.baseVal.width;
      const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
      const bottom = Number(this.chart.bars[0].rect.getAttribute("y")) + Number(this.chart.bars[0].rect.getAttribute("height"));
      const given = { class: "moved", x1: x, x2: x, y1: top + 3, y2: bottom, stroke: "var(--c-bad)", "stroke-width": 2 };
      for (const [name, value] of Object.entries(given)) line.setAttribute(name, value);
      const text = this.first.cloneNode(true);
      text.setAttribute("class", "moved");
      text.setAttribute("x", x);
      text.setAttribute("text-anchor", x < width / 3 ? "start" : x > (width * 2) / 3 ? "end" : "middle");
      text.textContent = `${SIGN[this.side]} ${short(this.value)}`;
      this.group.append(line, text);
    }

    build() {
      const id = `limit-${this.number}`, name = `${this.reason}, ${SIDE[this.side]}`;
      this.shown = make("output", { for: id });
      const label = make("label", { for: id }, `${name} `, this.shown);
      this.range = make("input", { type: "range", id, min: 0, max: this.stops.length - 1, step: 1 });
      this.box = make("input", { type: "number", step: "any", "aria-label": `${name}: number` });
      this.counts = make("p", { role: "status" });
      this.back = make("button", { type: "button", hidden: "" }, `Back to ${short(this.declared)}`);
      this.write = make("p", { class: "write" });
      this.node = make("div", { class: "limit-slider", role: "group", "aria-label": name },
        make("div", { class: "move" }, label, this.range, this.box), this.counts, this.write, this.back);
      if (data.sources.length > 1 && this.by.length) {
        this.table = make("div");
        this.sources = make("details", {}, make("summary", {}, "By source"), this.table);
        this.sources.addEventListener("toggle", () => this.list());
        this.node.append(this.sources);
      }
      this.range.addEventListener("input", () => this.to(Number(this.range.value)));
      this.box.addEventListener("change", () => this.typed());
      this.box.addEventListener("keydown", (event) => {
        const step = { ArrowUp: 1, ArrowDown: -1 }[event.key];
        if (!step) return;
        event.preventDefault();
        this.to(Math.min(Math.max(this.index + step, 0), this.stops.length - 1));
      });
      this.back.addEventListener("click", () => { this.range.focus(); this.to(this.at); });
      this.chart.svg.closest("figure").append(this.node);
    }

    to(index, value = this.stops[index], said = "") {
      Object.assign(this, { index, value, said });
      this.tell();
      this.chart.show();
    }

    // Counts are known at the stops: any other number is the nearest of them. Where all scores are whole and each has its
    // stop, a number between two drops what one of them does.
    typed() {
      const wanted = this.box.valueAsNumber, last = this.stops.length - 1;
      if (Number.isNaN(wanted)) { this.tell(); return; }
      if (wanted === this.value) return;
      const next = this.stops.findIndex((stop) => stop >= wanted);
      if (this.every && wanted >= this.stops[0] && wanted <= this.stops[last]) {
        this.to(this.side === "at_least" || this.stops[next] === wanted ? next : next - 1, wanted);
        return;
      }
      const above = next < 0 ? last : next, below = Math.max(above - 1, 0);
      const near = this.stops[above] - wanted < wanted - this.stops[below] ? above : below;
      const said = this.stops[near] === wanted ? "" : `Counts are known at ${this.stops[near]}, the stop nearest to ${wanted}. `;
      this.to(near, this.stops[near], said);
    }

    tell() {
      const at = this.index, was = this.at, now = short(this.declared);
      this.range.value = at;
      this.range.setAttribute("aria-valuetext", `${SIDE[this.side]} ${this.value}`);
      this.box.value = this.value;
      this.shown.textContent = short(this.value);
      const more = this.alone[at] - this.alone[was], moved = Math.abs(more);
      const would = more > 0 ? `${many(moved)} would leave` : more < 0 ? `${many(moved)} would come back` : "no row would leave or come back";
      const [outside, before] = [this.outside[at], this.outside[was]];
      const alone = (count) => (count ? written(count) : "none");
      if (this.moved) {
        this.counts.replaceChildren(`${this.said}${many(outside)} outside (${written(before)} at ${now}), ${alone(this.alone[at])} ` +
          `by this limit alone (${alone(this.alone[was])} at ${now}): `, make("b", {}, would), ".");
      } else {
        const own = outside ? `, ${alone(this.alone[at])} by this limit alone` : "";
        this.counts.replaceChildren(`${this.said}${outside ? many(outside) : "No row"} outside${own}.`);
      }
      this.back.hidden = !this.moved;
      const texts = [this.setting, this.recut].filter((one) => one && this.moved);
      this.write.replaceChildren(...texts.map(([head, tail]) => make("code", {}, `${head}${this.value}${tail}`)));
      this.write.hidden = !this.moved;
      if (this.moved && !texts.length) {
        this.write.replaceChildren("Change it in the mixture and build again: build.recut() cannot move it.");
      }
      this.list();
    }

    // Rows of each source that no other filter drops.
    list() {
      if (!this.sources?.open) return;
      const cells = (tag, values) => values.map((value, place) => make(place ? tag : "th", place ? {} : { scope: "row" }, value));
      const head = ["source", `at ${short(this.declared)}`, ...(this.moved ? [`at ${short(this.value)}`, "change"] : [])];
      const body = this.by.map(([source, steps]) => [source, sums(steps)]).filter(([, counts]) => counts[this.at] || counts[this.index]).map(([source, counts]) => {
        const now = counts[this.at], then = counts[this.index], more = then - now;
        const change = `${more > 0 ? "+" : more < 0 ? "−" : ""}${written(Math.abs(more))}`;
        return make("tr", {}, ...cells("td", [data.sources[source], written(now), ...(this.moved ? [written(then), change] : [])]));
      });
      this.table.replaceChildren(make("table", {},
        make("caption", {}, body.length ? "Rows by this limit alone" : "No row by this limit alone"),
        make("thead", {}, make("tr", {}, ...head.map((one) => make("th", { scope: "col" }, one)))), make("tbody", {}, ...body)));
    }
  }

  const charts = [...document.querySelectorAll("figure.score svg[data-step]")].map((svg) => new Chart(svg));
  let number = 0;
  for (const chart of charts) {
    const { step, score } = chart.svg.dataset;
    for (const found of data.limits) {
      if (found.step !== step || found.score !== score) continue;
      chart.limits.push(new Limit(found, chart, number += 1));
    }
  }
  for (const box of document.querySelectorAll(".small-charts")) {
    if (!box.querySelector(".limit-slider")) continue;
    box.prepend(make("p", { class: "note limits-note" },
      "Move a limit to see what it would drop: rows outside, and those by this limit alone, which no other filter drops. Counts are exact, " +
      "of the filters alone, each of one limit with all others as declared. Groups such as dedup and the sampling come after the filters: ", make("code", {}, "build.recut(...)"), " or ",
      make("code", {}, "curate recut"), " says what would change in the whole build."));
  }
})();
