#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""usage: tv_quote.py --key HEX --nonce HEX --measurement HEX [options] QUOTE

Verifies a quote of TrustVisor (struct tv_quote in include/trustvisor/tpm.h) and prints what it says. Exit status 0:
it is
right; 1, and a line with the reason: it is not; 2: usage.

  --key HEX          the identity key that is trusted: 65 bytes, as TV_CMD_TPM_INFO gives it
  --nonce HEX        the 32 bytes that the verifier has drawn for this quote
  --measurement HEX  the PAL that is expected (tv_measure.py)
  --image HEX        the hypervisor that is expected (image-hash --print)
  --pcrs HEX         the digest of the PCRs that is expected
  --owner HEX        the owner tag that is expected; without, none (zeros)
  --level N          the level that is expected: 1 (default) or 2
  --accept-debug     a PAL whose secrets its caller can see
  --accept-unmeasured  a hypervisor that no hardware has measured: without it, whoever had the machine before may have
                     the key, and the rest of the quote rests on its word

Needs Python's cryptography (Debian's python3-cryptography).
"""
import argparse
import struct
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

LAYOUT = "<IHHBBBBI32s32s32s32s32sI32s64s64s"
NAMES = ("magic version bank level cpl width reserved flags measurement owner_tag boot_nonce image_hash nonce pcr_mask "
         "pcr_digest data signature").split()
MAGIC = 0x31515654
DEBUG, LAUNCH_MEASURED = 1 << 0, 1 << 9
FLAGS = {0: "debug", 1: "FPU", 2: "fixed address", 8: "DMA protection", 9: "launch measured", 10: "master persistent",
         11: "NV persistent"}


def parse(quote):
    if len(quote) != struct.calcsize(LAYOUT):
        raise ValueError("the quote has another length")
    return dict(zip(NAMES, struct.unpack(LAYOUT, quote)))


def verify(quote, key, nonce, measurement, level=1, image=None, pcrs=None, owner=bytes(32), accept_debug=False,
           accept_unmeasured=False):
    """Returns the fields of a right quote; raises ValueError with the reason else."""
    fields = parse(quote)
    point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), key)
    r, s = (int.from_bytes(fields["signature"][i:i + 32], "big") for i in (0, 32))
    try:
        point.verify(utils.encode_dss_signature(r, s), quote[:-64], ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise ValueError("the signature is not of this key") from None
    flags = fields["flags"]
    for wrong, reason in (
            ((fields["magic"], fields["version"], fields["bank"]) != (MAGIC, 1, 2), "it is of another format"),
            (fields["nonce"] != nonce, "it is of another nonce"),
            (fields["measurement"] != measurement, "it is of another PAL"),
            (fields["owner_tag"] != owner, "it is of another owner"),
            (fields["level"] != level, "its PAL is of another level"),
            (image is not None and fields["image_hash"] != image, "it is of another hypervisor"),
            (pcrs is not None and fields["pcr_digest"] != pcrs, "its PCRs are others"),
            (flags & DEBUG and not accept_debug, "its PAL is for debugging"),
            (not flags & LAUNCH_MEASURED and not accept_unmeasured, "no hardware has measured its hypervisor")):
        if wrong:
            raise ValueError(reason)
    return fields


def main():
    parser = argparse.ArgumentParser(usage=__doc__, add_help=False)
    for name in "key", "nonce", "measurement":
        parser.add_argument("--" + name, type=bytes.fromhex, required=True)
    for name in "image", "pcrs":
        parser.add_argument("--" + name, type=bytes.fromhex)
    parser.add_argument("--owner", type=bytes.fromhex, default=bytes(32))
    parser.add_argument("--level", type=int, default=1)
    parser.add_argument("--accept-debug", action="store_true")
    parser.add_argument("--accept-unmeasured", action="store_true")
    parser.add_argument("quote")
    options = vars(parser.parse_args())
    with open(options.pop("quote"), "rb") as f:
        quote = f.read()
    try:
        fields = verify(quote, **options)
    except ValueError as reason:
        print(f"refused: {reason}")
        return 1
    print(f"level {fields['level']} CPL {fields['cpl']} width {fields['width']}:",
          ", ".join(name for bit, name in FLAGS.items() if fields["flags"] >> bit & 1) or "no flags")
    print(f"boot {fields['boot_nonce'].hex()}\nimage {fields['image_hash'].hex()}\ndata {fields['data'].hex()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
