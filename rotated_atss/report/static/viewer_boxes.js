/* Boxes of an image: one table of objects and detections, filters, and search by position. */
"use strict";

window.RotatedAtss = window.RotatedAtss || {};

(function (namespace) {
  const LAYERS = ["gt", "tp", "fp", "fn", "ignored"];
  const LAYER_OF = { matched: "gt", missed: "fn", tp: "tp", fp: "fp", ignored: "ignored" };
  const CELLS_PER_SIDE = 64;

  /** A table of boxes, objects before detections. The `id` of a row, such as "o3" or "d12", is its name in links. */
  class Boxes {
    constructor(data) {
      this.width = data.pixels.width;
      this.height = data.pixels.height;
      this.classes = data.classes;
      this.rows = [];
      this._add(data.objects, "o", () => ({ score: null, iou: null, error: "" }));
      this._add(data.detections, "d", (columns, index) => ({
        score: columns.score[index],
        iou: columns.iou[index],
        error: columns.error[index] < 0 ? "" : data.errors[columns.error[index]],
      }));
      this.byId = new Map(this.rows.map((row) => [row.id, row]));
      this.corners = new Float64Array(this.rows.length * 8);
      this.bounds = new Float64Array(this.rows.length * 4); // circumscribed horizontal boxes, x1 y1 x2 y2
      this.rows.forEach((row, index) => this._setBounds(row, index));
      this.shown = new Uint8Array(this.rows.length).fill(1);
      this.shownCount = this.rows.length;
      this._seen = new Uint32Array(this.rows.length); // per box, the number of the last search that visited it
      this._search = 0; // number of the current search
      this._buildGrid();
      this.medianWidth = this.rows.map((row) => row.width).sort((a, b) => a - b)[this.rows.length >> 1] || 1;
    }

    _add(columns, prefix, detectionFields) {
      columns.polygon.forEach((polygon, index) => {
        const layer = LAYER_OF[columns.state[index]];
        this.rows.push({
          id: prefix + index,
          index: this.rows.length,
          isDetection: prefix === "d",
          polygon: polygon,
          classIndex: columns.class[index],
          layer: layer,
          length: columns.length[index],
          width: columns.width[index],
          angle: columns.angle[index],
          ...detectionFields(columns, index),
        });
      });
    }

    _setBounds(row, index) {
      const p = row.polygon;
      this.corners.set(p, index * 8);
      this.bounds.set(
        [
          Math.min(p[0], p[2], p[4], p[6]),
          Math.min(p[1], p[3], p[5], p[7]),
          Math.max(p[0], p[2], p[4], p[6]),
          Math.max(p[1], p[3], p[5], p[7]),
        ],
        index * 4
      );
    }

    /** Put each box into the cells of a grid that its bounds cover. */
    _buildGrid() {
      this._cell = Math.max(this.width, this.height) / CELLS_PER_SIDE;
      this._columns = Math.max(1, Math.ceil(this.width / this._cell));
      this._lines = Math.max(1, Math.ceil(this.height / this._cell));
      this._cells = Array.from({ length: this._columns * this._lines }, () => []);
      for (let index = 0; index < this.rows.length; index++) {
        const b = this.bounds.subarray(index * 4, index * 4 + 4);
        this._forCells(b[0], b[1], b[2], b[3], (cell) => cell.push(index));
      }
    }

    /** Call a function for each cell that a rectangle covers; parts outside the image belong to the cells at the border. */
    _forCells(left, top, right, bottom, call) {
      const column = (x) => Math.min(this._columns - 1, Math.max(0, Math.floor(x / this._cell)));
      const line = (y) => Math.min(this._lines - 1, Math.max(0, Math.floor(y / this._cell)));
      for (let y = line(top); y <= line(bottom); y++) {
        for (let x = column(left); x <= column(right); x++) call(this._cells[y * this._columns + x]);
      }
    }

    /** Return the indices of the shown boxes whose bounds overlap a rectangle, in ascending order. */
    within(left, top, right, bottom) {
      const indices = [];
      const search = ++this._search;
      const { bounds, shown, _seen } = this;
      this._forCells(left, top, right, bottom, (cell) => {
        for (const index of cell) {
          if (_seen[index] === search || !shown[index]) continue;
          _seen[index] = search;
          const at = index * 4;
          if (bounds[at] <= right && bounds[at + 2] >= left && bounds[at + 1] <= bottom && bounds[at + 3] >= top) {
            indices.push(index);
          }
        }
      });
      return indices.sort((a, b) => a - b);
    }

    /** Return the shown boxes that contain a point or have an edge within a tolerance, in ascending order of area. */
    at(x, y, tolerance) {
      const area = (row) => row.length * row.width;
      return this.within(x - tolerance, y - tolerance, x + tolerance, y + tolerance)
        .filter((index) => this._contains(index, x, y) || this._distance(index, x, y) <= tolerance)
        .map((index) => this.rows[index])
        .sort((a, b) => area(a) - area(b) || b.isDetection - a.isDetection);
    }

    _contains(index, x, y) {
      const c = this.corners;
      let inside = false;
      for (let i = 0, j = 6; i < 8; j = i, i += 2) {
        const xi = c[index * 8 + i], yi = c[index * 8 + i + 1], xj = c[index * 8 + j], yj = c[index * 8 + j + 1];
        if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) inside = !inside;
      }
      return inside;
    }

    /** Return the distance of a point to the nearest edge of a box. */
    _distance(index, x, y) {
      const c = this.corners;
      let nearest = Infinity;
      for (let i = 0, j = 6; i < 8; j = i, i += 2) {
        const x1 = c[index * 8 + j], y1 = c[index * 8 + j + 1];
        const dx = c[index * 8 + i] - x1, dy = c[index * 8 + i + 1] - y1;
        const square = dx * dx + dy * dy;
        const t = square ? Math.min(1, Math.max(0, ((x - x1) * dx + (y - y1) * dy) / square)) : 0;
        nearest = Math.min(nearest, Math.hypot(x - x1 - t * dx, y - y1 - t * dy));
      }
      return nearest;
    }

    /** Show only the boxes of some layers (set of names) and classes (flag per class) with a score of at least a value. */
    filter(layers, classes, lowestScore) {
      this.shownCount = 0;
      for (const row of this.rows) {
        const passes = layers.has(row.layer) && classes[row.classIndex];
        this.shown[row.index] = passes && (row.score === null || row.score >= lowestScore) ? 1 : 0;
        this.shownCount += this.shown[row.index];
      }
    }

    /** Return the shown errors: false positives by descending score, then missed objects by descending area. */
    errors() {
      const shown = this.rows.filter((row) => this.shown[row.index]);
      const fp = shown.filter((row) => row.layer === "fp").sort((a, b) => (b.score || 0) - (a.score || 0));
      const fn = shown.filter((row) => row.layer === "fn").sort((a, b) => b.length * b.width - a.length * a.width);
      return fp.concat(fn);
    }
  }

  namespace.LAYERS = LAYERS;
  namespace.Boxes = Boxes;
})(window.RotatedAtss);
