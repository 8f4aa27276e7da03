/* Filters of the panel: layers, captions, lowest score and classes. The next image has the same filters. */
"use strict";

(function (namespace) {
  const STORE = "rotated-atss viewer filters";

  function element(tag, attributes, ...children) {
    const created = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) created.setAttribute(name, value);
    created.append(...children);
    return created;
  }

  /** Return a picture of a layer's line: color, width and dash. */
  function lineSample(style) {
    const namespaceUri = "http://www.w3.org/2000/svg";
    const svg = document.createElementNS(namespaceUri, "svg");
    svg.setAttribute("viewBox", "0 0 34 12");
    svg.setAttribute("class", "sample");
    svg.setAttribute("aria-hidden", "true");
    const line = document.createElementNS(namespaceUri, "path");
    line.setAttribute("d", "M3 6H31");
    line.setAttribute("stroke", style.color);
    line.setAttribute("stroke-width", style.width);
    line.setAttribute("stroke-dasharray", style.dash.join(" "));
    svg.append(line);
    return svg;
  }

  /** Return the filters that an earlier page stored; an empty object if there are none or if storage is disabled. */
  function load() {
    try {
      return JSON.parse(sessionStorage.getItem(STORE)) || {};
    } catch {
      return {};
    }
  }

  function save(value) {
    try {
      sessionStorage.setItem(STORE, JSON.stringify(value));
    } catch {
      /* the filters of the next image are the default ones */
    }
  }

  /** The filters. `onChange(panel)` is called after every change and once the filters are built. */
  class Panel {
    constructor(boxes, onChange) {
      this.boxes = boxes;
      this.onChange = onChange;
      const stored = load();
      const isArray = Array.isArray(stored.hiddenLayers) && Array.isArray(stored.hiddenClasses);
      this._hiddenLayers = new Set(isArray ? stored.hiddenLayers : []);
      this._hiddenClasses = new Set(isArray ? stored.hiddenClasses : []); // names, also of classes not in this image
      this.captions = stored.captions !== false;
      this._score = document.getElementById("score");
      this._score.value = Number.isFinite(stored.score) ? stored.score : 0;
      this._score.addEventListener("input", () => this.apply());
      this._layerInputs = this._buildLayers();
      this._captionInput = this._buildCaptions();
      this._classInputs = this._buildClasses();
      this.apply();
    }

    get lowestScore() {
      return Number(this._score.value);
    }

    _row(input, name, beforeName, afterName) {
      return element("label", { class: "row" }, input, ...beforeName, element("span", { class: "name" }, name), afterName);
    }

    _checkbox(checked) {
      const input = element("input", { type: "checkbox" });
      input.checked = checked;
      input.addEventListener("input", () => this.apply());
      return input;
    }

    _buildLayers() {
      const place = document.getElementById("layers");
      return namespace.LAYERS.map((layer, index) => {
        const style = namespace.STYLES[layer];
        const input = this._checkbox(!this._hiddenLayers.has(layer));
        input.id = "layer-" + layer;
        const count = element("span", { class: "count" });
        const row = this._row(input, style.name, [lineSample(style), element("kbd", {}, String(index + 1))], count);
        place.append(row);
        return { layer, input, count };
      });
    }

    _buildCaptions() {
      const input = this._checkbox(this.captions);
      input.id = "captions";
      const row = this._row(input, "Captions of up to 40 boxes", [element("kbd", {}, "c")], "");
      document.getElementById("layers").append(row);
      return input;
    }

    _buildClasses() {
      const present = new Set(this.boxes.rows.map((row) => row.classIndex));
      const place = document.getElementById("classes");
      const inputs = [...present].sort((a, b) => a - b).map((index) => {
        const input = this._checkbox(!this._hiddenClasses.has(this.boxes.classes[index]));
        const count = element("span", { class: "count" });
        place.append(this._row(input, this.boxes.classes[index], [], count));
        return { index, input, count };
      });
      const setAll = (checked) => {
        inputs.forEach((each) => (each.input.checked = checked));
        this.apply();
      };
      document.getElementById("all-classes").addEventListener("click", () => setAll(true));
      document.getElementById("no-classes").addEventListener("click", () => setAll(false));
      return inputs;
    }

    /** Apply the filters of the inputs to the boxes, write the counts, and store the filters. */
    apply() {
      const layers = new Set(this._layerInputs.filter((each) => each.input.checked).map((each) => each.layer));
      const classes = this.boxes.classes.map(() => false);
      for (const each of this._classInputs) classes[each.index] = each.input.checked;
      this.captions = this._captionInput.checked;
      this.boxes.filter(layers, classes, this.lowestScore);
      document.getElementById("score-value").value = this.lowestScore.toFixed(2);
      this._count();
      this._store(layers);
      this.onChange(this);
    }

    /** Write the number of shown boxes and of all boxes behind each layer and class. */
    _count() {
      const { rows, shown } = this.boxes;
      const write = (place, belongs) => {
        const all = rows.filter(belongs);
        const visible = all.filter((row) => shown[row.index]).length;
        place.textContent = visible === all.length ? String(all.length) : `${visible} / ${all.length}`;
      };
      for (const each of this._layerInputs) write(each.count, (row) => row.layer === each.layer);
      for (const each of this._classInputs) write(each.count, (row) => row.classIndex === each.index);
    }

    _store(layers) {
      for (const each of this._classInputs) {
        const name = this.boxes.classes[each.index];
        if (each.input.checked) this._hiddenClasses.delete(name);
        else this._hiddenClasses.add(name);
      }
      save({
        hiddenLayers: namespace.LAYERS.filter((layer) => !layers.has(layer)),
        hiddenClasses: [...this._hiddenClasses],
        score: this.lowestScore,
        captions: this.captions,
      });
    }

    toggleLayer(number) {
      const each = this._layerInputs[number - 1];
      each.input.checked = !each.input.checked;
      this.apply();
    }

    toggleCaptions() {
      this._captionInput.checked = !this._captionInput.checked;
      this.apply();
    }

    /** Change the filters so that a box is shown. */
    reveal(row) {
      if (this.boxes.shown[row.index]) return;
      this._layerInputs.find((each) => each.layer === row.layer).input.checked = true;
      this._classInputs.find((each) => each.index === row.classIndex).input.checked = true;
      if (row.score !== null && row.score < this.lowestScore) this._score.value = Math.floor(row.score * 100) / 100;
      this.apply();
    }
  }

  namespace.element = element;
  namespace.Panel = Panel;
})(window.RotatedAtss);
