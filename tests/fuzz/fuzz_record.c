/* Any bytes as a stored record of each kind (the first byte says which). What is accepted is written again and read again: the second
 * writing equals the first, so nothing is lost, and every slice can be read to its end. */
#include <stdlib.h>
#include "authd/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool holds)
{
	if (!holds)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	union {
		struct record_auth_request request;
		struct record_code code;
		struct record_session session;
		struct record_refresh refresh;
		struct record_key key;
		struct record_approval approval;
		struct record_client client;
		struct record_account account;
		struct record_account_name account_name;
	} record;
	struct arena arena;
	struct buf once, twice;

	if (size == 0)
		return 0;
	enum record_kind kind = data[0] % RECORD_KINDS;
	must(record_size(kind) <= sizeof(record));
	arena_init(&arena, 64u << 20);
	buf_init(&once, 0);
	buf_init(&twice, 0);
	enum err e = record_decode(kind, slice_of((const char *)data + 1, size - 1), &arena, &record);
	must(e == OK || e == E_FORMAT);
	if (e == OK) {
		int64_t expires_at = record_expires_at(kind, &record);
		record_encode(kind, &record, &once);
		must(buf_ok(&once) && once.n <= 10 * size + 64);
		must(record_decode(kind, buf_slice(&once), &arena, &record) == OK);
		record_encode(kind, &record, &twice);
		must(slice_eq(buf_slice(&once), buf_slice(&twice)));
		must(record_expires_at(kind, &record) == expires_at);
	}
	buf_fini(&once);
	buf_fini(&twice);
	arena_fini(&arena);
	return 0;
}
