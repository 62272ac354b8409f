// Optional additions to the pages. All pages work without JavaScript.
"use strict";

(() => {
  const plural = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;

  // Show the age of each message. The tooltip still contains the exact time.
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
  const showAges = () => {
    const now = new Date();
    for (const time of times) {
      const then = new Date(time.dateTime);
      if (!Number.isNaN(then.getTime())) time.textContent = ago(then, now);
    }
  };
  if (times.length > 0) {
    document.documentElement.classList.add("relative");
    showAges();
    setInterval(showAges, 30_000);
  }

  // Show how many characters the twit box still accepts.
  const text = document.querySelector(".twitbox input[name=text]");
  if (text) {
    const counter = document.createElement("span");
    counter.className = "counter";
    counter.id = "characters-left";
    text.form.append(counter);
    text.setAttribute("aria-describedby", "characters-left");
    const count = () => {
      const left = text.maxLength - text.value.length;
      counter.textContent = `${plural(left, "character")} left`;
      counter.classList.toggle("short", left <= 20);
    };
    text.addEventListener("input", count);
    count();
  }

  // Show on the public timeline how many new messages exist. The link loads them.
  const timeline = document.getElementById("timeline");
  const fresh = document.querySelector(".fresh");
  if (timeline && fresh && "EventSource" in window) {
    const title = document.title;
    const newest = timeline.dataset.newest;
    let events = null;
    const showCount = (ids) => {
      // Ids start with the time, so the id of a newer message is greater.
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
      events.onmessage = (event) => showCount(event.data.split(" ").filter(Boolean));
      events.onerror = () => {
        // The browser does not reconnect after an error status, such as that of a gateway with too
        // many streams. Try again later.
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
