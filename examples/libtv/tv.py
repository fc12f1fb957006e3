# SPDX-License-Identifier: GPL-2.0-or-later
"""libtv for Python, by ctypes on libtv.so.1: see tv.h.

    code = bytes.fromhex("488d043ec3")              # lea (%rsi,%rdi), %rax; ret
    pal = tv.Pal(code, data=b"", params=[tv.INTEGER, tv.INTEGER])
    pal.register()
    pal.call(40, 2)                                 # 42, computed in the PAL
    pal.unregister()

Code is position-independent, and finds its data on the page after its last one. A call that does not reach the PAL runs
the code as it is: let it look at a word of its data first, which is zero outside.
"""
import ctypes
import mmap

PAGE = 4096
CODE, DATA, PARAM, STACK = 1, 2, 3, 4
MAX_SECTIONS = MAX_PARAMS = 10
ERRORS = 2           # flag: a call that fails returns CALL_FAILED, in place of SIGSEGV
FPU = 4              # flag: the PAL has FPU and SIMD registers of its own
DEBUG, FIXED = 1, 4  # options, measured: its registers are in the log when it faults; addresses count
CALL_FAILED = 2 ** 64 - 1


class Section(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("type", ctypes.c_uint32), ("page_num", ctypes.c_uint32), ("start_addr", ctypes.c_uint64)]


class Sections(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("num_sections", ctypes.c_uint32), ("pad", ctypes.c_uint32), ("sections", Section * MAX_SECTIONS)]


class Param(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("type", ctypes.c_uint32), ("pad", ctypes.c_uint32), ("size", ctypes.c_uint64)]


class Params(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("num_params", ctypes.c_uint32), ("pad", ctypes.c_uint32), ("params", Param * MAX_PARAMS)]


class Entry(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("address", ctypes.c_uint64), ("params", Params)]


class Options(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("flags", ctypes.c_uint32), ("reserved", ctypes.c_uint32), ("owner_tag", ctypes.c_ubyte * 32)]


class Status(ctypes.Structure):
    _fields_ = [("present", ctypes.c_bool), ("why", ctypes.c_uint32), ("vector", ctypes.c_uint32),
                ("error_code", ctypes.c_uint32), ("calls", ctypes.c_uint32), ("rip", ctypes.c_uint64),
                ("address", ctypes.c_uint64)]


INTEGER = Param(type=1)


def pointer(words):
    """A parameter that leads to so many words of 8 bytes, copied in and back."""
    return Param(type=2, size=words)


class Error(Exception):
    """An answer of libtv; `result` is enum tv_result."""

    def __init__(self, result):
        super().__init__(library().tv_result_text(result).decode())
        self.result = result


def library(path="libtv.so.1", loaded={}):
    """The library, loaded once."""
    if not loaded:
        lib = ctypes.CDLL(path)
        lib.tv_register_options.argtypes = [ctypes.POINTER(Sections), ctypes.POINTER(Entry), ctypes.c_uint32,
                                            ctypes.c_uint32, ctypes.POINTER(Options)]
        lib.tv_unregister.argtypes = [ctypes.POINTER(Sections), ctypes.c_void_p]
        lib.tv_status.argtypes = [ctypes.POINTER(Sections), ctypes.POINTER(Status)]
        lib.tv_status.restype = ctypes.c_bool
        lib.tv_result_text.restype = lib.tv_why_text.restype = ctypes.c_char_p
        loaded[0] = lib
    return loaded[0]


def level():
    """1 or 2: TrustVisor is there, for that level; 0: it is not."""
    return library().tv_detect()


def pages(content):
    return max(1, -(-len(content) // PAGE))


class Pal:
    """Machine code with its data, on pages of its own."""

    def __init__(self, code, data, params, param_pages=1, stack_pages=1):
        counts = [pages(code), pages(data), param_pages, stack_pages]
        self.memory = mmap.mmap(-1, sum(counts) * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS,
                                prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        self.start = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        self.code, self.code_bytes = code, counts[0] * PAGE
        self.sections, at = Sections(num_sections=4), self.start
        for i, (kind, count) in enumerate(zip((CODE, DATA, PARAM, STACK), counts)):
            self.sections.sections[i] = Section(kind, count, at)
            at += count * PAGE
        self.entry = Entry(address=self.start, params=Params(num_params=len(params)))
        for i, param in enumerate(params):
            self.entry.params.params[i] = param
        self.memory[0:len(code)] = code
        self.fill(data)

    def fill(self, data):
        """What the PAL's data shall be; the last moment when anybody outside sees it."""
        ctypes.memmove(self.start + self.code_bytes, data, len(data))

    def register(self, flags=0, options=0, owner_tag=bytes(32)):
        """`owner_tag`: 32 bytes; like `options` it is measured, and decides which secrets are the PAL's."""
        if len(owner_tag) != 32:
            raise ValueError("an owner tag has 32 bytes")
        chosen = Options(options, 0, (ctypes.c_ubyte * 32)(*owner_tag))
        result = library().tv_register_options(self.sections, self.entry, 1, flags,
                                               chosen if options or any(owner_tag) else None)
        if result:
            raise Error(result)

    def call(self, *args):
        return ctypes.CFUNCTYPE(ctypes.c_uint64, *[ctypes.c_uint64] * len(args))(self.start)(*args)

    def status(self):
        status = Status()
        return status if library().tv_status(self.sections, status) else None

    def unregister(self):
        result = library().tv_unregister(self.sections, self.start)
        if result:
            raise Error(result)
