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

const SAID_MS = 10_000;
let forget = 0;

/** Says a sentence to those who listen rather than look; it is gone before it is no longer true. */
export function say(words) {
  byId("said").textContent = words;
  clearTimeout(forget);
  forget = setTimeout(() => (byId("said").textContent = ""), SAID_MS);
}

/** A sentence as it stands on the page: with a capital and a stop. The name of a file keeps its letters. */
export function sentence(words) {
  const text = words.trim();
  const file = /^[^:]+\.\w{1,8}: /.test(text);
  return (file ? text : text.charAt(0).toUpperCase() + text.slice(1)) + (/[.!?]$/.test(text) ? "" : ".");
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
