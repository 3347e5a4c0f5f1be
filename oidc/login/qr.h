/* qr.h - a QR code for a terminal: an address that a telephone's camera can read instead of being typed.   Spec: ISO/IEC 18004, byte mode, error correction level L,
 * versions 1 to 5, which have one block each. */
#ifndef OIDC_LOGIN_QR_H
#define OIDC_LOGIN_QR_H

#include "shared/buf.h"

#define QR_BYTES_MAX 106 /* of version 5 */
#define QR_SIZE_MAX 37   /* modules a side: 17 + 4 * version */

struct qr {
	size_t size;
	bool dark[QR_SIZE_MAX][QR_SIZE_MAX]; /* [row][column] */
};
/* E_LIMIT: the text is longer than QR_BYTES_MAX. */
MUST_CHECK enum err qr_encode(struct slice text, struct qr *out);
/* Append lines of half blocks, dark on light whatever the terminal's colours are, with the quiet zone that readers need. */
void qr_print(const struct qr *q, struct buf *out);

#endif
