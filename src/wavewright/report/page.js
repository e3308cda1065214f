"use strict";
// Give each sound a waveform to play and seek in. Without this script, a sound has the browser's own controls.
(() => {
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const colours = () => ({ waveColor: colour("--wave"), progressColor: colour("--played"), cursorColor: colour("--played") });
  const surfers = [];
  document.documentElement.classList.add("live");
  for (const card of document.querySelectorAll(".player")) {
    const button = document.createElement("button");
    const title = card.querySelector("strong").textContent;
    const show = (playing) => {
      button.textContent = playing ? "❚❚" : "▶\uFE0E";
      button.setAttribute("aria-label", `${playing ? "Pause" : "Play"} ${title}`);
    };
    const surfer = WaveSurfer.create({
      container: card.querySelector(".surfer"),
      media: card.querySelector("audio"),
      peaks: JSON.parse(card.dataset.peaks),
      duration: Number(card.dataset.seconds),
      height: 64,
      ...colours(),
      dragToSeek: true,
    });
    button.type = "button";
    show(false);
    button.addEventListener("click", () => surfer.playPause());
    button.addEventListener("keydown", (event) => {
      const seconds = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!seconds) return;
      event.preventDefault();
      surfer.skip(seconds);
    });
    surfer.on("play", () => {
      for (const other of surfers) if (other !== surfer) other.pause();
      show(true);
    });
    surfer.on("pause", () => show(false));
    surfer.on("finish", () => show(false));
    surfers.push(surfer);
    card.prepend(button);
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    for (const surfer of surfers) surfer.setOptions(colours());
  });
})();
