/* Mapping from pixels of the image to device pixels of the canvas. */
"use strict";

(function (namespace) {
  /** The visible part of the image: its upper left corner in image pixels, the scale, and its size in device pixels. */
  class View {
    constructor(left, top, scale, width, height) {
      Object.assign(this, { left, top, scale, width, height });
    }

    x(value) {
      return (value - this.left) * this.scale;
    }

    y(value) {
      return (value - this.top) * this.scale;
    }

    /** Return left, top, right and bottom in pixels of the image. */
    rectangle() {
      return [this.left, this.top, this.left + this.width / this.scale, this.top + this.height / this.scale];
    }

    /** Return the view extended on each side by a share of its size. */
    enlarged(share) {
      const x = Math.round(this.width * share), y = Math.round(this.height * share);
      const corner = [this.left - x / this.scale, this.top - y / this.scale];
      return new View(...corner, this.scale, this.width + 2 * x, this.height + 2 * y);
    }

    /** Return whether another view has the same scale and lies inside. */
    covers(other) {
      const [left, top, right, bottom] = this.rectangle(), [l, t, r, b] = other.rectangle();
      return this.scale === other.scale && left <= l && top <= t && right >= r && bottom >= b;
    }
  }

  namespace.View = View;
})(window.RotatedAtss);
