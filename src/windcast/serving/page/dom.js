/** Elements and small pieces of text. Nothing is ever parsed as markup, so no name or sentence can become code. */

const SVG = "http://www.w3.org/2000/svg";

export const byId = (id) => document.getElementById(id);

export function el(name, attributes = {}, ...children) {
  return dressed(document.createElement(name), attributes, children);
}

export function svg(name, attributes = {}, ...children) {
  return dressed(document.createElementNS(SVG, name), attributes, children);
}

function dressed(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false)
      element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** Says a sentence to those who listen rather than look. */
export function say(sentence) {
  byId("said").textContent = sentence;
}

export const rem = () => parseFloat(getComputedStyle(document.documentElement).fontSize);

const LEAST = 80;

/** Calls `draw(width, height)` in pixels when the element has a size in which a chart has room, and at each change. */
export function onResize(element, draw) {
  const watch = new ResizeObserver(([entry]) => {
    const { width, height } = entry.contentRect;
    // before its style sheet has come an element can be next to nothing
    if (width > LEAST && height > LEAST) draw(Math.round(width), Math.round(height));
  });
  watch.observe(element);
}
