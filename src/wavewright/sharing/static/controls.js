/** The controls of a model: a slider for each number, and pads or a list for each category. */

/** @import { Facts } from "./model.js" */

/** @typedef {(name: string, value: number | string | null) => void} Change */

/** @typedef {{ name: string, title: string, low: number, high: number, unit: string, rest: number | null }} Dial */

const STEPS = 200 // of a slider
const FEW = 8 // classes that are pads

/**
 * Put the controls into their place.
 * @param {HTMLElement} place
 * @param {Facts} facts
 * @param {Change} change
 */
export function show_controls(place, facts, change) {
  const { temperature, top_p } = facts.draw
  /** @type {Dial[]} */
  const draws = [
    { name: "temperature", title: "temperature", low: 0, high: 2, unit: "", rest: temperature },
    { name: "top_p", title: "top-p", low: 0.05, high: 1, unit: "", rest: top_p },
  ]
  const own = new Set(facts.controls.map(({ name }) => name))
  for (const dial of draws) if (!own.has(dial.name)) place.append(slider(dial, change))
  for (const { name, kind, low, high, unit, classes } of facts.controls) {
    if (classes) place.append(categories(name, classes, change))
    else if (kind !== "notes" && low !== null && high !== null) {
      place.append(slider({ name, title: name, low, high, unit: unit ?? "", rest: null }, change))
    }
  }
}

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {object} fields
 * @param {(Node | string)[]} [children]
 */
function made(tag, fields, children = []) {
  const element = Object.assign(document.createElement(tag), fields)
  element.append(...children)
  return element
}

/**
 * A slider that stands in the middle, and says so, while the model decides.
 * @param {Dial} dial
 * @param {Change} change
 */
function slider({ name, title, low, high, unit, rest }, change) {
  const digits = high - low <= 4 ? 2 : high - low <= 40 ? 1 : 0
  const input = made("input", { type: "range", id: `control-${name}`, min: `${low}`, max: `${high}`, step: `${(high - low) / STEPS}` })
  const shown = made("span", { className: "number" })
  const free = made("button", { textContent: rest === null ? "free" : "reset", ariaLabel: rest === null ? `Set ${title} free` : `Reset ${title}` })
  const show = (/** @type {number | null} */ value) => {
    input.value = `${value ?? (low + high) / 2}`
    const text = value === null ? "free" : `${value.toFixed(digits)}${unit ? ` ${unit}` : ""}`
    shown.textContent = text
    input.setAttribute("aria-valuetext", value === null ? "free: the model decides" : text)
    free.hidden = value === rest
  }
  input.oninput = () => {
    show(input.valueAsNumber)
    change(name, input.valueAsNumber)
  }
  free.onclick = () => {
    show(rest)
    change(name, rest)
  }
  show(rest)
  const label = made("label", { className: "caps", htmlFor: input.id, textContent: title })
  return made("div", { className: "control" }, [made("div", { className: "row" }, [label, made("span", {}, [free, " ", shown])]), input])
}

/**
 * @param {string} name
 * @param {string[]} classes
 * @param {Change} change
 */
function categories(name, classes, change) {
  if (classes.length > FEW) {
    const options = ["free", ...classes].map((text, i) => made("option", { textContent: text, value: i ? text : "" }))
    const select = made("select", { id: `control-${name}` }, options)
    select.onchange = () => change(name, select.value || null)
    return made("div", { className: "control" }, [made("label", { className: "caps", htmlFor: select.id, textContent: name }), select])
  }
  /** @type {HTMLButtonElement[]} */
  const pads = ["free", ...classes].map((text, i) => {
    const pad = made("button", { textContent: text, ariaPressed: `${!i}` })
    pad.onclick = () => {
      for (const other of pads) other.ariaPressed = `${other === pad}`
      change(name, i ? text : null)
    }
    return pad
  })
  return made("fieldset", { className: "control" }, [made("legend", { className: "caps", textContent: name }), made("div", { className: "row pads" }, pads)])
}
