/* Drawing of boxes as vectors on a canvas over the image. */
"use strict";

(function (namespace) {
  // Colors of Okabe and Ito (2008), which color-blind readers can distinguish; the vermilion is lighter, so that it is
  // visible on dark images. Line widths and dashes differ as well.
  const STYLES = {
    gt: { color: "#ffffff", width: 1.25, dash: [6, 3], name: "Ground truth, detected" },
    tp: { color: "#56b4e9", width: 1.75, dash: [], name: "True positives" },
    fp: { color: "#ff7033", width: 2.75, dash: [], name: "False positives" },
    fn: { color: "#f0e442", width: 2.75, dash: [9, 5], name: "Missed objects" },
    ignored: { color: "#c8c8c8", width: 1.25, dash: [1.5, 3], name: "Ignored" },
  };
  const ORDER = ["ignored", "gt", "tp", "fn", "fp"]; // the last is on top
  // Captions are placed in this order. "gt" is missing: the caption of the matched detection names the class already.
  const CAPTIONED = ["fp", "fn", "tp", "ignored"];
  const CASING = "rgba(0, 0, 0, 0.6)"; // dark border of lines
  const MAX_CASED = 1500; // with more boxes in view, lines have no dark border
  const MAX_CAPTIONS = 40; // with more boxes in view, there are no captions
  const MAX_DRAWN_PER_FRAME = 150; // with more boxes in view, a moving view shows a copy of the boxes (see Overlay)
  const MARGIN = 0.2; // part of the copy beyond the view on each side, as a share of the size of the view
  const FULL_WIDTH_BOX = 14; // lines are thinner if the median box is narrower than this on the screen, px
  const MIN_WIDTH_FACTOR = 0.45; // lower bound of the factor that makes lines thinner
  const MIN_FRONT = 10; // front edges that are shorter on the screen are not marked, px at full line width
  const BATCH = 256; // boxes per path: long paths are slow to fill

  function tracePolygons(context, boxes, indices, view) {
    const c = boxes.corners;
    context.beginPath();
    for (const index of indices) {
      const at = index * 8;
      context.moveTo(view.x(c[at]), view.y(c[at + 1]));
      context.lineTo(view.x(c[at + 2]), view.y(c[at + 3]));
      context.lineTo(view.x(c[at + 4]), view.y(c[at + 5]));
      context.lineTo(view.x(c[at + 6]), view.y(c[at + 7]));
      context.closePath();
    }
  }

  function traceFronts(context, boxes, indices, view, ratio) {
    const c = boxes.corners, shortest = MIN_FRONT * ratio;
    context.beginPath();
    for (const index of indices) {
      const at = index * 8;
      const x1 = view.x(c[at]), y1 = view.y(c[at + 1]), x2 = view.x(c[at + 2]), y2 = view.y(c[at + 3]);
      if (Math.abs(x2 - x1) + Math.abs(y2 - y1) < shortest) continue;
      context.moveTo(x1, y1);
      context.lineTo(x2, y2);
    }
  }

  function stroke(context, color, width, dash) {
    context.strokeStyle = color;
    context.lineWidth = width;
    context.setLineDash(dash);
    context.stroke();
  }

  /** Draw the boxes of one layer: first all dark borders (if `cased`), then all lines, then all front edges. */
  function drawLayer(context, boxes, indices, view, style, ratio, cased) {
    const width = style.width * ratio;
    const dash = style.dash.map((length) => length * ratio);
    const forBatches = (trace, ...line) => {
      for (let start = 0; start < indices.length; start += BATCH) {
        trace(context, boxes, indices.slice(start, start + BATCH), view, ratio);
        stroke(context, ...line);
      }
    };
    if (cased) forBatches(tracePolygons, CASING, width + 1.5 * ratio, []);
    forBatches(tracePolygons, style.color, width, dash);
    forBatches(traceFronts, style.color, 2 * width, []);
  }

  /** Fill a box and draw it on top of all others, with wider lines. */
  function drawEmphasized(context, boxes, row, view, ratio, opacity) {
    const style = STYLES[row.layer];
    tracePolygons(context, boxes, [row.index], view);
    context.globalAlpha = opacity;
    context.fillStyle = style.color;
    context.fill();
    context.globalAlpha = 1;
    const strong = { ...style, width: style.width + 1.5 };
    drawLayer(context, boxes, [row.index], view, strong, ratio, true);
  }

  function captionOf(boxes, row) {
    const name = boxes.classes[row.classIndex];
    return row.score === null ? name : `${name} ${row.score.toFixed(2)}`;
  }

  /** Write class and score above boxes; a caption that would cover an earlier one is left out. */
  function drawCaptions(context, boxes, indices, view, ratio) {
    const height = 15 * ratio, captions = []; // x, y, width of the captions written so far
    context.font = `${11 * ratio}px system-ui, sans-serif`;
    context.textBaseline = "middle";
    const rank = (index) => CAPTIONED.indexOf(boxes.rows[index].layer);
    for (const index of indices.filter((each) => rank(each) >= 0).sort((a, b) => rank(a) - rank(b))) {
      const row = boxes.rows[index];
      const text = captionOf(boxes, row);
      const width = context.measureText(text).width + 6 * ratio;
      const x = view.x(boxes.bounds[index * 4]);
      const y = Math.max(0, view.y(boxes.bounds[index * 4 + 1]) - height - 2 * ratio);
      if (captions.some((c) => x < c[0] + c[2] && c[0] < x + width && Math.abs(y - c[1]) < height)) continue;
      captions.push([x, y, width]);
      context.fillStyle = "rgba(0, 0, 0, 0.65)";
      context.fillRect(x, y, width, height);
      context.fillStyle = STYLES[row.layer].color;
      context.fillText(text, x + 3 * ratio, y + height / 2);
    }
  }

  /** Draw boxes, layer by layer. */
  function drawLayers(context, boxes, indices, view, ratio) {
    context.lineJoin = "miter";
    context.lineCap = "butt";
    const layers = Object.fromEntries(ORDER.map((layer) => [layer, []]));
    for (const index of indices) layers[boxes.rows[index].layer].push(index);
    const widthFactor = Math.max(MIN_WIDTH_FACTOR, Math.min(1, (boxes.medianWidth * view.scale) / ratio / FULL_WIDTH_BOX));
    for (const layer of ORDER) {
      drawLayer(context, boxes, layers[layer], view, STYLES[layer], ratio * widthFactor, indices.length <= MAX_CASED);
    }
  }

  /**
   * The canvas of the boxes. While the view moves without zooming, many boxes are not drawn again: they are drawn once
   * into a copy that is larger than the view, and the copy is moved.
   */
  class Overlay {
    constructor(boxes, canvas) {
      this.boxes = boxes;
      this.canvas = canvas;
      this.context = canvas.getContext("2d");
      this.captions = true;
      this._copyCanvas = document.createElement("canvas");
      this._copyView = null; // the view that the copy shows, null without a copy
      this._scale = null; // scale of the last frame
    }

    /** Discard the copy, because the filters have changed, or because the view has stopped and needs an exact copy. */
    invalidate() {
      this._copyView = null;
    }

    /** Draw the shown boxes in view and return their number. `marks` has the rows `selected` and `hovered`, or null. */
    draw(view, ratio, marks) {
      const { boxes, context } = this;
      context.clearRect(0, 0, view.width, view.height);
      const indices = boxes.within(...view.rectangle());
      const isSameScale = view.scale === this._scale;
      this._scale = view.scale;
      if (isSameScale && indices.length > MAX_DRAWN_PER_FRAME) this._move(view, ratio);
      else drawLayers(context, boxes, indices, view, ratio);
      if (marks.hovered) drawEmphasized(context, boxes, marks.hovered, view, ratio, 0.12);
      if (marks.selected) drawEmphasized(context, boxes, marks.selected, view, ratio, 0.22);
      if (this.captions && indices.length <= MAX_CAPTIONS) drawCaptions(context, boxes, indices, view, ratio);
      return indices.length;
    }

    /** Show the copy of the boxes, moved by whole pixels; make a new copy if it does not cover the view. */
    _move(view, ratio) {
      if (!this._copyView || !this._copyView.covers(view)) {
        this._copyView = view.enlarged(MARGIN);
        Object.assign(this._copyCanvas, { width: this._copyView.width, height: this._copyView.height });
        const indices = this.boxes.within(...this._copyView.rectangle());
        drawLayers(this._copyCanvas.getContext("2d"), this.boxes, indices, this._copyView, ratio);
      }
      const x = Math.round(view.x(this._copyView.left)), y = Math.round(view.y(this._copyView.top));
      this.context.drawImage(this._copyCanvas, x, y);
    }
  }

  namespace.STYLES = STYLES;
  namespace.Overlay = Overlay;
})(window.RotatedAtss);
