#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Does every link of a site lead somewhere?

usage: site_links.py FOLDER    prints each link from one of its .html files to a local file or anchor that does not
                               exist
"""
import html.parser
import pathlib
import sys
import urllib.parse


class Page(html.parser.HTMLParser):
    def __init__(self, path):
        super().__init__()
        self.anchors, self.links = set(), set()
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.anchors |= {attrs.get("id"), attrs.get("name") if tag == "a" else None}
        self.links |= {attrs.get("href"), attrs.get("src")} - {None, ""}


def main():
    folder = pathlib.Path(sys.argv[1])
    pages = {path: Page(path) for path in sorted(folder.glob("*.html"))}
    dead = []
    for path, page in pages.items():
        for link in sorted(page.links):
            url = urllib.parse.urlsplit(link)
            target = folder / urllib.parse.unquote(url.path) if url.path else path
            if url.scheme:      # javascript:, or another site
                continue
            if not target.exists():
                dead.append(f"{path.name}: {link}: no such file")
            elif url.fragment and target in pages and url.fragment not in pages[target].anchors:
                dead.append(f"{path.name}: {link}: no such anchor")
    print("\n".join(dead) or f"{len(pages)} pages, {sum(len(page.links) for page in pages.values())} links")
    return 1 if dead or not pages else 0


if __name__ == "__main__":
    sys.exit(main())
