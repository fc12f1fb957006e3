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

/*
 * Arguments come as words: each takes eight bytes of a va_list, and a narrow one leaves the rest of its word undefined
 * (System V ABI for AMD64, "Parameter Passing"; there is no floating point).
 */
struct words {
	va_list *args;
	const u64 *next; /* if args is NULL */
};

static u64 take_word(struct words *w)
{
	return w->args ? va_arg(*w->args, u64) : *w->next++;
}

static size_t format_from(char *buf, size_t size, const char *f, struct words *w)
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
			u64 word = take_word(w);
			long v = spec.wide ? (long)word : (int)word;

			put_number(&out, &spec, v < 0 ? -(u64)v : (u64)v, 10, v < 0);
			break;
		}
		case 'u': case 'x': case 'p':
			put_number(&out, &spec, take_word(w) & (spec.wide || *f == 'p' ? ~0ul : 0xffffffff),
				   *f == 'u' ? 10 : 16, false);
			break;
		case 's':
			text = (const char *)take_word(w);
			text = text ? text : "(null)";
			put_padded(&out, &spec, text, strlen(text));
			break;
		case 'c':
			c = (char)take_word(w);
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

size_t format_va(char *buf, size_t size, const char *f, va_list args)
{
	va_list copy;

	va_copy(copy, args);
	size_t n = format_from(buf, size, f, &(struct words){ .args = &copy });
	va_end(copy);
	return n;
}

size_t format_words(char *buf, size_t size, const char *f, const u64 *words)
{
	return format_from(buf, size, f, &(struct words){ .next = words });
}

struct format_shape format_shape(const char *f)
{
	struct format_shape shape = { 0 };

	for (; *f; f++) {
		struct spec spec = { 0 };

		if (*f != '%')
			continue;
		f = read_spec(f + 1, &spec);
		if (!*f)
			break;
		if (*f == 's' && shape.words < 32)
			shape.strings |= (u32)BIT(shape.words);
		shape.words += *f == 'd' || *f == 'u' || *f == 'x' || *f == 'p' || *f == 's' || *f == 'c';
	}
	return shape;
}

size_t format(char *buf, size_t size, const char *f, ...)
{
	va_list args;

	va_start(args, f);
	size_t n = format_va(buf, size, f, args);
	va_end(args);
	return n;
}
