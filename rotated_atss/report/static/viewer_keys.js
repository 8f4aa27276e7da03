/* Keys of the page, and links to the other images. */
"use strict";

(function (namespace) {
  const get = (id) => document.getElementById(id);

  /** Call the function of a key when the key is pressed, except in input elements that use the key. */
  function connectKeys(keys) {
    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || get("help").open) return;
      const tag = event.target.tagName, arrow = event.key.startsWith("Arrow");
      if (tag === "SELECT" || (tag === "INPUT" && arrow)) return;
      if (!Object.hasOwn(keys, event.key)) return;
      event.preventDefault();
      keys[event.key]();
    });
  }

  function countsOf(entry) {
    return `${entry.tp} TP, ${entry.fp} FP, ${entry.fn} FN`;
  }

  /** Fill the list of images and the links to the previous and the next one. */
  function connectImages(data) {
    const images = window.rotatedAtssImages || [];
    const at = images.findIndex((each) => each.page === data.page), list = get("image-list");
    images.forEach((each, index) => {
      const option = namespace.element("option", { value: each.page }, `${each.image} (${countsOf(each)})`);
      option.selected = index === at;
      list.append(option);
    });
    list.addEventListener("change", () => location.assign(list.value));
    for (const [id, index] of [["previous-image", at - 1], ["next-image", at + 1]]) {
      if (at >= 0 && images[index]) get(id).href = images[index].page;
      else get(id).setAttribute("aria-disabled", "true");
    }
    const size = `${data.pixels.width} x ${data.pixels.height} px`;
    get("counts").textContent = at < 0 ? size : `${countsOf(images[at])} \u00b7 ${size}`;
  }

  namespace.connectKeys = connectKeys;
  namespace.connectImages = connectImages;
})(window.RotatedAtss);
