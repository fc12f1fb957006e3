#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Is each test that docs/security.md names one of `make check`?

usage: security_tests.py    in the project's root; prints a line for each name that is none. `security/smm` and the like
must be cases or host programs, unit/sim_NAME stands for its variants; `a_test_of_one` must be a function of a test.
"""
import fnmatch
import pathlib
import re
import sys

import cases

DOCUMENT = pathlib.Path("docs/security.md")
GROUPS = sorted({case["name"].partition("/")[0] for case in cases.CASES})
VARIANTS = ("asan", "tsan")


def names_of_files(pattern, name):
    return {name.format(stem=path.stem.partition("_")[2], folder=path.parent.name)
            for path in pathlib.Path().glob(pattern)}


def tests():
    """Names as `make check` prints them."""
    simulated = names_of_files("tests/sim/sim_*.c", "{stem}") | names_of_files("hypapps/*/sim_*.c", "{folder}")
    return ({case["name"] for case in cases.CASES} | names_of_files("tests/unit/test_*.c", "unit/{stem}") |
            names_of_files("hypapps/*/test_*.c", "unit/hypapp_{folder}") |
            {f"unit/sim_{name}_{variant}" for name in simulated for variant in VARIANTS})


def functions():
    sources = [path for pattern in ("tests/unit/*.c", "tests/sim/*.c", "hypapps/*/test_*.c", "hypapps/*/sim_*.c")
               for path in pathlib.Path().glob(pattern)]
    return {name for path in sources for name in re.findall(r"^static void (\w+)\(void \*\*", path.read_text(), re.M)}


def main():
    words = set(re.findall(r"`([^`\n]+)`", DOCUMENT.read_text()))
    named = {word for word in words if word.partition("/")[0] in GROUPS and "/" in word and "." not in word}
    single = {word for word in words if re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)+", word)}
    all_tests, all_functions = tests(), functions()
    wrong = [name for name in sorted(named) if not fnmatch.filter(all_tests, name) and
             not any(f"{name}_{variant}" in all_tests for variant in VARIANTS)]
    wrong += sorted(single - all_functions)
    for name in wrong:
        print(f"{DOCUMENT}: `{name}` is no test")
    if len(named) < 30 or not single:
        print(f"{DOCUMENT} names {len(named)} tests: is it still understood?")
        return 1
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
