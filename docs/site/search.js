/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The search box of the site: finds the parts of pages in which all the words occur, wherever they stand. `site_parts`
 * is search-index.js, which finish.py made of the pages: [[address, title, text], ...]. No server is asked, so that it
 * works from a folder as well. "/" leads to the box, arrows and Enter to a hit, Escape away.
 */
"use strict"

const MOST_HITS = 12

/* What a part is worth for these words, 0 if one is missing. A word of the title counts more than one of the text. */
function worth([, title, text], words) {
	let sum = 0
	for (const word of words) {
		const inTitle = title.toLowerCase().includes(word)
		const times = text.toLowerCase().split(word).length - 1
		if (!inTitle && !times)
			return 0
		sum += (inTitle ? 20 : 0) + Math.min(times, 5)
	}
	return sum
}

function hits(query) {
	const words = query.toLowerCase().split(/\s+/).filter(Boolean)
	return words.length ? site_parts.map(part => [worth(part, words), part]).filter(([sum]) => sum)
		.sort((a, b) => b[0] - a[0]).slice(0, MOST_HITS).map(([, part]) => [part, words]) : []
}

/* The words around the first that was looked for. */
function excerpt(text, words) {
	const at = Math.max(0, ...words.map(word => text.toLowerCase().indexOf(word)).filter(i => i >= 0).slice(0, 1))
	const from = at > 60 ? text.indexOf(" ", at - 60) + 1 : 0
	return (from ? "… " : "") + text.slice(from, from + 160) + (text.length > from + 160 ? " …" : "")
}

function show(list, query) {
	const found = hits(query)
	list.replaceChildren(...found.map(([[address, title, text], words]) => {
		const link = document.createElement("a"), line = document.createElement("span")
		link.href = address
		link.textContent = title
		line.textContent = excerpt(text, words)
		link.append(line)
		return link
	}))
	if (!found.length && query.trim())
		list.textContent = "Nothing has all of these words."
	/* Below the box, over all else; the bar around the box would cut the list off. */
	const box = document.getElementById("site-search").getBoundingClientRect()
	list.style.top = `${box.bottom}px`
	list.style.left = `${box.left + 10}px`
	list.hidden = !query.trim()
}

/* Doxygen-awesome's own init() looks for Doxygen's search box, which this site does not have. */
function darkModeToggle() {
	const toggle = document.createElement("doxygen-awesome-dark-mode-toggle")
	toggle.title = "Light or dark"
	toggle.updateIcon()
	return toggle
}

document.addEventListener("DOMContentLoaded", () => {
	const place = document.createElement("div"), box = document.createElement("input"), list = document.createElement("div")
	place.id = "site-search"
	box.type = "search"
	box.placeholder = "Search (/)"
	box.setAttribute("aria-label", "Search in all guides and in the reference")
	list.hidden = true
	list.id = "site-hits"
	place.append(box, darkModeToggle())
	document.getElementById("titlearea").append(place)
	document.body.append(list)
	const isInside = element => place.contains(element) || list.contains(element)
	box.addEventListener("input", () => show(list, box.value))
	document.addEventListener("keydown", event => {
		const links = [...list.querySelectorAll("a")], at = links.indexOf(document.activeElement)
		if (event.key === "/" && !/^(INPUT|TEXTAREA)$/.test(document.activeElement.tagName))
			box.focus()
		else if (event.key === "Escape")
			list.hidden = true
		else if (event.key === "ArrowDown" && isInside(document.activeElement))
			links[Math.min(at + 1, links.length - 1)]?.focus()
		else if (event.key === "ArrowUp" && at >= 0)
			(links[at - 1] ?? box).focus()
		else if (event.key === "Enter" && document.activeElement === box)
			links[0]?.click()
		else
			return
		event.preventDefault()
	})
	document.addEventListener("click", event => { if (!isInside(event.target)) list.hidden = true })
})
