#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What a machine in QEMU shows on its screen: in VGA's text mode by its memory, else by the pixels of a screen dump, in
which the glyphs of the core's font are looked for.

usage: screen.py [--never TEXT] [--serial TEXT] [--pixels] [--firmware] --shows TEXT [--shows TEXT] -- QEMU...
Runs QEMU until the screen shows each text, and ends it. Rows are joined by a space: a text may be in several.
--never: fails if the screen has shown this; --serial: what the serial line must have said first. Status 0 if all were
seen within the timeout; else it prints the screen.
--firmware: the console of UEFI firmware, which has a font of its own. QEMU gets a second disk, from which the
firmware's shell writes a row with the characters, so that the screens before it can be read: that the shell comes, too,
is tested.
"""
import argparse
import pathlib
import re
import runpy
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
glyphs_of = runpy.run_path(str(ROOT / "tools" / "font" / "console-font"))["glyphs"]
TEXT_MEMORY, COLUMNS, ROWS = 0xb8000, 80, 25
TEXT_BYTES = COLUMNS * ROWS * 2
WIDTH, HEIGHT, SCALES = 8, 16, (1, 2, 3, 4)
POLL_SECONDS = 0.3
LIGHT = bytes(value > 127 for value in range(256))

# Of the firmware's console: the cells, the modes that stand in the middle of the screen, and what the shell writes.
CELL = 8, 19
MODES = (100, 31), (80, 25), (80, 50), (128, 40), (160, 42)
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.,:()-/\\;_'"


def read_ppm(data):
    """Width, height, and for each pixel whether it is light."""
    found = re.match(rb"P6\s+(\d+)\s+(\d+)\s+255\s", data)
    if not found:
        return None
    width, height = int(found[1]), int(found[2])
    body = data[found.end():]
    if len(body) < 3 * width * height:
        return None
    return width, height, body[:3 * width * height:3].translate(LIGHT)


def rows_of_pixels(data, names):
    """The rows of characters, at the scale where most are known; names: 16 bytes of a glyph -> character."""
    picture = read_ppm(data)
    if not picture:
        return []
    width, height, light = picture
    best, best_known = [], 0
    for scale in SCALES:
        rows, known = [], 0
        for top in range(0, height - HEIGHT * scale + 1, HEIGHT * scale):
            text = ""
            for left in range(0, width - WIDTH * scale + 1, WIDTH * scale):
                glyph = bytes(sum(light[(top + y * scale) * width + left + x * scale] << (WIDTH - 1 - x)
                                  for x in range(WIDTH)) for y in range(HEIGHT))
                text += names.get(glyph, "\0")
            rows.append(text)
            known += sum(c not in "\0 " for c in text)
        if known > best_known:
            best, best_known = rows, known
    return best


def cells_of(picture, columns, rows):
    """The pixels of each character of a console in the middle of the screen, by rows."""
    width, height, light = picture
    (wide, high), cells = CELL, []
    for top in range((height - rows * high) // 2, (height + rows * high) // 2 - high + 1, high):
        lines = [light[(top + y) * width:(top + y + 1) * width] for y in range(high)]
        left = (width - columns * wide) // 2
        cells.append([b"".join(line[x:x + wide] for line in lines) for x in range(left, left + columns * wide, wide)])
    return cells


def learn(picture):
    """The mode of the firmware's console and its glyphs -> characters, if this screen has the row of the alphabet."""
    for mode in MODES:
        if mode[0] * CELL[0] > picture[0] or mode[1] * CELL[1] > picture[1]:
            continue
        for row in cells_of(picture, *mode):
            if len(set(row[:len(ALPHABET)])) == len(ALPHABET) and not any(any(c) for c in row[len(ALPHABET):]):
                return mode, dict(zip(row, ALPHABET))
    return None


def text_of_firmware(picture, mode, names):
    """The console's text; a row that is full goes on in the next one."""
    return "\n".join("".join(names.get(cell, "?" if any(cell) else " ") for cell in row)
                     for row in cells_of(picture, *mode))


def rows_of_text(data):
    text = data[::2].decode("cp437")
    return [text[at:at + COLUMNS] for at in range(0, len(text), COLUMNS)]


class Machine:
    """QEMU with its monitor at our end of a pipe."""

    def __init__(self, command, work):
        self.work = work
        self.serial = work / "serial"
        self.process = subprocess.Popen(
            [*command, "-display", "none", "-monitor", "stdio", "-serial", f"file:{self.serial}", "-net", "none"],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def picture(self):
        return read_ppm(self.ask("screendump {path}", "screen.ppm", 100000))

    def has_said(self, texts):
        said = self.serial.read_text("latin-1") if self.serial.exists() else ""
        return all(text in said for text in texts)

    def ask(self, command, name, least):
        """The file that the monitor's command writes, or nothing if it does not in time."""
        path = self.work / name
        path.unlink(missing_ok=True)
        try:
            self.process.stdin.write(command.format(path=path).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return b""
        for _ in range(100):
            if path.exists() and path.stat().st_size >= least:
                return path.read_bytes()
            time.sleep(0.02)
        return b""

    def screen(self, names):
        """All rows of both readings: one of them is of what is not shown, and has no words in it."""
        pixels = self.ask("screendump {path}", "screen.ppm", 100000)
        text = self.ask(f'pmemsave {TEXT_MEMORY:#x} {TEXT_BYTES} "{{path}}"', "text", TEXT_BYTES)
        return rows_of_pixels(pixels, names), rows_of_text(text)

    def end(self):
        self.process.kill()
        self.process.wait()


def joined(rows):
    return re.sub(r" +", " ", " ".join(row.replace("\0", " ").strip() for row in rows))


class Recorder:
    """All screens that come, by a thread that does nothing else: what is shown for some seconds would be over while
    another screen is looked at, on a busy host."""

    def __init__(self, machine):
        self.machine, self.seen, self.over = machine, [], threading.Event()
        self.thread = threading.Thread(target=self._record, daemon=True)
        self.thread.start()

    def _record(self):
        while not self.over.wait(POLL_SECONDS):
            picture = self.machine.picture()
            if picture and picture not in self.seen[-1:]:
                self.seen.append(picture)

    def end(self):
        self.over.set()
        self.thread.join()
        return self.seen


def firmware_shows(machine, o, deadline):
    """The screens until the shell's row comes; then whether one of them had the texts. Prints what it saw."""
    recorder, learned, looked = Recorder(machine), None, 0
    while not learned and time.monotonic() < deadline and machine.process.poll() is None:
        if looked == len(recorder.seen):
            time.sleep(POLL_SECONDS)
            continue
        looked = len(recorder.seen)
        learned = learn(recorder.seen[looked - 1])
    seen = recorder.end()
    if not learned:
        print("the firmware's shell has not come")
        return False
    texts = [text_of_firmware(picture, *learned) for picture in seen]
    flat = [re.sub(r" +", " ", text.replace("\n", "")) for text in texts]
    if any(all(text in t for text in o.shows) for t in flat) and machine.has_said(o.serial):
        print(f"shown: {'; '.join(o.shows)}")
        return True
    print(f"not shown: {'; '.join(o.shows)}")
    for text in texts:
        print("---", *(row.rstrip() for row in text.split("\n") if row.strip()), sep="\n")
    return False


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shows", action="append", default=[], required=True)
    parser.add_argument("--never", action="append", default=[])
    parser.add_argument("--serial", action="append", default=[])
    parser.add_argument("--silent", action="store_true", help="nothing may have come by the serial line")
    parser.add_argument("--pixels", action="store_true", help="by pixels alone")
    parser.add_argument("--firmware", action="store_true", help="the console of UEFI firmware")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("qemu", nargs="+")
    o = parser.parse_args()
    names = {glyph: c for c, glyph in glyphs_of((ROOT / "build" / "font" / "console.psf").read_bytes()).items()
             if " " <= c <= "~"}
    deadline = time.monotonic() + o.seconds
    with tempfile.TemporaryDirectory() as name:
        work = pathlib.Path(name)
        if o.firmware:
            (work / "disk").mkdir()
            (work / "disk" / "startup.nsh").write_text(f"@echo -off\necho {ALPHABET}\n")
            o.qemu += ["-drive", f"file=fat:rw:{work}/disk,format=raw"]
        machine = Machine(o.qemu, work)
        try:
            if o.firmware:
                return 0 if firmware_shows(machine, o, deadline) else 1
            readings = [], []
            while time.monotonic() < deadline and machine.process.poll() is None:
                said = machine.has_said(o.serial)
                readings = machine.screen(names)
                texts = [joined(readings[0])] + ([] if o.pixels else [joined(readings[1])])
                if o.silent and machine.serial.exists() and machine.serial.stat().st_size:
                    print("the serial line is not silent")
                    break
                seen = [text for text in o.never if any(text in t for t in texts)]
                if seen:
                    print(f"the screen shows what it must not: {seen[0]}")
                    break
                if said and any(all(text in t for text in o.shows) for t in texts):
                    print(f"shown: {'; '.join(o.shows)}")
                    return 0
                time.sleep(POLL_SECONDS)
            else:
                print(f"not shown: {'; '.join(o.shows)}")
        finally:
            machine.end()
    for rows in readings:
        print("---", *(row.replace("\0", "?").rstrip() for row in rows if row.strip(" \0\xa0")), sep="\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
