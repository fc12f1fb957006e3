# SPDX-License-Identifier: GPL-2.0-or-later
# TrustVisor's library: the few files of BearSSL that it uses, fetched (tools/crypto/bearssl) and never changed.
# tools/install/hypapp-files.mk says what the variables mean.

# In one place for all variants of the image.
BEARSSL := build/bearssl
LIBRARY_SRC := $(patsubst %,$(BEARSSL)/src/%.c,\
	$(addprefix codec/,ccopy dec32be dec64be enc32be enc64be dec32le enc32le) \
	$(addprefix hash/,sha1 sha2small ghash_ctmul64) mac/hmac kdf/hkdf rand/hmac_drbg aead/gcm \
	$(addprefix symcipher/,aes_ct64 aes_ct64_enc aes_ct64_dec aes_ct64_cbcenc aes_ct64_cbcdec aes_ct64_ctr) \
	$(addprefix int/i31_,add bitlen decmod decode decred encode fmont iszero moddiv modpow modpow2 montmul mulacc \
		muladd ninv31 reduce rshift sub tmont) int/i62_modpow2 int/i32_div32 \
	$(addprefix rsa/rsa_,i31_keygen_inner i62_keygen i62_priv i62_pkcs1_sign i62_pub i62_pkcs1_vrfy pkcs1_sig_pad \
		pkcs1_sig_unpad) \
	$(addprefix ec/,ec_p256_m31 ec_keygen ec_pubkey ec_secp256r1 ec_secp384r1 ec_secp521r1 ecdsa_i31_bits \
		ecdsa_i31_sign_raw ecdsa_i31_vrfy_raw))
LIBRARY_INCLUDE := $(BEARSSL)/inc

# Nothing of the host's time, random numbers or SIMD units. Each function begins with a call that lets long work pause
# (tpm/job.c); those of inner.h are a few instructions each. Its warnings are not ours to mend; its large frames are on
# stacks of jobs.
LIBRARY_CFLAGS := -I $(BEARSSL)/inc -I $(BEARSSL)/src -DBR_64=1 -DBR_INT128=1 -DBR_LE_UNALIGNED=0 -DBR_AES_X86NI=0 \
	-DBR_SSE2=0 -DBR_RDRAND=0 -DBR_USE_URANDOM=0 -DBR_USE_GETENTROPY=0 -DBR_USE_UNIX_TIME=0 -DBR_POWER8=0 \
	-finstrument-functions -finstrument-functions-exclude-file-list=inner.h -w -Wno-frame-larger-than
LIBRARY_NEEDS := $(BEARSSL)/inc/bearssl.h

$(BEARSSL)/inc/bearssl.h: tools/crypto/bearssl
	$(say) GET $(@D)
	$(Q)tools/crypto/bearssl build
	@touch $@
