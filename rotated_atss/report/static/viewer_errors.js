/* The list of errors, and steps from one error to the next. */
"use strict";

(function (namespace) {
  const BATCH_SIZE = 100; // number of entries that are added to the list at a time
  const MISSED = "missed";

  function kindOf(row) {
    return row.layer === "fn" ? MISSED : row.error || "false positive";
  }

  /** Describe a box as pairs of a name and a value: class, score, IoU, size, angle, state, kind of error. */
  function describe(boxes, row) {
    const number = (value) => (value === null ? "unknown" : value.toFixed(2));
    const lines = [["class", boxes.classes[row.classIndex]]];
    if (row.isDetection) lines.push(["score", number(row.score)], ["IoU", number(row.iou)]);
    lines.push(["size", `${row.length.toFixed(1)} x ${row.width.toFixed(1)} px`], ["angle", `${row.angle.toFixed(1)}\u00b0`]);
    const states = { gt: "detected", tp: "true positive", fp: "false positive", fn: "missed", ignored: "ignored" };
    lines.push([row.isDetection ? "detection" : "object", states[row.layer]]);
    if (row.error) lines.push(["error", row.error]);
    return lines;
  }

  /** The list. `onSelect(row)` is called for a click on an entry, `onPoint(row)` while it has the focus or the pointer. */
  class Errors {
    constructor(boxes, onSelect, onPoint) {
      Object.assign(this, { boxes, onSelect, onPoint, rows: [], selected: null });
      this._list = document.getElementById("error-list");
      this._more = document.getElementById("more-errors");
      this._kind = document.getElementById("error-kind");
      this._kind.append(namespace.element("option", { value: "" }, "all kinds"));
      this._kind.addEventListener("change", () => this.update());
      this._more.addEventListener("click", () => this._extend());
      this._fillKinds();
    }

    _fillKinds() {
      const counts = new Map();
      for (const row of this.boxes.rows) {
        if (row.layer === "fp" || row.layer === "fn") counts.set(kindOf(row), (counts.get(kindOf(row)) || 0) + 1);
      }
      for (const kind of [...counts.keys()].sort()) {
        this._kind.append(namespace.element("option", { value: kind }, `${kind} (${counts.get(kind)})`));
      }
    }

    /** Build the list again, after the filters have changed. */
    update() {
      const all = this.boxes.errors();
      this.rows = this._kind.value ? all.filter((row) => kindOf(row) === this._kind.value) : all;
      this._list.replaceChildren();
      this._extend();
      document.getElementById("error-count").textContent = String(this.rows.length);
    }

    _extend() {
      const start = this._list.childElementCount;
      for (const row of this.rows.slice(start, start + BATCH_SIZE)) this._list.append(this._entry(row));
      this._more.hidden = this._list.childElementCount >= this.rows.length;
      this.mark(this.selected);
    }

    _entry(row) {
      const { element } = namespace;
      const name = element("span", { class: "name" }, this.boxes.classes[row.classIndex]);
      const value = row.isDetection && row.score !== null ? row.score.toFixed(2) : "";
      const kind = element("span", { class: "kind " + row.layer }, kindOf(row));
      const button = element("button", { type: "button", "data-id": row.id }, kind, name, element("span", { class: "count" }, value));
      button.addEventListener("click", () => this.onSelect(row));
      button.addEventListener("focus", () => this.onPoint(row));
      button.addEventListener("pointerenter", () => this.onPoint(row));
      for (const event of ["blur", "pointerleave"]) button.addEventListener(event, () => this.onPoint(null));
      return element("li", {}, button);
    }

    /** Mark the entry of the selected box. */
    mark(row) {
      this.selected = row;
      for (const button of this._list.querySelectorAll("[aria-current]")) button.removeAttribute("aria-current");
      const button = row && this._list.querySelector(`[data-id="${row.id}"]`);
      if (!button) return;
      button.setAttribute("aria-current", "true");
      // Scroll the list only: scrollIntoView would move the page too.
      const panel = document.getElementById("panel");
      const from = button.getBoundingClientRect(), view = panel.getBoundingClientRect();
      if (from.top < view.top || from.bottom > view.bottom) panel.scrollTop += from.top - view.top - view.height / 2;
    }

    /** Return the error `step` entries after the selected one, wrapping around at the ends; null without errors. */
    next(step) {
      if (!this.rows.length) return null;
      const at = this.selected ? this.rows.indexOf(this.selected) : -1;
      if (at < 0) return this.rows[step > 0 ? 0 : this.rows.length - 1];
      return this.rows[(at + step + this.rows.length) % this.rows.length];
    }

    /** Return "error 3 of 27" for an entry of the list, else an empty string. */
    position(row) {
      const at = this.rows.indexOf(row);
      return at < 0 ? "" : `error ${at + 1} of ${this.rows.length}`;
    }
  }

  namespace.describe = describe;
  namespace.Errors = Errors;
})(window.RotatedAtss);
