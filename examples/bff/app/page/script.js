// The countdowns, and the demo's button. Without it a page says the same, as of when it was made.
"use strict";

const byId = (id) => document.getElementById(id);

// By what has passed since then: the browser's clock may differ from the server's.
function countDown(number) {
  if (!number) return;
  const begun = Date.now();
  const seconds = Number(number.textContent);
  const timer = setInterval(() => {
    const left = Math.ceil(seconds - (Date.now() - begun) / 1000);
    if (left > 0) {
      number.textContent = left;
      number.nextElementSibling.textContent = left === 1 ? "second" : "seconds";
      return;
    }
    clearInterval(timer);
    const sentence = number.closest("[data-over]");
    sentence.textContent = sentence.dataset.over;
  }, 250);
}

async function refreshes() {
  const answer = await fetch("/demo/stats", { cache: "no-store" });
  return (await answer.json()).refreshes;
}

// Browsers send equal requests one after the other as long as the answer might be cached.
const call = () => fetch("/api/orders", { cache: "no-store" }).then((answer) => answer.status, () => 0);

async function manyCalls() {
  const before = await refreshes();
  const expired = await fetch("/demo/expire", { method: "POST" });
  if (!expired.ok) throw new Error(`${expired.status} for /demo/expire`);
  const statuses = await Promise.all(Array.from({ length: 20 }, call));
  const made = (await refreshes()) - before;
  const good = statuses.filter((status) => status === 200).length;
  const bad = statuses.length - good;
  return [
    `${good} ${good === 1 ? "answer" : "answers"}`,
    ...(bad ? [`${bad} failed (${[...new Set(statuses)].filter((status) => status !== 200)})`] : []),
    `${made} ${made === 1 ? "refresh" : "refreshes"}`,
  ].join(", ");
}

// The new token has an expiry of its own.
async function showNewToken() {
  const answer = await fetch("/", { cache: "no-store" });
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const token = page.getElementById("token");
  if (!token) return;
  byId("token").replaceWith(token);
  countDown(byId("seconds"));
}

function offerManyCalls(button) {
  if (!button) return;
  let running = false;
  button.hidden = false;
  button.addEventListener("click", async () => {
    if (running) return;
    running = true;
    button.setAttribute("aria-disabled", "true");
    byId("answers").textContent = "Calling …";
    try {
      byId("answers").textContent = await manyCalls();
      await showNewToken();
    } catch (error) {
      byId("answers").textContent = `It did not work: ${error.message}`;
    }
    button.removeAttribute("aria-disabled");
    running = false;
  });
}

countDown(byId("seconds"));
countDown(byId("retry"));
offerManyCalls(byId("calls"));
