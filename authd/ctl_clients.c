/* Clients that are stored: by options, or from a file that says what an entry of staticClients says. */
#include <errno.h>
#include <openssl/crypto.h>
#include <unistd.h>
#include "authd/config.h"
#include "authd/ctl_internal.h"
#include "authd/store.h"
#include "oidc/base64url.h"
#include "shared/file.h"

#define SECRET_BYTES 32
#define SECRET_CHARS_MIN 16 /* of one that is brought along: it is stored by a plain hash, which makes guessing cheap */
#define FILE_BYTES_MAX (1u << 20)
#define FORM_BYTES_MAX 61440 /* authd reads 64 KiB */

/* ---- listing ---- */

int
ctl_clients_list(struct ctl *c)
{
	static const struct ctl_column columns[] = { { "ID", "id" }, { "NAME", "name" }, { "PUBLIC", "public" }, { "SOURCE", "source" },
		{ "SHADOWED", "shadowed" }, { "CREATED", "created_at" }, { "REDIRECT URIS", "redirect_uris" }, { NULL, NULL } };

	return ctl_print_list(c, "/clients", "", columns);
}

/* JSON: what clients set --from-file takes. A table says where it is from as well. */
int
ctl_clients_show(struct ctl *c)
{
	static const char *const more[] = { "has_secret", "source", "created_at", "changed_at" };
	struct buf path;
	json_t *answer;
	int status;

	buf_init(&path, 0);
	buf_add_str(&path, "/clients/show?id=");
	buf_add_urlencoded(&path, slice_str(c->operands[0]));
	status = buf_ok(&path) ? ctl_call(c, buf_slice(&path).p, NULL, &answer) : ctl_no_memory();
	buf_fini(&path);
	if (status != CTL_DONE)
		return status;
	json_t *client = json_object_get(answer, "client");
	for (size_t i = 0; !c->json && i < sizeof(more) / sizeof(more[0]); i++)
		json_object_set(client, more[i], json_object_get(answer, more[i]));
	status = ctl_print_object(c, client);
	json_decref(answer);
	return status;
}

/* ---- secrets ---- */

static int
secret_check(const char *what, struct slice secret)
{
	if (secret.n >= SECRET_CHARS_MIN)
		return CTL_DONE;
	return ctl_say(CTL_USAGE, "%s: expected at least %d characters, and nothing that can be guessed", what, SECRET_CHARS_MIN);
}

/* A new one. */
static int
secret_make(struct ctl *c, struct slice *secret)
{
	unsigned char bytes[SECRET_BYTES];
	char *text = arena_alloc(&c->arena, BASE64URL_ENCODED_BYTES(SECRET_BYTES) + 1);

	if (!text)
		return ctl_no_memory();
	if (rng_fill(&rng_system, bytes, sizeof(bytes)) != OK)
		return ctl_say(CTL_FAILED, "no randomness for a secret: %m");
	*secret = slice_of(text, base64url_encode(bytes, sizeof(bytes), text));
	OPENSSL_cleanse(bytes, sizeof(bytes));
	return CTL_DONE;
}

static int
add_secret_hash(struct buf *form, struct slice secret)
{
	unsigned char hash[32];

	if (!store_hash(secret, hash).n)
		return ctl_no_memory();
	buf_add_str(form, "&secret_hash=");
	base64url_add(form, hash, sizeof(hash));
	return CTL_DONE;
}

/* ---- what is to be set ---- */

/* What a command asks for. */
struct wanted {
	const char *id, *file; /* file: as messages call it; NULL: options */
	struct slice document; /* keys of an entry of staticClients, without id and secret */
	bool public;
	struct slice secret;   /* .n 0: none is given */
	bool made;             /* here: nobody else knows it */
};

static const struct {
	const char *option, *key;
	bool list;
} settings[] = {
	{ "name", "name", false }, { "redirect-uri", "redirectURIs", true }, { "connector", "allowedConnectors", true }, { "trusted-peer", "trustedPeers", true },
	{ "post-logout-redirect-uri", "postLogoutRedirectURIs", true }, { "backchannel-logout-uri", "backchannelLogoutURI", false }, { "logo-url", "logoURL", false },
	{ "grant-type", "grantTypes", true }, { "group", "groups", true }, { "alg", "idTokenSignedResponseAlg", false }, { "subject", "subject", false },
};
#define SETTINGS (sizeof(settings) / sizeof(settings[0]))

/* An empty text takes a setting back. */
static void
add_text(struct buf *b, const char *text)
{
	if (*text)
		buf_add_json(b, slice_str(text));
	else
		buf_add_str(b, "null");
}

static void
add_items(struct buf *b, const struct ctl *c, const char *option)
{
	const char *comma = "";

	buf_add_char(b, '[');
	for (size_t i = 0; i < c->option_n; i++)
		if (strcmp(c->options[i].name, option) == 0 && *c->options[i].value) {
			buf_add_str(b, comma);
			buf_add_json(b, slice_str(c->options[i].value));
			comma = ", ";
		}
	buf_add_char(b, ']');
}

static int
document_of_options(struct ctl *c, struct slice *document)
{
	const char *comma = "", *id_tokens = ctl_option(c, "id-tokens");
	struct buf b;

	buf_init(&b, 0);
	buf_add_char(&b, '{');
	for (size_t i = 0; i < SETTINGS; i++) {
		const char *value = ctl_option(c, settings[i].option);
		if (!value)
			continue;
		buf_printf(&b, "%s\"%s\": ", comma, settings[i].key);
		comma = ", ";
		if (settings[i].list)
			add_items(&b, c, settings[i].option);
		else
			add_text(&b, value);
	}
	if (ctl_switch(c, "public")) {
		buf_printf(&b, "%s\"public\": true", comma);
		comma = ", ";
	}
	if (id_tokens) {
		buf_printf(&b, "%s\"expiry\": {\"idTokens\": ", comma);
		add_text(&b, id_tokens);
		buf_add_char(&b, '}');
	}
	buf_add_char(&b, '}');
	*document = arena_slice(&c->arena, buf_slice(&b));
	bool ok = buf_ok(&b) && document->p;
	buf_fini(&b);
	return ok ? CTL_DONE : ctl_no_memory();
}

/* A file, or standard input, which cannot be told its size before. */
static int
text_read(const char *path, struct buf *text)
{
	enum err e = OK;
	ssize_t n = 1;

	if (strcmp(path, "-") != 0)
		e = file_read(path, FILE_BYTES_MAX, text);
	else
		while (n > 0) {
			char *p = buf_reserve(text, 4096);
			if (!p)
				return ctl_say(CTL_FAILED, "standard input: more than a client's settings can be");
			n = read(STDIN_FILENO, p, 4096);
			if (n > 0)
				buf_commit(text, (size_t)n);
		}
	if (e == E_SYSTEM || n < 0)
		return ctl_say(CTL_FAILED, "cannot read %s: %s", path, strerrordesc_np(errno));
	return e == OK ? CTL_DONE : ctl_say(CTL_FAILED, "cannot read %s: it is no file of a client's settings", path);
}

static int
wanted_of_file(struct ctl *c, const char *path, struct wanted *w)
{
	struct authd_config_client_file file;
	struct config_error e = { "" };
	struct buf text;
	int status;

	w->file = strcmp(path, "-") == 0 ? "standard input" : path;
	buf_init(&text, FILE_BYTES_MAX);
	status = text_read(path, &text);
	if (status == CTL_DONE && authd_config_client_read(&c->arena, w->file, buf_slice(&text), &file, &e) != OK)
		status = ctl_say(CTL_FAILED, "%s", e.text);
	buf_fini_secret(&text);
	if (status != CTL_DONE)
		return status;
	if (file.id && w->id && strcmp(file.id, w->id) != 0)
		return ctl_say(CTL_USAGE, "%s: id: expected \"%s\", found \"%s\"", w->file, w->id, file.id);
	w->id = w->id ? w->id : file.id;
	w->document = file.json;
	w->public = file.public;
	w->secret = slice_str(file.secret);
	return file.secret ? secret_check(arena_printf(&c->arena, "%s: secret", w->file), w->secret) : CTL_DONE;
}

static int
wanted_of_options(struct ctl *c, struct wanted *w)
{
	w->public = ctl_switch(c, "public");
	return document_of_options(c, &w->document);
}

/* Which of the two. */
static int
wanted_read(struct ctl *c, struct wanted *w)
{
	const char *path = ctl_option(c, "from-file");
	bool line = ctl_switch(c, "secret-stdin");
	int status;

	*w = (struct wanted){ .id = c->operand_n ? c->operands[0] : NULL };
	for (size_t i = 0; path && i < SETTINGS; i++)
		if (ctl_option(c, settings[i].option))
			return ctl_say(CTL_USAGE, "--from-file says all that is set: --%s does not go with it", settings[i].option);
	if (path && (ctl_switch(c, "public") || ctl_option(c, "id-tokens")))
		return ctl_say(CTL_USAGE, "--from-file says all that is set: --%s does not go with it", ctl_switch(c, "public") ? "public" : "id-tokens");
	if (path && line && strcmp(path, "-") == 0)
		return ctl_say(CTL_USAGE, "standard input holds either the client or its secret: --from-file - does not go with --secret-stdin");
	status = path ? wanted_of_file(c, path, w) : wanted_of_options(c, w);
	if (status == CTL_DONE && !w->id)
		status = ctl_say(CTL_USAGE, "expected the client's id%s", path ? ", here or in the file" : "");
	if (status != CTL_DONE || !line)
		return status;
	if (w->secret.n)
		return ctl_say(CTL_USAGE, "expected a secret either in the file or by --secret-stdin");
	status = ctl_line(c, "--secret-stdin", &w->secret);
	return status == CTL_DONE ? secret_check("--secret-stdin", w->secret) : status;
}

/* ---- adding, changing ---- */

/* The secret is shown where it was made here: nobody can read it again. */
static int
print_done(struct ctl *c, const struct wanted *w, const char *what)
{
	struct buf text;
	int status;

	buf_init(&text, 0);
	if (c->json) {
		buf_add_str(&text, "{\"id\":");
		buf_add_json(&text, slice_str(w->id));
		if (w->made) {
			buf_add_str(&text, ",\"secret\":");
			buf_add_json(&text, w->secret);
		}
		buf_add_str(&text, "}\n");
	} else if (w->made) {
		buf_printf(&text, "%s: %s\nsecret: %.*s\nKeep it now: only its hash is stored.\n", what, w->id, SLICE_FMT(w->secret));
	} else {
		buf_printf(&text, "%s: %s\n", what, w->id);
	}
	fwrite(buf_slice(&text).p, 1, text.n, stdout);
	status = buf_ok(&text) ? ctl_flush() : ctl_no_memory();
	buf_fini_secret(&text);
	return status;
}

static int
send_wanted(struct ctl *c, const struct wanted *w, const char *path, bool merge)
{
	struct buf form;
	json_t *answer;
	int status = CTL_DONE;

	buf_init(&form, 0);
	ctl_form_add(&form, "id", w->id);
	ctl_form_add(&form, "file", w->file);
	ctl_form_add(&form, "merge", merge ? "true" : NULL);
	ctl_form_add(&form, "document", w->document.p);
	if (w->secret.n)
		status = add_secret_hash(&form, w->secret);
	if (status == CTL_DONE && form.n > FORM_BYTES_MAX)
		status = ctl_say(CTL_FAILED, "that is more than a client's settings can be");
	if (status != CTL_DONE) {
		buf_fini_secret(&form);
		return status;
	}
	status = ctl_call(c, path, &form, &answer);
	if (status == CTL_DONE)
		json_decref(answer);
	return status;
}

/* Who signs people in has to be sent back somewhere. */
static int
options_check(struct ctl *c)
{
	const char *grant = ctl_option(c, "grant-type");

	if (!ctl_option(c, "name"))
		return ctl_say(CTL_USAGE, "clients add: --name is needed: people are asked whether they trust it");
	if (!ctl_option(c, "redirect-uri") && !ctl_switch(c, "public") && !grant)
		return ctl_say(CTL_USAGE, "clients add: --redirect-uri is needed, but for a --public client, or one with other grants (--grant-type)");
	return CTL_DONE;
}

int
ctl_clients_add(struct ctl *c)
{
	struct wanted w;
	int status = ctl_option(c, "from-file") ? CTL_DONE : options_check(c);

	if (status == CTL_DONE)
		status = wanted_read(c, &w);
	if (status == CTL_DONE && !w.secret.n && !w.public) {
		w.made = true;
		status = secret_make(c, &w.secret);
	}
	if (status == CTL_DONE)
		status = send_wanted(c, &w, "/clients/add", false);
	return status == CTL_DONE ? print_done(c, &w, "added") : status;
}

/* A file says all; options change what they name. */
int
ctl_clients_set(struct ctl *c)
{
	bool file = ctl_option(c, "from-file");
	struct wanted w;
	int status = c->option_n ? wanted_read(c, &w) : ctl_say(CTL_USAGE, "clients set: nothing says what is to be set");

	if (status == CTL_DONE && ctl_switch(c, "new-secret")) {
		if (w.secret.n)
			return ctl_say(CTL_USAGE, "--new-secret makes one: another one is given");
		w.made = true;
		status = secret_make(c, &w.secret);
	}
	if (status == CTL_DONE)
		status = send_wanted(c, &w, "/clients/set", !file);
	return status == CTL_DONE ? print_done(c, &w, "changed") : status;
}

/* ---- removing ---- */

/* What people agreed to for this client is not for another of its id. */
static int
forget_approvals(struct ctl *c, const char *client)
{
	struct buf form;
	long long n = 0;
	int status;

	buf_init(&form, 0);
	ctl_form_add(&form, "kind", "approval");
	ctl_form_add(&form, "client", client);
	status = buf_ok(&form) ? ctl_end_selected(c, &form, &n) : ctl_no_memory();
	buf_fini(&form);
	return status;
}

int
ctl_clients_remove(struct ctl *c)
{
	struct ctl_ended n = { 0, 0 };
	struct buf form;
	json_t *answer;
	int status = ctl_remove(c, "/clients/remove", "id", &answer);

	if (status != CTL_DONE)
		return status;
	json_decref(answer);
	buf_init(&form, 0);
	buf_add_str(&form, "&client=");
	buf_add_urlencoded(&form, slice_str(c->operands[0]));
	status = ctl_end_both(c, buf_slice(&form), true, &n);
	buf_fini(&form);
	if (status == CTL_DONE)
		status = forget_approvals(c, c->operands[0]);
	return status == CTL_DONE ? ctl_print_ended(c, &n) : status;
}
