#include "oidc/login/exec_credential.h"

#include <jansson.h>
#include <openssl/evp.h>
#include <time.h>

static const char *const versions[] = { "client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1" };

/* Standard base64 with padding, as Go's encoding/json writes []byte. */
static struct slice
decode_base64(const char *text, size_t n, struct arena *arena)
{
	unsigned char *out = n && n % 4 == 0 && n < (1u << 20) ? arena_alloc(arena, n / 4 * 3 + 1) : NULL;
	int len = out ? EVP_DecodeBlock(out, (const unsigned char *)text, (int)n) : -1;
	if (len < 0)
		return SLICE_NONE;
	/* EVP_DecodeBlock counts the padding as bytes. */
	len -= text[n - 1] == '=' ? (text[n - 2] == '=' ? 2 : 1) : 0;
	out[len] = '\0';
	return slice_of((const char *)out, (size_t)len);
}

enum err
exec_info_parse(const char *text, struct arena *arena, struct exec_info *out, const char **why)
{
	*out = (struct exec_info){ .api_version = versions[0], .interactive = true };
	*why = "";
	if (!text || !*text)
		return OK;
	json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, NULL), *spec = json_object_get(root, "spec"), *cluster = json_object_get(spec, "cluster");
	const char *version = json_string_value(json_object_get(root, "apiVersion"));
	enum err err = E_FORMAT;
	*why = "KUBERNETES_EXEC_INFO is no ExecCredential of client.authentication.k8s.io/v1 or v1beta1";
	for (size_t i = 0; version && i < sizeof(versions) / sizeof(versions[0]); i++)
		if (strcmp(version, versions[i]) == 0) {
			out->api_version = versions[i];
			err = OK;
		}
	if (err == OK) {
		json_t *interactive = json_object_get(spec, "interactive"), *server = json_object_get(cluster, "server");
		json_t *ca = json_object_get(cluster, "certificate-authority-data");
		out->interactive = !json_is_false(interactive);
		if (json_is_string(server))
			out->server = arena_slice(arena, slice_of(json_string_value(server), json_string_length(server)));
		if (json_is_string(ca)) {
			out->ca_pem = decode_base64(json_string_value(ca), json_string_length(ca), arena);
			if (json_string_length(ca) && !out->ca_pem.p) {
				*why = "KUBERNETES_EXEC_INFO: certificate-authority-data is not base64";
				err = E_FORMAT;
			}
		}
	}
	json_decref(root);
	return err;
}

void
exec_credential_add(struct buf *out, const char *api_version, struct slice id_token, int64_t expires_at)
{
	time_t t = (time_t)expires_at;
	struct tm tm;
	char when[32] = "";
	if (gmtime_r(&t, &tm))
		strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
	buf_printf(out, "{\"kind\":\"ExecCredential\",\"apiVersion\":\"%s\",\"spec\":{\"interactive\":false},\"status\":{\"expirationTimestamp\":\"%s\",\"token\":",
		api_version, when);
	buf_add_json(out, id_token);
	buf_add_str(out, "}}\n");
}
