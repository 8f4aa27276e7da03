/* Viewer of one image: pan and zoom, boxes on top, selection, links, keys. */
"use strict";

(function (namespace) {
  const data = window.rotatedAtssImage;
  const get = (id) => document.getElementById(id);
  const TOUCH_PX = 14, MOUSE_PX = 4; // distance from an edge up to which a tap or a click selects the box
  const CONTEXT = 5; // side of the view after zooming to a box, in multiples of the length of the box

  if (!data) {
    get("status").textContent = "the data of this page is missing";
    return;
  }
  const viewer = namespace.openImage(get("image"), data.pixels);
  const boxes = new namespace.Boxes(data);
  const marks = { selected: null, hovered: null };
  const canvas = document.createElement("canvas");
  const overlay = new namespace.Overlay(boxes, canvas);
  let panel = null, errors = null, scheduled = false;

  /**
   * Return the mapping from image pixels to device pixels, also in the middle of an animation. `ratio` is the number of
   * device pixels per CSS pixel; 1 gives the mapping to CSS pixels.
   */
  function currentView(ratio) {
    const bounds = viewer.viewport.getBounds(true);
    const size = viewer.viewport.getContainerSize();
    const scale = (size.x * ratio) / (bounds.width * data.pixels.width);
    const unit = data.pixels.width; // the viewport measures in widths of the image
    return new namespace.View(bounds.x * unit, bounds.y * unit, scale, canvas.width, canvas.height);
  }

  function fitCanvas(ratio) {
    const size = viewer.viewport.getContainerSize();
    const width = Math.round(size.x * ratio), height = Math.round(size.y * ratio);
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  }

  function draw() {
    if (!viewer.isOpen()) return;
    const ratio = window.devicePixelRatio || 1;
    fitCanvas(ratio);
    const view = currentView(ratio);
    const inView = overlay.draw(view, ratio, marks);
    const percent = (view.scale / ratio) * 100;
    get("status").textContent =
      `${inView} of ${boxes.shownCount} boxes in view \u00b7 zoom ${percent < 10 ? percent.toFixed(1) : percent.toFixed(0)} %`;
    // enlarged pixels are drawn as squares, reduced ones are averaged
    setSmoothing(view.scale < 2);
    placeTooltip();
  }

  let smoothing = null;
  function setSmoothing(enabled) {
    if (smoothing === enabled) return;
    smoothing = enabled;
    viewer.drawer.setImageSmoothingEnabled(enabled);
  }

  /** Draw in the next frame, once for several requests. */
  function redraw() {
    if (scheduled) return;
    scheduled = true;
    requestAnimationFrame(() => {
      scheduled = false;
      draw();
    });
  }

  function center(row) {
    const p = row.polygon;
    return { x: (p[0] + p[2] + p[4] + p[6]) / 4, y: (p[1] + p[3] + p[5] + p[7]) / 4 };
  }

  /** Write class, score, IoU, size, angle and error of a box into an element, or hide it. */
  function fill(element, row) {
    element.hidden = !row;
    if (!row || element.dataset.id === row.id) return;
    const lines = namespace.describe(boxes, row).map(([name, value]) =>
      namespace.element("div", {}, namespace.element("span", {}, name), namespace.element("b", {}, value))
    );
    element.replaceChildren(...lines);
    element.dataset.id = row.id;
  }

  /** Put the description of the hovered box next to the box; that of the selected box is in a corner of the view. */
  function placeTooltip() {
    const row = marks.hovered === marks.selected ? null : marks.hovered, tooltip = get("tooltip");
    fill(tooltip, row);
    if (!row) return;
    const view = currentView(1), stage = get("image"), at = row.index * 4;
    const right = view.x(boxes.bounds[at + 2]) + 10, left = view.x(boxes.bounds[at]) - 10 - tooltip.offsetWidth;
    const middle = view.y((boxes.bounds[at + 1] + boxes.bounds[at + 3]) / 2) - tooltip.offsetHeight / 2;
    const clamp = (value, max) => Math.max(6, Math.min(value, max - 6));
    const x = right + tooltip.offsetWidth + 6 < stage.clientWidth || left < 6 ? right : left;
    tooltip.style.left = `${clamp(x, stage.clientWidth - tooltip.offsetWidth)}px`;
    tooltip.style.top = `${clamp(middle, stage.clientHeight - tooltip.offsetHeight)}px`;
  }

  function hover(row) {
    if (marks.hovered === row) return;
    marks.hovered = row;
    get("image").classList.toggle("over-box", row !== null);
    redraw();
  }

  /** Select a box, or nothing if it is null, and make the URL of the page a link to the box. */
  function select(row) {
    marks.selected = row;
    const hash = row ? `#${row.id}` : "";
    if (location.hash !== hash) history.replaceState(null, "", hash || location.pathname + location.search);
    showSelected();
    redraw();
  }

  /** Write the description of the selected box and its position in the list of errors. */
  function showSelected() {
    const row = marks.selected, count = errors.rows.length;
    errors.mark(row);
    fill(get("details"), row);
    get("selected").textContent = row ? errors.position(row) || row.id : count ? `${count} errors` : "no errors";
  }

  /** Zoom to a box, with some of its surroundings. */
  function zoomTo(row) {
    const { x, y } = center(row), unit = data.pixels.width;
    const stage = viewer.viewport.getContainerSize();
    const shortSide = Math.max(row.length * CONTEXT, 80); // of the view, pixels of the image
    const aspect = stage.x / stage.y;
    const minHeight = (row.length * 1.1) / Math.min(1, aspect); // the whole box
    const maxHeight = Math.max(data.pixels.height, data.pixels.width / aspect); // the whole image
    const height = Math.max(minHeight, Math.min(maxHeight, shortSide / Math.min(1, aspect))), width = height * aspect;
    const details = get("details"), isWide = details.offsetWidth > stage.x / 2;
    const covered = isWide ? (height * (stage.y - details.offsetTop)) / stage.y : 0; // by the description, at the bottom
    const top = y - (height - covered) / 2;
    const bounds = new OpenSeadragon.Rect((x - width / 2) / unit, top / unit, width / unit, height / unit);
    viewer.viewport.fitBounds(bounds, window.matchMedia("(prefers-reduced-motion: reduce)").matches);
  }

  function goTo(row) {
    panel.reveal(row);
    select(row);
    zoomTo(row);
  }

  function step(direction) {
    const row = errors.next(direction);
    if (row) goTo(row);
  }

  /** Go to the box that the URL names. */
  function openLink() {
    const id = location.hash.slice(1);
    if (!id || (marks.selected && marks.selected.id === id)) return;
    const row = boxes.byId.get(id);
    if (row) goTo(row);
    else get("selected").textContent = `no box ${id} in this image`;
  }

  /** Return the boxes at a position of the page, the smallest first. */
  function rowsAt(clientX, clientY, tolerance) {
    const place = get("image").getBoundingClientRect(), view = currentView(1);
    const x = (clientX - place.left) / view.scale + view.left, y = (clientY - place.top) / view.scale + view.top;
    return boxes.at(x, y, tolerance / view.scale);
  }

  function connectPointer() {
    const stage = get("image");
    stage.addEventListener("pointermove", (event) => {
      if (event.pointerType !== "mouse" || !viewer.isOpen()) return;
      hover(event.buttons ? null : rowsAt(event.clientX, event.clientY, MOUSE_PX)[0] || null);
    }, true);
    stage.addEventListener("pointerleave", () => hover(null));
    viewer.addHandler("canvas-click", (event) => {
      if (!event.quick) return;
      const { clientX, clientY, pointerType } = event.originalEvent;
      const rows = rowsAt(clientX, clientY, pointerType === "touch" ? TOUCH_PX : MOUSE_PX);
      select(rows[(rows.indexOf(marks.selected) + 1) % rows.length] || null); // another click: the next box below
    });
  }

  /** Zoom by a factor around the middle of the view. */
  function zoomBy(factor) {
    viewer.viewport.zoomBy(factor).applyConstraints();
  }

  /** Move the view by shares of its width and height. */
  function move(x, y) {
    const bounds = viewer.viewport.getBounds();
    const delta = new OpenSeadragon.Point(x * bounds.width, y * bounds.height);
    viewer.viewport.panBy(delta).applyConstraints();
  }

  function fit() {
    viewer.viewport.goHome();
  }

  const KEYS = {
    n: () => step(1), p: () => step(-1),
    "+": () => zoomBy(1.5), "=": () => zoomBy(1.5), "-": () => zoomBy(1 / 1.5), 0: fit,
    ArrowLeft: () => move(-0.15, 0), ArrowRight: () => move(0.15, 0),
    ArrowUp: () => move(0, -0.15), ArrowDown: () => move(0, 0.15),
    c: () => panel.toggleCaptions(), "?": () => get("help").showModal(),
    "[": () => get("previous-image").click(), "]": () => get("next-image").click(),
    Escape: () => select(null),
  };
  namespace.LAYERS.forEach((_, index) => (KEYS[index + 1] = () => panel.toggleLayer(index + 1)));

  function connectButtons() {
    get("next-error").addEventListener("click", () => step(1));
    get("previous-error").addEventListener("click", () => step(-1));
    get("zoom-in").addEventListener("click", () => zoomBy(1.5));
    get("zoom-out").addEventListener("click", () => zoomBy(1 / 1.5));
    get("zoom-fit").addEventListener("click", fit);
    get("help-button").addEventListener("click", () => get("help").showModal());
    get("panel-button").addEventListener("click", () => {
      const open = get("panel").classList.toggle("open");
      get("panel-button").setAttribute("aria-expanded", String(open));
    });
  }

  viewer.addHandler("open", () => {
    viewer.canvas.append(canvas);
    viewer.canvas.setAttribute("aria-label", "Image; keys n and p step through the errors, ? lists all keys");
    viewer.canvas.setAttribute("role", "application");
    openLink();
    redraw();
  });
  viewer.addHandler("open-failed", () => (get("status").textContent = "the image file is missing"));
  viewer.addHandler("update-viewport", draw); // in the frame in which the image is drawn
  viewer.addHandler("resize", redraw);
  viewer.addHandler("animation-finish", () => {
    overlay.invalidate();
    redraw();
  });
  window.addEventListener("hashchange", openLink);

  canvas.id = "boxes";
  errors = new namespace.Errors(boxes, goTo, hover);
  panel = new namespace.Panel(boxes, (filters) => {
    overlay.captions = filters.captions;
    overlay.invalidate();
    errors.update();
    showSelected();
    redraw();
  });
  namespace.connectImages(data);
  namespace.connectKeys(KEYS);
  connectPointer();
  connectButtons();
  Object.assign(namespace, { viewer, overlay }); // for tests and benchmarks
})(window.RotatedAtss);
