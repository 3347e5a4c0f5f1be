#include "oidc/login/qr.h"

#include <stdlib.h>

#define VERSION_MAX 5
#define DATA_MAX 108
#define CHECK_MAX 26
#define QUIET 4 /* light modules on each side (section 5.3.8) */

/* Table 9, level L: codewords of data and of error correction. */
static const unsigned char data_bytes[] = { 0, 19, 34, 55, 80, 108 }, check_bytes[] = { 0, 7, 10, 15, 20, 26 };

/* ---- codewords (sections 7.4, 7.5) ---- */

/* GF(256) of x^8 + x^4 + x^3 + x^2 + 1. */
static unsigned char
gf_multiply(unsigned a, unsigned b)
{
	unsigned r = 0;

	for (; b; b >>= 1) {
		r ^= b & 1 ? a : 0;
		a = a << 1 ^ (a & 0x80 ? 0x11d : 0);
	}
	return (unsigned char)r;
}

/* The remainder of the data by the product of (x - 2^i), highest power first. */
static void
reed_solomon(const unsigned char *data, size_t n, unsigned char *check, size_t check_n)
{
	unsigned char generator[CHECK_MAX] = { 0 }, root = 1;

	generator[check_n - 1] = 1;
	for (size_t i = 0; i < check_n; i++) {
		for (size_t j = 0; j < check_n; j++)
			generator[j] = gf_multiply(generator[j], root) ^ (j + 1 < check_n ? generator[j + 1] : 0);
		root = gf_multiply(root, 2);
	}
	memset(check, 0, check_n);
	for (size_t i = 0; i < n; i++) {
		unsigned char factor = data[i] ^ check[0];
		memmove(check, check + 1, check_n - 1);
		check[check_n - 1] = 0;
		for (size_t j = 0; j < check_n; j++)
			check[j] ^= gf_multiply(generator[j], factor);
	}
}

/* Mode 0100 and the length stand four bits beside the bytes, so that each byte falls into two codewords; four zero bits end it, then padding. */
static void
codewords(struct slice text, size_t version, unsigned char *out)
{
	size_t n = data_bytes[version];

	memset(out, 0, n);
	out[0] = (unsigned char)(0x40 | text.n >> 4);
	out[1] = (unsigned char)(text.n << 4);
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];
		out[i + 1] |= c >> 4;
		out[i + 2] = (unsigned char)(c << 4);
	}
	for (size_t i = text.n + 2; i < n; i++)
		out[i] = (i - text.n) % 2 ? 0x11 : 0xec;
	reed_solomon(out, n, out + n, check_bytes[version]);
}

/* ---- modules (sections 6.3, 7.7) ---- */

struct drawing {
	struct qr *q;
	bool taken[QR_SIZE_MAX][QR_SIZE_MAX]; /* by a function pattern */
};

static void
set(struct drawing *d, size_t row, size_t column, bool dark)
{
	d->q->dark[row][column] = dark;
	d->taken[row][column] = true;
}

/* A finder pattern with its separator, around a centre that may stand near an edge; or, with radius 2, an alignment pattern. */
static void
square(struct drawing *d, size_t row, size_t column, int radius)
{
	int size = (int)d->q->size;

	for (int y = -radius; y <= radius; y++) {
		for (int x = -radius; x <= radius; x++) {
			int r = (int)row + y, c = (int)column + x, ring = abs(x) > abs(y) ? abs(x) : abs(y);
			if (r >= 0 && r < size && c >= 0 && c < size)
				set(d, (size_t)r, (size_t)c, radius == 2 ? ring != 1 : ring != 2 && ring != 4);
		}
	}
}

/* Level L (01), mask 000, with the code of section 7.9 and its mask: always the same 15 bits, twice. */
static void
format(struct drawing *d)
{
	const unsigned bits = 0x77c4;
	size_t size = d->q->size;

	for (size_t i = 0; i < 15; i++) {
		bool dark = bits >> i & 1;
		if (i < 8)
			set(d, i < 6 ? i : i + 1, 8, dark);
		else
			set(d, 8, i == 8 ? 7 : 14 - i, dark);
		if (i < 8)
			set(d, 8, size - 1 - i, dark);
		else
			set(d, size - 15 + i, 8, dark);
	}
	set(d, size - 8, 8, true);
}

static void
patterns(struct drawing *d, size_t version)
{
	size_t size = d->q->size;

	square(d, 3, 3, 4);
	square(d, 3, size - 4, 4);
	square(d, size - 4, 3, 4);
	if (version > 1)
		square(d, size - 7, size - 7, 2);
	for (size_t i = 8; i < size - 8; i++) {
		set(d, 6, i, i % 2 == 0);
		set(d, i, 6, i % 2 == 0);
	}
	format(d);
}

/* Two columns at a time from the right, up and down in turn, around what is taken; mask 000 turns every other module. */
static void
place(struct drawing *d, const unsigned char *bytes, size_t n)
{
	size_t size = d->q->size, bit = 0;
	bool up = true;

	for (size_t right = size - 1; right < size; right -= right == 8 ? 3 : 2, up = !up) {
		for (size_t i = 0; i < 2 * size; i++) {
			size_t row = up ? size - 1 - i / 2 : i / 2, column = right - i % 2;
			if (d->taken[row][column])
				continue;
			bool dark = bit < 8 * n && (bytes[bit / 8] >> (7 - bit % 8) & 1);
			d->q->dark[row][column] = dark != ((row + column) % 2 == 0);
			bit++;
		}
	}
}

enum err
qr_encode(struct slice text, struct qr *out)
{
	unsigned char bytes[DATA_MAX + CHECK_MAX];
	struct drawing d = { .q = out };
	size_t version = 1;

	while (version <= VERSION_MAX && text.n + 2 > data_bytes[version])
		version++;
	if (version > VERSION_MAX)
		return E_LIMIT;
	memset(out, 0, sizeof(*out));
	out->size = 17 + 4 * version;
	codewords(text, version, bytes);
	patterns(&d, version);
	place(&d, bytes, (size_t)data_bytes[version] + check_bytes[version]);
	return OK;
}

/* Two rows a line: the upper in the foreground's colour, the lower in the background's. */
void
qr_print(const struct qr *q, struct buf *out)
{
	for (size_t row = 0; row < q->size + 2 * QUIET; row += 2) {
		buf_add_str(out, "  \033[30;107m");
		for (size_t column = 0; column < q->size + 2 * QUIET; column++) {
			bool in = column >= QUIET && column - QUIET < q->size;
			bool upper = in && row >= QUIET && row - QUIET < q->size && q->dark[row - QUIET][column - QUIET];
			bool lower = in && row + 1 >= QUIET && row + 1 - QUIET < q->size && q->dark[row + 1 - QUIET][column - QUIET];
			buf_add_str(out, upper && lower ? "\xe2\x96\x88" : upper ? "\xe2\x96\x80" : lower ? "\xe2\x96\x84" : " ");
		}
		buf_add_str(out, "\033[0m\n");
	}
}
