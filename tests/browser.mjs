/** The built site in Chromium: node browser.mjs ADDRESS CHROMIUM FOLDER. Prints times, and what it found as JSON in the last line. */
import { createRequire } from "node:module";
import { join } from "node:path";

const [address, executablePath, folder] = process.argv.slice(2);
const { chromium } = createRequire(join(process.cwd(), "package.json"))("playwright-core");
const quiet = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync"];
const browser = await chromium.launch({ executablePath, args: quiet });
const found = { errors: [], foreign: [], pages: [], changed: {}, covered: 0, times: {} };

/** A page whose errors and requests are watched. */
async function watched(options) {
  const page = await browser.newPage(options);
  page.setDefaultTimeout(90_000);
  page.on("console", (message) => message.type() === "error" && found.errors.push(`${page.url()}: ${message.text()}`));
  page.on("pageerror", (error) => found.errors.push(`${page.url()}: ${error.message}`));
  page.on("requestfailed", (request) => request.failure().errorText !== "net::ERR_ABORTED" && found.errors.push(`${request.url()}: ${request.failure().errorText}`));
  page.on("request", (request) => !/^(data|blob):/.test(request.url()) && !request.url().startsWith(address) && found.foreign.push(request.url()));
  return page;
}

/** The pages that the sidebar leads to. */
const page = await watched({ viewport: { width: 1280, height: 900 } });
await page.goto(`${address}/index.html`);
await page.screenshot({ path: join(folder, "landing.png") });
const links = await page.$$eval("nav a, .sidebar-tree a", (all) => all.map((link) => link.href.split("#")[0]));
const list = [...new Set(links)].filter((link) => link.startsWith(address) && link.endsWith(".html") && !link.includes("/playground/index"));
for (const link of list) {
  await page.goto(link);
  found.pages.push(link.slice(address.length + 1));
  const formula = page.locator(".formula").first();
  if (await formula.count()) {
    await formula.scrollIntoViewIfNeeded();
    await page.locator(".formula .katex").first().waitFor();
    if (await page.locator(".katex-error").count()) found.errors.push(`${link}: a formula that cannot be read`);
  }
  const diagram = page.locator("pre.mermaid").first();
  if (await diagram.count()) {
    await diagram.scrollIntoViewIfNeeded();
    await page.locator("pre.mermaid svg").first().waitFor({ state: "attached" });
    const light = await diagram.innerHTML();
    await page.evaluate(() => { document.body.dataset.theme = "dark"; }); // what the button for the theme does
    await page.waitForFunction((old) => document.querySelector("pre.mermaid").innerHTML !== old && document.querySelector("pre.mermaid svg"), light);
  }
}

await page.goto(`${address}/search.html?q=critic`);
await page.locator("ul.search li").first().waitFor();

/** What a canvas shows, in short. */
const look = (play, which = 0) => play.evaluate((number) => document.querySelectorAll("main canvas")[number].toDataURL(), which);
const settled = async (play) => {
  const done = () => {
    const status = document.querySelector(".status");
    return status && !status.textContent.includes("loading") && document.querySelector("section[data-ready]");
  };
  await play.waitForFunction(done);
};
/** Moves a slider as a finger does, and waits for the picture. */
async function slide(play, name, value) {
  const before = await look(play);
  const took = await play.evaluate(([label, wanted]) => new Promise((resolve) => {
    const input = [...document.querySelectorAll(".control")].find((one) => one.querySelector("label").textContent === label).querySelector("input");
    const status = document.querySelector(".status");
    const start = performance.now();
    const watch = new MutationObserver(() => {
      watch.disconnect();
      resolve(performance.now() - start);
    });
    watch.observe(status, { childList: true, characterData: true, subtree: true });
    input.value = wanted;
    input.dispatchEvent(new Event("input"));
  }), [name, value]);
  return [took, before, await look(play)];
}

/** A stroke over the sheet, with the mouse. */
async function stroke(play) {
  const paper = play.locator("canvas.paper");
  await paper.scrollIntoViewIfNeeded();
  const box = await paper.boundingBox();
  await play.mouse.move(box.x + box.width * 0.3, box.y + box.height * 0.3);
  await play.mouse.down();
  await play.mouse.move(box.x + box.width * 0.7, box.y + box.height * 0.6, { steps: 12 });
  await play.mouse.up();
  await play.waitForTimeout(300);
}

const play = await watched({ viewport: { width: 1280, height: 900 } });
const sliders = { "01": "Direction 1", "02": "Direction 1", "03": "Direction 1", "04": "Way to the next class", "06": "Noise on the translation", "07": "Alpha", "08": "coarse styles from another face" };
for (const [room, label] of Object.entries(sliders)) {
  const start = performance.now();
  await play.goto("about:blank");
  await play.goto(`${address}/playground/index.html#room=${room}`);
  await settled(play);
  const opened = performance.now() - start;
  const which = room === "06" ? 2 : 0; // the way back
  const first = await look(play, which);
  const taps = [];
  for (const value of ["0.4", "0.9", "0.2", "0.8", "0.3", "0.6", "0.7"]) taps.push((await slide(play, label, room === "06" ? `${0.3 * value}` : room.match(/0[123]/) ? `${6 * value}` : value))[0]);
  found.changed[room] = [first, await look(play, which)];
  found.times[room] = { opened: Math.round(opened), tap: Math.round(taps.sort((a, b) => a - b)[3]) };
  const walk = play.getByRole("button", { name: "Walk" });
  if (await walk.count()) {
    await walk.click();
    found.times[room].walk = await play.evaluate(() => new Promise((resolve) => {
      let pictures = 0;
      new MutationObserver(() => pictures++).observe(document.querySelector(".status"), { childList: true, characterData: true, subtree: true });
      setTimeout(() => resolve(`${(pictures / 2).toFixed(0)} pictures a second`), 2000);
    }));
  }
  await play.screenshot({ path: join(folder, `room_${room}.png`), fullPage: true });
  if (await walk.count()) { // a link that is shared on the way leads to where it is
    const way = await play.evaluate(() => {
      [...document.querySelectorAll("button")].find((one) => one.textContent === "Share").click();
      return location.hash;
    });
    if (/seed=1&way=0(\.00)?(&|$)/.test(way)) found.errors.push(`${room}: what is shared on a walk is its start`);
  }
  const stop = play.getByRole("button", { name: "Stop" });
  if (await stop.count()) await stop.click(); // or the walk would change the picture
  if (room === "01") { // a link after a walk leads to where it has come
    await play.waitForTimeout(1000);
    const [mine, link] = [await look(play), play.url()];
    await play.goto("about:blank");
    await play.goto(link);
    await settled(play);
    found.walked = [first, mine, await look(play)];
  }
  const resolution = play.getByLabel("Resolution", { exact: true }); // chapter 07: each is a network of its own
  const sizes = (await resolution.count()) ? await resolution.locator("option").evaluateAll((all) => all.map((one) => one.value)) : [];
  for (const size of sizes) {
    const before = await look(play);
    if (size === (await resolution.inputValue())) continue;
    await resolution.selectOption(size);
    await play.waitForFunction((old) => document.querySelector("main canvas").toDataURL() !== old, before);
    found.changed[`${room} at ${size}`] = [before, await look(play)];
  }
}

// Chapter 05: a stroke with the mouse, and one with the keyboard; the answer follows.
await play.goto("about:blank");
await play.goto(`${address}/playground/index.html#room=05`);
await settled(play);
await play.getByRole("button", { name: "New sheet" }).click();
const blank = [await look(play, 0), await look(play, 1)];
await stroke(play);
const drawn = [await look(play, 0), await look(play, 1)];
[found.changed["05 paper"], found.changed["05 answer"]] = [[blank[0], drawn[0]], [blank[1], drawn[1]]];
await play.locator("canvas.paper").focus();
await play.keyboard.down(" ");
for (let i = 0; i < 6; i++) await play.keyboard.press("ArrowLeft");
await play.keyboard.up(" ");
found.changed["05 keyboard"] = [drawn[0], await look(play, 0)];
found.times["05"] = { tap: Math.round(Number(await play.locator(".status").getAttribute("data-milliseconds"))) };
await play.screenshot({ path: join(folder, "room_05.png"), fullPage: true });
await play.locator("canvas.paper").blur();
await play.getByRole("button", { name: "Undo" }).click();
await play.waitForTimeout(300);
if ((await look(play, 0)) !== drawn[0]) found.errors.push("undo does not take the last stroke back");
await play.waitForFunction(() => location.hash.match(/w\d+-/g)?.length === 1); // the address has the one stroke that is left
const drawing = play.url();

// Chapter 06: a stroke on an empty sheet; the translation follows.
await play.goto("about:blank");
await play.goto(`${address}/playground/index.html#room=06&direction=AtoB&sheet=c`);
await settled(play);
const empty = [await look(play, 0), await look(play, 1)];
await stroke(play);
[found.changed["06 paper"], found.changed["06 translation"]] = [[empty[0], await look(play, 0)], [empty[1], await look(play, 1)]];
const faces = await look(play, 0);
await play.getByRole("button", { name: "Example 2" }).click();
await play.waitForFunction((old) => document.querySelector("main canvas").toDataURL() !== old, faces);
const given = await look(play, 0);
await play.getByLabel("Direction", { exact: true }).selectOption("BtoA"); // the same example, from the other side
await play.waitForFunction((old) => document.querySelector("main canvas").toDataURL() !== old, given);
await play.screenshot({ path: join(folder, "room_06_drawn.png"), fullPage: true });

// The picture of the root README: docs/pictures/playground.png.
const shown = await watched({ viewport: { width: 1100, height: 900 } });
await shown.goto(`${address}/playground/index.html#room=05&sheet=e7`);
await settled(shown);
await shown.waitForTimeout(1500);
await shown.screenshot({ path: join(folder, "playground.png"), clip: { x: 0, y: 100, width: 1100, height: 720 } });

// A state is an address: the same seed shows the same picture to somebody else.
await play.goto("about:blank");
await play.goto(`${address}/playground/index.html#room=01&seed=77&d1=3`);
await settled(play);
const [mine, link] = [await look(play), play.url()];
const other = await watched({ viewport: { width: 390, height: 800 }, colorScheme: "dark", hasTouch: true });
await other.goto(link);
await settled(other);
if ((await look(other)) !== mine) found.errors.push("a shared address shows another picture");
await other.goto("about:blank");
await other.goto(drawing);
await settled(other);
if ((await look(other)) !== drawn[0]) found.errors.push("a shared address shows another drawing");
await other.screenshot({ path: join(folder, "phone_dark.png"), fullPage: true });

// Every room on a telephone: as narrow as that, with names for a screen reader, and hints whose links lead somewhere.
const hints = new Set();
for (const room of ["05", ...Object.keys(sliders), "ring", "transport"]) {
  await other.goto("about:blank");
  await other.goto(`${address}/playground/index.html#room=${room}`);
  await other.waitForSelector("section[data-ready]");
  const wide = await other.evaluate(() => document.documentElement.scrollWidth > window.innerWidth);
  if (wide) found.errors.push(`room ${room} is wider than a telephone`);
  const nameless = await other.evaluate(() => [...document.querySelectorAll("input, select, button, canvas")]
    .filter((one) => !(one.labels?.length || one.getAttribute("aria-label") || one.textContent.trim())).length);
  if (nameless) found.errors.push(`room ${room}: ${nameless} controls have no name for a screen reader`);
  for (const link of await other.$$eval(".hint a", (all) => all.map((one) => one.href))) hints.add(link);
}
for (const link of hints) {
  const [leads, anchor] = link.split("#");
  const answer = await other.request.get(leads);
  if (!answer.ok() || (anchor && !(await answer.text()).includes(`id="${anchor}"`))) found.errors.push(`${link} leads nowhere`);
}

// The transport plan, and the ring until it covers modes.
await play.goto("about:blank");
await play.goto(`${address}/playground/index.html#room=transport`);
await settled(play);
const [, near, far] = await slide(play, "Distance θ", "2");
found.changed.transport = [near, far];
await play.screenshot({ path: join(folder, "room_transport.png"), fullPage: true });
await play.goto("about:blank");
await play.goto(`${address}/playground/index.html#room=ring&pace=10`);
await settled(play);
const start = performance.now();
await play.getByRole("button", { name: "Train" }).click();
await play.waitForFunction(() => Number(document.querySelector(".status").dataset.covered) >= 5, null, { timeout: 120_000 }).catch(() => {});
await play.getByRole("button", { name: "Stop" }).click();
found.covered = Number(await play.locator(".status").getAttribute("data-covered"));
found.times.ring = { covered: await play.locator(".status").textContent(), seconds: Math.round((performance.now() - start) / 1000) };
await play.screenshot({ path: join(folder, "room_ring.png"), fullPage: true });

await browser.close();
for (const [room, times] of Object.entries(found.times)) console.log(room, JSON.stringify(times));
console.log(JSON.stringify(found));
