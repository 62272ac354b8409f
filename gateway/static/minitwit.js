// What makes the pages nicer where there is JavaScript; everything works without it.
"use strict";

(() => {
  const plural = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;

  // Times: how long ago, with the exact time still in the tooltip.
  const times = document.querySelectorAll(".messages time");
  const ago = (then, now) => {
    const seconds = Math.max(0, (now - then) / 1000);
    if (seconds < 60) return "now";
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
    if (seconds < 86400) return `${Math.floor(seconds / 3600)} h`;
    if (seconds < 7 * 86400) return plural(Math.floor(seconds / 86400), "day");
    const options = { day: "numeric", month: "short" };
    if (then.getFullYear() !== now.getFullYear()) options.year = "numeric";
    return then.toLocaleDateString("en-GB", options);
  };
  const tellTimes = () => {
    const now = new Date();
    for (const time of times) {
      const then = new Date(time.dateTime);
      if (!Number.isNaN(then.getTime())) time.textContent = ago(then, now);
    }
  };
  if (times.length > 0) {
    document.documentElement.classList.add("relative");
    tellTimes();
    setInterval(tellTimes, 30_000);
  }

  // The twit box: how much room is left.
  const text = document.querySelector(".twitbox input[name=text]");
  if (text) {
    const counter = document.createElement("span");
    counter.className = "counter";
    counter.id = "room";
    text.form.append(counter);
    text.setAttribute("aria-describedby", "room");
    const count = () => {
      const left = text.maxLength - text.value.length;
      counter.textContent = `${plural(left, "character")} left`;
      counter.classList.toggle("short", left <= 20);
    };
    text.addEventListener("input", count);
    count();
  }

  // The public timeline: what is new is told, and shown when it is asked for.
  const timeline = document.getElementById("timeline");
  const fresh = document.querySelector(".fresh");
  if (timeline && fresh && "EventSource" in window) {
    const title = document.title;
    const newest = timeline.dataset.newest;
    let events = null;
    const tell = (ids) => {
      // Ids are made of the time, so the greater one is the newer one.
      const unseen = ids.filter((id) => id > newest).length;
      if (unseen === 0) return;
      const count = unseen > 30 ? "30+" : String(unseen);
      const words = `${count} new message${unseen === 1 ? "" : "s"}`;
      if (fresh.textContent !== words) {
        fresh.textContent = words;
        fresh.hidden = false;
        document.title = `(${count}) ${title}`;
      }
    };
    const open = () => {
      if (events || document.hidden) return;
      events = new EventSource("/-/live");
      events.onmessage = (event) => tell(event.data.split(" ").filter(Boolean));
      events.onerror = () => {
        // Refused for good, as by a gateway that has too many to tell: come back later.
        if (events && events.readyState === EventSource.CLOSED) {
          close();
          setTimeout(open, 10_000 + Math.random() * 20_000);
        }
      };
    };
    const close = () => {
      if (events) events.close();
      events = null;
    };
    document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
    window.addEventListener("pagehide", close);
    window.addEventListener("pageshow", open);
    open();
  }
})();
