/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See printf.h. A conversion that is not known is printed as it stands. */
#include "lib/printf.h"

#include "lib/base.h"
#include "lib/string.h"

struct output {
	char *buf;
	size_t size, used;
};

struct spec {
	unsigned int width;
	bool left, zero, wide;
};

static void put(struct output *out, char c)
{
	if (out->used + 1 < out->size)
		out->buf[out->used++] = c;
}

static void put_padded(struct output *out, const struct spec *spec, const char *text, size_t len)
{
	size_t pad = spec->width > len ? spec->width - len : 0;

	for (; pad && !spec->left; pad--)
		put(out, spec->zero ? '0' : ' ');
	for (size_t i = 0; i < len; i++)
		put(out, text[i]);
	for (; pad; pad--)
		put(out, ' ');
}

static void put_number(struct output *out, const struct spec *spec, u64 value, unsigned int base, bool negative)
{
	char digits[24];
	size_t at = sizeof(digits);

	do {
		digits[--at] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	if (negative)
		digits[--at] = '-';
	put_padded(out, spec, digits + at, sizeof(digits) - at);
}

static const char *read_spec(const char *f, struct spec *spec)
{
	for (; *f == '-' || *f == '0'; f++)
		*(*f == '-' ? &spec->left : &spec->zero) = true;
	for (; *f >= '0' && *f <= '9'; f++)
		spec->width = spec->width * 10 + (unsigned int)(*f - '0');
	for (; *f == 'l' || *f == 'z'; f++)
		spec->wide = true;
	return f;
}

size_t format_va(char *buf, size_t size, const char *f, va_list args)
{
	struct output out = { .buf = buf, .size = size };

	for (; *f; f++) {
		struct spec spec = { 0 };
		const char *text;
		char c;
		if (*f != '%') {
			put(&out, *f);
			continue;
		}
		f = read_spec(f + 1, &spec);
		switch (*f) {
		case 'd': {
			long v = spec.wide ? va_arg(args, long) : va_arg(args, int);

			put_number(&out, &spec, v < 0 ? -(u64)v : (u64)v, 10, v < 0);
			break;
		}
		case 'u':
			put_number(&out, &spec, spec.wide ? va_arg(args, u64) : va_arg(args, u32), 10, false);
			break;
		case 'x':
			put_number(&out, &spec, spec.wide ? va_arg(args, u64) : va_arg(args, u32), 16, false);
			break;
		case 'p':
			put_number(&out, &spec, (u64)va_arg(args, void *), 16, false);
			break;
		case 's':
			text = va_arg(args, const char *);
			text = text ? text : "(null)";
			put_padded(&out, &spec, text, strlen(text));
			break;
		case 'c':
			c = (char)va_arg(args, int);
			put_padded(&out, &spec, &c, 1);
			break;
		case 0:
			f--;
			break;
		default:
			put(&out, *f);
		}
	}
	if (size)
		buf[out.used] = 0;
	return out.used;
}

size_t format(char *buf, size_t size, const char *f, ...)
{
	va_list args;

	va_start(args, f);
	size_t n = format_va(buf, size, f, args);
	va_end(args);
	return n;
}
