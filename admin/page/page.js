// The status page. It gets everything by server-sent events, and puts it into the document as text:
// names and addresses are as clients have sent them.
"use strict";

// What each reason of a refusal means for who looks after the server.
const advice = {
	"malformed": "The request breaks RFC 27: what sends it is no libzmq.",
	"stopped": "The authenticator does not serve: the program ends, or has stopped it.",
	"address-denied": "A rule of addresses refuses it: see allow and deny, of the domain and of \"*\".",
	"unknown-mechanism": "The client uses a mechanism that is none of NULL, PLAIN, CURVE, GSSAPI.",
	"not-configured": "The domain has no entry for this mechanism: plain, curve or gssapi.",
	"unknown-user": "The password file has no such user: zmqauth passwd FILE USER adds one.",
	"wrong-password": "The user is there, the password is another: zmqauth passwd FILE USER --verify.",
	"unknown-key": "No certificate with this key is in the domain's directory: copy the client's NAME.key there.",
	"key-expired": "The certificate's not-after is over: make a new one, or change it.",
	"key-not-yet-valid": "The certificate's not-before has not come: look at the clocks.",
	"unknown-principal": "The domain's gssapi list does not name this principal.",
	"stale": "The file or directory could not be used for too long: see below what is followed.",
	"user-expired": "The user's time is over.",
	"user-not-yet-valid": "The user's time has not come: look at the clocks.",
	"principal-expired": "The principal's time is over.",
	"principal-not-yet-valid": "The principal's time has not come: look at the clocks.",
	"pending-key": "An unknown key waits to be approved: see the keys that wait.",
	"suspended": "The domain or the client is suspended: it is told to try again.",
	"callback-denied": "The program's callback has refused.",
	"callback-try-again": "The program's callback asks for another try.",
	"callback-timeout": "The program's callback took too long.",
	"callback-error": "The program's callback has failed: see the error and the log.",
	"callback-panic": "The program's callback has panicked: the log has the stack.",
	"overloaded": "Too many wait for callbacks or password hashes: see the queues.",
	"canceled": "The request was given up.",
	"internal": "A fault of zmqauth's own: the log has the stack. Please report it.",
};

const svgSpace = "http://www.w3.org/2000/svg";
const colours = 8;
const latest = {};        // the last event of each kind
const colourOf = new Map(); // of reasons
let paused = false;
let before = null;        // the status of the second before

const byID = (id) => document.getElementById(id);

function element(name, text, className) {
	const e = document.createElement(name);
	if (text !== undefined) e.textContent = text;
	if (className) e.className = className;
	return e;
}

function svg(name, attributes, text) {
	const e = document.createElementNS(svgSpace, name);
	for (const [key, value] of Object.entries(attributes)) e.setAttribute(key, value);
	if (text !== undefined) e.textContent = text;
	return e;
}

// table fills a table. A cell is a text, or [text, class].
function table(id, head, rows) {
	const t = byID(id);
	if (t.tHead.childElementCount === 0) {
		const row = element("tr");
		for (const name of head) {
			const th = element("th", name);
			th.scope = "col";
			row.append(th);
		}
		t.tHead.append(row);
	}
	t.tBodies[0].replaceChildren(...rows.map((cells) => {
		const row = element("tr");
		cells.forEach((cell, i) => {
			const [text, className] = Array.isArray(cell) ? cell : [cell, ""];
			const td = element("td", undefined, className);
			td.dataset.label = head[i];
			td.append(element("span", String(text)));
			row.append(td);
		});
		return row;
	}));
	t.hidden = rows.length === 0;
}

function ago(since, now) {
	const s = Math.max(0, Math.round((now - Date.parse(since)) / 1000));
	if (s < 120) return `${s} s`;
	if (s < 7200) return `${Math.round(s / 60)} min`;
	if (s < 172800) return `${Math.round(s / 3600)} h`;
	return `${Math.round(s / 86400)} days`;
}

const clock = (at) => new Date(at).toLocaleTimeString();
const rate = (x) => x >= 100 ? x.toFixed(0) : x.toFixed(1);
const sum = (list) => list.reduce((a, b) => a + b, 0);

function showStatus(s) {
	const now = Date.parse(s.now);
	document.title = s.program || "zmqauth";
	byID("program").textContent = `${s.program || "zmqauth"} ${s.version || ""}`;
	const state = byID("state");
	state.textContent = paused ? "paused" : s.ready ? `ready, ${clock(s.now)}` : `not ready: ${s.why}`;
	state.className = s.ready ? "good" : "bad";
	const accepted = sum(s.decisions.filter((d) => d.status === 200).map((d) => d.count));
	const refused = sum(s.decisions.filter((d) => d.status !== 200).map((d) => d.count));
	let rates = ["–", "–"];
	if (before && now > before.now) {
		const seconds = (now - before.now) / 1000;
		rates = [rate((accepted - before.accepted) / seconds), rate((refused - before.refused) / seconds)];
	}
	before = {now, accepted, refused};
	const facts = [
		["sessions", s.sessions], ["accepted a second", rates[0]], ["refused a second", rates[1]],
		["accepted", accepted], ["refused", refused], ["unanswered", s.pending],
		["turned away by limits", s.turned_away], ["broken entries", s.broken],
		["runs for", ago(s.started, now)],
	];
	byID("now").replaceChildren(...facts.map(([name, value]) => {
		const box = element("div");
		box.append(element("dt", name), element("dd", String(value)));
		return box;
	}));
	table("decisions", ["Domain", "Mechanism", "Status", "Reason", "Count"], s.decisions.map((d) =>
		[d.domain, d.mechanism, d.status, d.reason, [d.count, "number"]]));
	table("queues", ["Queue", "Running", "Waiting"], s.queues.map((q) =>
		[q.queue, [q.running, "number"], [q.waiting, "number"]]));
	table("followed", ["Domain", "What", "Where", "Last change", "Usable"], s.followed.map((f) =>
		[f.domain, f.kind, f.path, f.changed ? `${ago(f.changed, now)} ago` : "",
			f.since ? [`not for ${ago(f.since, now)}: ${f.error || ""}`, "bad"] : ["yes", "good"]]));
	byID("no-followed").hidden = s.followed.length > 0;
	const f = s.fleet, fleet = byID("fleet");
	fleet.textContent = !f ? "" : f.problem || "The fleet's news are fresh: revision " +
		`${f.position.revision}, ${f.keys} keys, ${f.users} users, ${f.principals} principals.`;
	fleet.className = f && f.problem ? "bad" : "";
	const r = s.reloads, reloads = byID("reloads");
	reloads.textContent = !r || !r.last ? "" : r.last === "ok" ?
		`The policy was reloaded ${ago(r.at, now)} ago.` :
		`The last reload, ${ago(r.at, now)} ago, has failed${r.last === "partly" ? " partly" : ""}: ${r.error}`;
	reloads.className = r && r.last && r.last !== "ok" ? "bad" : "";
}

function showRefusals(list) {
	byID("no-refusals").hidden = list.length > 0;
	table("refusals", ["Last", "Times", "Reason", "Who", "From", "Domain", "What to do"], list.map((r) =>
		[clock(r.last), [r.count, "number"], `${r.reason} (${r.status})`, r.about || "", r.address,
			`${r.domain} ${r.mechanism}`, (r.error ? `${r.error}. ` : "") + (advice[r.reason] || "")]));
}

function showPending(list) {
	byID("pending-section").hidden = list === null;
	byID("no-pending").hidden = (list || []).length > 0;
	table("pending", ["Fingerprint", "From", "Domain", "Tries", "Last"], (list || []).map((p) =>
		[p.fingerprint, p.address, p.domain, [p.tries, "number"], clock(p.last)]));
}

function showSessions(s) {
	const wanted = byID("filter").value.toLowerCase();
	const rows = s.latest.map((one) => [one.id, one.user || "", one.key || "",
		one.port ? `${one.address} port ${one.port}` : one.address, one.domain, one.mechanism,
		(one.frontends || []).join(", "), clock(one.since)]);
	const chosen = rows.filter((cells) => cells.some((c) => String(c).toLowerCase().includes(wanted)));
	byID("session-count").textContent = s.count === 0 ? "Nobody is connected." :
		`${s.count} ${s.count === 1 ? "session" : "sessions"}, ${chosen.length} shown` +
		(s.count > s.latest.length ? ` of the latest ${s.latest.length}` : "");
	table("sessions", ["ID", "User", "Key", "From", "Domain", "Mechanism", "Frontend", "Since"], chosen);
}

function colour(reason) {
	if (!colourOf.has(reason)) colourOf.set(reason, colourOf.size % colours);
	return `c${colourOf.get(reason)}`;
}

const refusalsOf = (step) => Object.entries(step.counts).filter(([reason]) => reason !== "accepted");

function showHistory(steps) {
	const width = 720, height = 120, slots = 180, bar = width / slots;
	const most = Math.max(1, ...steps.map((s) => sum(refusalsOf(s).map(([, n]) => n)) / s.seconds));
	const minutes = steps.length * 5 / 60;
	const picture = svg("svg", {viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img",
		"aria-label": `Refusals a second over ${minutes.toFixed(0)} minutes, ${rate(most)} at most`});
	const reasons = new Set();
	steps.forEach((step, i) => {
		let y = height;
		for (const [reason, count] of refusalsOf(step)) {
			reasons.add(reason);
			const h = count / step.seconds / most * (height - 16);
			y -= h;
			const box = svg("rect", {x: (slots - steps.length + i) * bar, y, width: bar * 0.9, height: h,
				class: colour(reason)});
			box.append(svg("title", {}, `${clock(step.at)}: ${count} ${reason}`));
			picture.append(box);
		}
	});
	picture.append(svg("text", {x: 4, y: 12}, `${rate(most)} a second`));
	byID("chart").replaceChildren(picture);
	byID("legend").replaceChildren(...(reasons.size ? [...reasons].sort() : []).map((reason) => {
		const item = element("li");
		const box = svg("svg", {viewBox: "0 0 10 10", "aria-hidden": "true"});
		box.append(svg("rect", {width: 10, height: 10, class: colour(reason)}));
		item.append(box, reason);
		return item;
	}));
	const rows = new Map(); // of minutes
	for (const step of steps) {
		const minute = new Date(step.at);
		minute.setSeconds(0, 0);
		for (const [reason, count] of Object.entries(step.counts)) {
			const key = `${minute.getTime()} ${reason}`;
			rows.set(key, [minute.toLocaleTimeString(), reason, (rows.get(key)?.[2] || 0) + count]);
		}
	}
	table("minutes", ["Minute", "Reason", "Count"], [...rows.values()].reverse().map(([m, r, n]) =>
		[m, r, [n, "number"]]));
}

const shows = {status: showStatus, refusals: showRefusals, sessions: showSessions, history: showHistory,
	pending: showPending};

function disconnected(text) {
	const state = byID("state");
	state.textContent = text;
	state.className = "bad";
}

// connect reads events. Where the server refuses, its answer says why.
function connect() {
	const events = new EventSource("events");
	for (const name of Object.keys(shows)) {
		events.addEventListener(name, (event) => {
			latest[name] = JSON.parse(event.data);
			if (!paused) shows[name](latest[name]);
		});
	}
	events.onerror = async () => {
		before = null;
		disconnected("no connection, trying again …");
		if (events.readyState !== EventSource.CLOSED) return;
		try {
			const answer = await fetch("events", {method: "HEAD"});
			if (answer.status === 401 || answer.status === 403) {
				const text = await (await fetch("events")).text();
				disconnected(`No access: ${text.trim()}. Load the page again afterwards.`);
				return;
			}
		} catch {
			// it is away
		}
		setTimeout(connect, 3000);
	};
}

byID("pause").addEventListener("click", () => {
	paused = !paused;
	byID("pause").setAttribute("aria-pressed", String(paused));
	byID("pause").textContent = paused ? "Go on" : "Pause";
	if (paused) byID("state").textContent = "paused";
	else for (const name of Object.keys(latest)) shows[name](latest[name]);
});
byID("filter").addEventListener("input", () => latest.sessions && showSessions(latest.sessions));
connect();
