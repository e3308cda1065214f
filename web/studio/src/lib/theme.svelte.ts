// Dark or light: as the system wants, until a person chooses.

const KEY = "wavewright-theme"

class Theme {
  #system = matchMedia("(prefers-color-scheme: dark)")
  #chosen = localStorage.getItem(KEY)
  dark = $state(true)

  constructor() {
    this.#system.addEventListener("change", () => this.#apply())
    this.#apply()
  }

  toggle(): void {
    this.#chosen = this.dark ? "light" : "dark"
    localStorage.setItem(KEY, this.#chosen)
    this.#apply()
  }

  /** Tell the style sheet first: who draws reads its colours. */
  #apply(): void {
    const dark = this.#chosen ? this.#chosen === "dark" : this.#system.matches
    document.documentElement.dataset.theme = dark ? "dark" : "light"
    this.dark = dark
  }
}

export const theme = new Theme()
