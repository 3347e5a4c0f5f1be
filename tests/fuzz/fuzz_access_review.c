/* A cluster's answer to a SubjectAccessReview. Only what a lenient reader finds allowed, too, and not denied, allows anything. */
#include <jansson.h>
#include "proxyd/access_review.h"
#include "tests/fuzz/must.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	enum access_review answer = access_review_read(slice_of((const char *)data, n));

	MUST(answer == ACCESS_ALLOWED || answer == ACCESS_DENIED || answer == ACCESS_BROKEN);
	json_t *review = json_loadb((const char *)data, n, JSON_DISABLE_EOF_CHECK | JSON_ALLOW_NUL | JSON_DECODE_ANY, NULL);
	const json_t *status = json_object_get(review, "status");
	bool allowed = json_is_true(json_object_get(status, "allowed")), denied = json_is_true(json_object_get(status, "denied"));
	MUST(answer != ACCESS_ALLOWED || (allowed && !denied));
	MUST(answer == ACCESS_BROKEN || json_is_boolean(json_object_get(status, "allowed")));
	json_decref(review);
	return 0;
}
