// Sorting, filtering and highlighting of the report page. The page is readable without this script.
"use strict";

(() => {
  const all = (selector, root = document) => Array.from(root.querySelectorAll(selector));

  // ---- sortable tables ----

  const keyOf = (row, column) => row.cells[column].dataset.sort ?? "";

  function sortTable(table, column, numeric, direction) {
    const body = table.tBodies[0];
    const rows = Array.from(body.rows).map((row) => [row, keyOf(row, column)]);
    rows.sort(([, a], [, b]) => {
      if (a === "" || b === "") return (a === "") - (b === ""); // undefined values last
      const order = numeric ? a - b : a.localeCompare(b, undefined, { numeric: true });
      return direction === "ascending" ? order : -order;
    });
    body.append(...rows.map(([row]) => row));
  }

  function makeSortable(header) {
    const numeric = header.classList.contains("number");
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    header.append(button);
    button.addEventListener("click", () => {
      const first = numeric ? "descending" : "ascending";
      const second = numeric ? "ascending" : "descending";
      const direction = header.getAttribute("aria-sort") === first ? second : first;
      for (const other of all("[aria-sort]", header.closest("thead"))) other.removeAttribute("aria-sort");
      header.setAttribute("aria-sort", direction);
      sortTable(header.closest("table"), header.cellIndex, numeric, direction);
    });
  }

  // ---- filter of images ----

  function makeFilter() {
    const field = document.getElementById("image-filter");
    const output = document.getElementById("image-count");
    const rows = all("table.images tbody tr");
    const total = output.textContent;
    field.closest(".filter").hidden = false;
    field.addEventListener("input", () => {
      const text = field.value.trim().toLowerCase();
      let shown = 0;
      for (const row of rows) {
        row.hidden = !row.cells[0].dataset.sort.toLowerCase().includes(text);
        shown += !row.hidden;
      }
      output.textContent = text ? `${shown} of ${total}` : total;
    });
  }

  // ---- curves ----

  const COLORS = 6; // --color-0 to --color-5 of report.css, one per highlighted curve
  const number = (value) => value.toFixed(3);

  function makeCurves() {
    const data = JSON.parse(document.getElementById("curve-data").textContent);
    const chosen = new Map(); // series -> color
    const chooser = document.querySelector(".chooser");
    const reset = chooser.querySelector(".reset");
    const charts = all("svg.curves").map((svg) => makeChart(svg, data, toggle));

    function show() {
      for (const element of all("[data-series]")) {
        const color = chosen.get(Number(element.dataset.series));
        element.style.setProperty("--series", color === undefined ? "" : `var(--color-${color})`);
        if (element.localName === "button") element.setAttribute("aria-pressed", String(color !== undefined));
        else element.classList.toggle("chosen", color !== undefined);
      }
      reset.disabled = chosen.size === 0;
      for (const chart of charts) chart.raise(chosen);
    }

    function toggle(series) {
      if (!chooser.querySelector(`button[data-series="${series}"]`)) return; // the curve of all classes has no button
      if (!chosen.delete(series)) {
        if (chosen.size === COLORS) chosen.delete(chosen.keys().next().value); // the one chosen first
        const used = new Set(chosen.values());
        chosen.set(series, [...Array(COLORS).keys()].find((color) => !used.has(color)));
      }
      show();
    }

    chooser.hidden = false;
    for (const button of all("button[data-series]", chooser)) {
      button.addEventListener("click", () => toggle(Number(button.dataset.series)));
    }
    reset.addEventListener("click", () => { chosen.clear(); show(); });
  }

  function makeChart(svg, data, toggle) {
    const [left, top, right, bottom] = svg.dataset.plot.split(" ").map(Number);
    const [low, high] = svg.dataset.xRange.split(" ").map(Number);
    const marker = svg.querySelector(".marker");
    const readout = svg.parentElement.querySelector(".readout");
    const hint = "Point at a curve for its values, or focus the chart and use the arrow keys.";
    const paths = new Map(all(".curve:not(.baseline)", svg).map((path) => [Number(path.dataset.series), path]));
    const points = data.map((curve) => curve[svg.dataset.x].map((x, i) => [
      left + ((right - left) * (x - low)) / (high - low),
      bottom - (bottom - top) * curve[svg.dataset.y][i],
    ]));
    let series = data.length - 1; // the curve of all classes together
    let position = data[series].f1.indexOf(Math.max(...data[series].f1)); // the point of the highest F1
    readout.textContent = hint;
    svg.setAttribute("tabindex", "0");
    svg.setAttribute("role", "application");
    svg.setAttribute("aria-label", `${svg.getAttribute("aria-label")}. Arrow keys: values. Enter: highlight.`);

    function mark(newSeries, newPosition) {
      [series, position] = [newSeries, newPosition];
      const curve = data[series];
      const [x, y] = points[series][position];
      marker.setAttribute("cx", x);
      marker.setAttribute("cy", y);
      marker.setAttribute("visibility", "visible");
      for (const [index, path] of paths) path.classList.toggle("near", index === series);
      const name = document.createElement("b");
      name.textContent = curve.name;
      readout.replaceChildren(name, `: score ${number(curve.score[position])}, precision ` +
        `${number(curve.precision[position])}, recall ${number(curve.recall[position])}, F1 ${number(curve.f1[position])}`);
    }

    function clear() {
      marker.setAttribute("visibility", "hidden");
      for (const path of paths.values()) path.classList.remove("near");
      readout.textContent = hint;
    }

    function nearest(event) {
      const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
      let best = [Infinity, 0, 0];
      points.forEach((line, index) => line.forEach(([x, y], i) => {
        const distance = Math.hypot(x - point.x, y - point.y);
        const bonus = paths.get(index).classList.contains("chosen") ? 6 : 0; // a highlighted curve is preferred
        if (distance - bonus < best[0]) best = [distance - bonus, index, i];
      }));
      return best;
    }

    svg.addEventListener("pointermove", (event) => {
      const [distance, index, i] = nearest(event);
      if (distance < 40) mark(index, i);
      else if (document.activeElement !== svg) clear();
    });
    svg.addEventListener("pointerleave", () => document.activeElement === svg || clear());
    svg.addEventListener("click", (event) => {
      const [distance, index] = nearest(event);
      if (distance < 40) toggle(index);
    });
    svg.addEventListener("focus", () => mark(series, Math.min(position, points[series].length - 1)));
    svg.addEventListener("blur", clear);
    svg.addEventListener("keydown", (event) => {
      const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
      if (event.key === "Enter" || event.key === " ") toggle(series);
      else if (event.key === "Home") mark(series, 0);
      else if (event.key === "End") mark(series, points[series].length - 1);
      else if (event.key in steps) {
        const [across, along] = steps[event.key]; // to another curve, along the curve
        // Left and right follow the x axis. Points are in descending order of score: if x is the score, x falls along
        // the points; if x is the recall, it rises.
        const [first, last] = [points[series][0][0], points[series][points[series].length - 1][0]];
        const next = (series + across + data.length) % data.length;
        const target = across ? Math.round((position / points[series].length) * points[next].length)
          : position + along * (first <= last ? 1 : -1);
        mark(next, Math.max(0, Math.min(points[next].length - 1, target)));
      } else return;
      event.preventDefault();
    });
    return {
      raise(chosen) { // an SVG draws later elements on top
        for (const index of chosen.keys()) if (paths.has(index)) marker.before(paths.get(index));
      },
    };
  }

  // ---- navigation ----

  function followSections() {
    const links = new Map(all("nav a").map((link) => [link.hash.slice(1), link]));
    const visible = new Set();
    const observer = new IntersectionObserver((entries) => {
      for (const entry of entries) visible[entry.isIntersecting ? "add" : "delete"](entry.target.id);
      const current = [...links.keys()].find((id) => visible.has(id));
      if (current === undefined) return;
      for (const [id, link] of links) {
        if (id !== current) link.removeAttribute("aria-current");
        else if (!link.hasAttribute("aria-current")) {
          link.setAttribute("aria-current", "true");
          const list = link.closest("nav");
          if (list.scrollWidth > list.clientWidth) list.scrollTo({ left: link.offsetLeft - 40 });
        }
      }
    }, { rootMargin: "-80px 0px -60% 0px" }); // the upper part of the window
    for (const section of all("main > section")) observer.observe(section);
  }

  all("th[data-sortable]").forEach(makeSortable);
  if (document.getElementById("image-filter")) makeFilter();
  if (document.getElementById("curve-data")) makeCurves();
  followSections();
})();
