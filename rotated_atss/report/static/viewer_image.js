/* The image below the boxes: a single file or a tile pyramid. */
"use strict";

(function (namespace) {
  function tileSource({ width, height, folder, levels, tile }) {
    if (!levels) return { type: "image", url: `${folder}/image.jpg`, buildPyramid: false, crossOriginPolicy: false };
    return {
      width, height, tileSize: tile, tileOverlap: 0, minLevel: 0, maxLevel: levels - 1,
      getTileUrl: (level, x, y) => `${folder}/${level}/${x}_${y}.jpg`,
    };
  }

  /** Open the image of a page, described by `pixels`, in an element. */
  function openImage(element, pixels) {
    const viewer = OpenSeadragon({
      element,
      tileSources: tileSource(pixels),
      drawer: "canvas", // WebGL refuses images of pages that are opened from disk
      crossOriginPolicy: false,
      showNavigationControl: false,
      showNavigator: pixels.levels > 0 && window.matchMedia("(min-width: 700px)").matches,
      navigatorPosition: "BOTTOM_RIGHT",
      navigatorSizeRatio: 0.16,
      gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true },
      gestureSettingsTouch: { clickToZoom: false, dblClickToZoom: true, dblClickDragToZoom: false },
      gestureSettingsPen: { clickToZoom: false, dblClickToZoom: true },
      animationTime: 0.4,
      springStiffness: 9,
      visibilityRatio: 0.5,
      minZoomImageRatio: 0.5,
      maxZoomPixelRatio: 24,
      zoomPerScroll: 1.3,
      smoothTileEdgesMinZoom: Infinity, // tiles do not overlap, and are drawn at whole pixels
      imageLoaderLimit: 6,
    });
    // the page has other keys than OpenSeadragon
    viewer.addHandler("canvas-key", (event) => (event.preventDefaultAction = true));
    return viewer;
  }

  namespace.openImage = openImage;
})(window.RotatedAtss);
