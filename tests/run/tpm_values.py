#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""usage: tpm_values.py RECORD

Checks what the micro-TPM gave out (hypapps/trustvisor/tpm/test_tpm.c writes it) with another library, from the
documented formats and the master secret. Also that the verifier of examples/quote-verifier accepts the quotes, and
what it refuses.
"""
import hashlib
import hmac
import os
import struct
import subprocess
import sys
import tempfile

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../examples/quote-verifier"))
import tv_measure  # noqa: E402
import tv_quote  # noqa: E402


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def sha1(*parts):
    return hashlib.sha1(b"".join(parts)).digest()


def derive(master, salt, label, whose, length):
    return HKDF(hashes.SHA256(), length, salt, label + b"\0" + whose).derive(master)


def same(what, got, wanted):
    assert got == wanted, f"{what}: {got.hex()}, not {wanted.hex()}"


def measure(pal):
    flags, _, tag = struct.unpack("<II32s", pal["options"])
    count, _ = struct.unpack_from("<II", pal["sections"])
    content = {1: pal["code"], 2: pal["data"]}
    sections = [(t, a, n, content.get(t, b""))
                for t, n, a in struct.iter_unpack("<IIQ", pal["sections"][8:8 + 16 * count])]
    count, _ = struct.unpack_from("<II", pal["params"])
    params = [(t, s) for t, _, s in struct.iter_unpack("<IIQ", pal["params"][8:8 + 16 * count])]
    return tag, tv_measure.measured(pal["level"], pal["width"], flags, tag, sections, [(pal["entry"], params)])


def check_seal(pal, master, whose, pcrs, digest):
    blob = pal["blob"]
    magic, mask, salt, release, creation = struct.unpack_from("<II16s32s32s", blob)
    assert (magic, mask) == (0x32425654, 5) and release == creation
    same("release", release, digest)
    key = derive(master, salt, b"seal SHA-256", whose, 32)
    same("unsealed", AESGCM(key).decrypt(bytes(12), blob[88:], blob[:88]), pal["plain"])
    try:
        AESGCM(key).decrypt(bytes(12), blob[88:], blob[:87] + b"\1")
        raise AssertionError("the head is not authenticated")
    except InvalidTag:
        pass
    old = pal["old_blob"]
    keys = derive(master, old[:16], b"seal SHA-1", whose, 36)
    same("HMAC", hmac.new(keys[16:], old[:-20], "sha1").digest(), old[-20:])
    plain = Cipher(algorithms.AES(keys[:16]), modes.CBC(old[:16])).decryptor().update(old[16:-20])
    same("old blob", plain, (b"\1\0\0" + struct.pack("<I", len(pal["plain"])) + pal["plain"]).ljust(len(plain), b"\0"))
    assert len(plain) - 107 < 16


def command(quote, key, nonce, measurement, level=1, image=None, owner=bytes(32), accept_debug=False,
            accept_unmeasured=False):
    """What the verifier in C says."""
    with tempfile.NamedTemporaryFile() as f:
        f.write(quote)
        f.flush()
        words = ["build/unit/tv-quote", "--key", key.hex(), "--nonce", nonce.hex(), "--measurement", measurement.hex(),
                 "--level", str(level), "--owner", owner.hex(), f.name]
        words += ["--image", image.hex()] if image else []
        words += ["--accept-debug"] if accept_debug else []
        words += ["--accept-unmeasured"] if accept_unmeasured else []
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
        return done.stdout if done.returncode == (done.stdout != "") else f"exit status {done.returncode}"


def refused(reason, quote, *args, in_c=True, **kw):
    assert not in_c or reason in command(quote, *args, **kw), f"{reason}: {command(quote, *args, **kw)}"
    try:
        tv_quote.verify(quote, *args, **kw)
    except ValueError as e:
        assert reason in str(e), f"{reason}: {e}"
        return
    raise AssertionError(f"a quote is accepted: {reason}")


def check_quote(pal, info, measurement, tag, digest):
    key, nonce, quote = info["identity"], pal["plain"][:32], pal["quote"]
    debug = info["flags"] & tv_quote.DEBUG != 0
    args = dict(level=pal["level"], owner=tag, accept_unmeasured=True, accept_debug=debug)
    fields = tv_quote.verify(quote, key, nonce, measurement, image=b"\x1a" * 32, pcrs=digest, **args)
    assert (fields["cpl"], fields["width"], fields["data"]) == (3, pal["width"], pal["plain"][32:96])
    same("boot nonce", fields["boot_nonce"], info["boot_nonce"])
    assert fields["flags"] == info["flags"]
    assert command(quote, key, nonce, measurement, image=b"\x1a" * 32, **args) == ""
    if debug:
        refused("for debugging", quote, key, nonce, measurement, **dict(args, accept_debug=False))
    refused("measured its hypervisor", quote, key, nonce, measurement, **dict(args, accept_unmeasured=False))
    refused("another level", quote, key, nonce, measurement, **dict(args, level=3 - pal["level"]))
    assert command(quote, key, nonce, measurement, **dict(args, level=256 + pal["level"])) == "exit status 2"
    refused("another nonce", quote, key, bytes(32), measurement, **args)
    refused("another PAL", quote, key, nonce, bytes(32), **args)
    refused("another owner", quote, key, nonce, measurement, **dict(args, owner=b"\1" * 32))
    refused("another hypervisor", quote, key, nonce, measurement, image=bytes(32), **args)
    for i in range(len(quote)):
        changed = quote[:i] + bytes([quote[i] ^ 1]) + quote[i + 1:]
        refused("signature", changed, key, nonce, measurement, in_c=pal["level"] == 1, **args)


def check_old_quote(pal, old_pcrs):
    composite = b"\1\0\3" + struct.pack("<I", 40) + old_pcrs[0] + old_pcrs[1]
    same("composite", pal["old_composite"], composite)
    signed = b"\1\1\0\0QUOT" + sha1(composite) + b"\x99" * 20
    modulus = int.from_bytes(pal["old_modulus"], "big")
    assert modulus.bit_length() == 2048
    rsa.RSAPublicNumbers(65537, modulus).public_key().verify(pal["old_signature"], signed, padding.PKCS1v15(),
                                                            hashes.SHA1())


def check(pal, master):
    names = "version flags measurement owner_tag boot_nonce image_hash identity reserved".split()
    info = dict(zip(names, struct.unpack("<II32s32s32s32s65s3s", pal["info"])))
    tag, data = measure(pal)
    measurement = sha256(data)
    same("measurement", info["measurement"], measurement)
    pcrs = {0: sha256(bytes(32), measurement), 1: bytes(32), 2: sha256(bytes(32), b"\x3d" * 32)}
    old_pcrs = {0: sha1(bytes(20), sha1(measurement)), 1: sha1(bytes(20), b"\x3c" * 20)}
    same("PCR 0", pal["pcr0"], pcrs[0])
    same("PCR 2", pal["pcr2"], pcrs[2])
    same("old PCR 0", pal["old_pcr0"], old_pcrs[0])
    same("old PCR 1", pal["old_pcr1"], old_pcrs[1])
    check_seal(pal, master, measurement + tag, pcrs, sha256(struct.pack("<I", 5), pcrs[0], pcrs[2]))
    check_quote(pal, info, measurement, tag, sha256(struct.pack("<I", 3), pcrs[0], pcrs[1]))
    check_old_quote(pal, old_pcrs)
    return measurement


def main():
    pals = []
    with open(sys.argv[1], encoding="ascii") as f:
        for line in f:
            name, _, value = line.strip().partition(" ")
            if name == "pal":
                pals.append({"name": value})
            elif name == "master":
                master = bytes.fromhex(value)
            else:
                number = name in ("level", "width", "entry", "old_index")
                pals[-1][name] = int(value) if number else bytes.fromhex(value)
    assert len(pals) == 4 and len({check(pal, master) for pal in pals}) == 4


if __name__ == "__main__":
    main()
