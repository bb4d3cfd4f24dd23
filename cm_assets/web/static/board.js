// The board's own behaviour: when to ask what has changed, the keys of a reviewer, times as people here read them.
"use strict";

(() => {
  const EVERY = 2000; // milliseconds between two looks, while somebody looks
  const AGAIN = 4000; // milliseconds after which what did not come is asked for again

  const live = document.querySelector("[data-live]");
  const offline = document.getElementById("offline");
  const tick = () => { if (live && !document.hidden) htmx.trigger(live, "tick"); };
  if (live) {
    setInterval(tick, EVERY);
    document.addEventListener("visibilitychange", tick);
    for (const [name, lost] of [["htmx:sendError", true], ["htmx:timeout", true], ["htmx:afterOnLoad", false]]) {
      live.addEventListener(name, () => { offline.hidden = !lost; });
    }
  }

  // A story that did not come is asked for again.
  for (const name of ["htmx:sendError", "htmx:timeout", "htmx:responseError"]) {
    document.addEventListener(name, (event) => {
      const story = event.target.closest("[data-story]");
      if (!story) return;
      const told = document.querySelector("#story .loading");
      if (told) told.textContent = "The story of it did not come. It is asked for again …";
      setTimeout(() => { if (story.isConnected) htmx.trigger(story, "again"); }, AGAIN);
    });
  }

  // What somebody is writing is not swapped away: they are told that it is about something else by now.
  document.addEventListener("htmx:oobBeforeSwap", (event) => {
    const typed = [...event.detail.target.querySelectorAll("textarea")].some((one) => one.value.trim() !== "");
    if (typed) {
      event.detail.shouldSwap = false;
      document.getElementById("stale").hidden = false;
    }
  });

  // What was just done is news until the next thing happens.
  document.addEventListener("htmx:oobAfterSwap", (event) => {
    if (event.detail.target.id === "spoken") document.getElementById("told")?.remove();
  });

  // Times are in UTC for who has no script.
  const clock = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
  const tell = (root) => {
    for (const one of root.querySelectorAll("time[datetime]")) {
      one.textContent = clock.format(new Date(one.dateTime));
      one.title = one.dateTime;
    }
  };
  tell(document);
  document.addEventListener("htmx:afterSettle", (event) => tell(event.target));

  const zone = document.querySelector("[data-zone]");
  if (zone && zone.value === "UTC" && !document.getElementById("publish_at").value) {
    zone.value = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
  }

  // A form is sent once, however often somebody clicks.
  document.addEventListener("submit", (event) => {
    for (const one of event.target.querySelectorAll("button")) {
      setTimeout(() => { one.disabled = true; });
    }
  });
  addEventListener("pageshow", (event) => {
    if (event.persisted) for (const one of document.querySelectorAll("button:disabled")) one.disabled = false;
  });

  document.addEventListener("click", (event) => {
    const seek = event.target.closest("[data-seek]");
    const film = document.getElementById("video");
    if (seek && film) {
      film.currentTime = Number(seek.dataset.seek);
      film.play().catch(() => {});
    }
    if (event.target.closest("[data-keys]")) keys.showModal();
    // Arrows go to the next video once more, where a click had given them to the player.
    if (event.target === film && event.detail > 0) film.blur();
  });

  const keys = document.getElementById("keys");
  if (!keys) return;
  document.querySelector("[data-keys]").hidden = false;

  const follow = (id) => { const link = document.getElementById(id); if (link) link.click(); return Boolean(link); };
  const actions = {
    " ": (target) => {
      const film = document.getElementById("video");
      if (!film || target.closest("a, button, summary, video")) return false;
      if (film.paused) film.play().catch(() => {}); else film.pause();
      return true;
    },
    a: () => { const form = document.getElementById("approve"); if (form) form.requestSubmit(); return Boolean(form); },
    r: () => {
      const text = document.getElementById("feedback");
      if (!text) return false;
      text.closest("details").open = true;
      text.focus();
      return true;
    },
    ArrowLeft: (target) => !target.closest("video") && follow("previous"),
    ArrowRight: (target) => !target.closest("video") && follow("next"),
    "?": () => { keys.showModal(); return true; },
  };

  document.addEventListener("keydown", (event) => {
    const target = event.target instanceof Element ? event.target : document.body;
    if (event.key === "Enter" && event.ctrlKey && target.id === "feedback") {
      event.preventDefault();
      if (!event.repeat) target.form.requestSubmit();
      return;
    }
    if (event.ctrlKey || event.altKey || event.metaKey || event.repeat || event.isComposing || keys.open) return;
    if (target.closest("input, textarea, select, [contenteditable]")) return;
    const act = actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (act && act(target)) event.preventDefault();
  });
})();
