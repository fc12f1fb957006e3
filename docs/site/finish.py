#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What Doxygen does not do for the site: the guides' order as links to the page before and after, and the search's
index.

usage: finish.py FOLDER GUIDE...    FOLDER: Doxygen's pages; GUIDE: the sources of the guides, in their order
Fails if a guide has no page, or none of its words is in the index.
"""
import html
import html.parser
import json
import pathlib
import re
import sys

NOT_INDEXED = re.compile(r"^(dir_|globals|files|annotated|pages|classes|functions|topics|modules|index_)|"
                         r"_source\.html$")
HEADINGS = ("h1", "h2", "h3")


class Parts(html.parser.HTMLParser):
    """[[anchor, title, text], ...] of the parts of a page, each from a heading, or from a documented member."""

    def __init__(self, text):
        super().__init__()
        self.parts, self.title, self.name = [["", "", ""]], False, ""
        self.depth = self.skipped = 0
        start = text.find('<div class="contents">')
        name = re.search(r'<div class="title">(.*?)</div>', text, re.S)
        self.name = html.unescape(re.sub(r"<[^>]*>", "", name[1])).strip() if name else ""
        end = text.find("<!-- start footer part -->")
        self.feed(text[start:end] if start >= 0 else "")

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag in ("script", "style"):
            self.skipped += 1
        if tag in HEADINGS:
            self.parts.append(["", "", ""])
            self.title = True
        anchor = attrs.get("id") or (attrs.get("name") if tag == "a" else None)
        if anchor and not self.parts[-1][0] and self.title:
            self.parts[-1][0] = anchor

    def handle_endtag(self, tag):
        if tag in ("script", "style"):
            self.skipped -= 1
        if tag in HEADINGS:
            self.title = False
            # Doxygen names a documented member in a heading, and puts its anchor before it.
        self.handle_data(" ") if tag in ("td", "th", "p", "li", "div", "h1", "h2", "h3") else None

    def handle_data(self, data):
        if not self.skipped:
            self.parts[-1][1 if self.title else 2] += data


def squeeze(text):
    return re.sub(r"[\s◆­​]+", " ", text.replace("\xa0", " ")).strip()


def index(folder):
    entries = []
    for path in sorted(folder.glob("*.html")):
        if NOT_INDEXED.search(path.name):
            continue
        page = Parts(path.read_text())
        for anchor, title, text in page.parts:
            title, text = squeeze(title), squeeze(text)
            if title or text:
                address = path.name + (f"#{anchor}" if anchor else "")
                entries.append([address, " › ".join(w for w in (page.name, title) if w), text])
    return entries


def page_of(folder, guide):
    """Doxygen's name of the page of a guide."""
    if guide == "README.md":
        return folder / "index.html"
    return folder / f"md_{re.sub('[/-]', '_', guide.removesuffix('.md'))}.html"


def link(before, page):
    title = re.search(r'<div class="title">(.*?)</div>', page.read_text(), re.S)[1].strip()
    return f'<a class="{before}" href="{page.name}">{re.sub(r"<[^>]*>", "", title)}</a>'


def put_links(pages):
    for i, page in enumerate(pages):
        nav = "".join([link("before", pages[i - 1]) if i else "",
                       link("after", pages[i + 1]) if i + 1 < len(pages) else ""])
        text = page.read_text()
        contents, mark, rest = text.rpartition("</div><!-- contents -->")
        page.write_text(f'{contents}{mark}<nav class="order">{nav}</nav>{rest}')


def main():
    folder, pages = pathlib.Path(sys.argv[1]), []
    for guide in sys.argv[2:]:
        pages.append(page_of(folder, guide))
        if not pages[-1].exists():
            sys.exit(f"docs: {guide} has no page {pages[-1].name}")
    entries = index(folder)
    for page in pages:
        if not any(e[0].split("#")[0] == page.name and e[2] for e in entries):
            sys.exit(f"docs: the search knows no word of {page.name}")
    put_links(pages)
    (folder / "search-index.js").write_text(f"const site_parts = {json.dumps(entries, ensure_ascii=False)}\n")
    print(f"{len(pages)} guides in order, {len(entries)} parts of pages in the search's index")


if __name__ == "__main__":
    main()
