#include <stdarg.h>
#include <stdlib.h>
#include "authd/config.h"
#include "authd/ctl.h"
#include "authd/ctl_internal.h"
#include "shared/log.h"
#include "shared/process.h"
#include "shared/rng.h"

#define CTL_ARENA_BYTES_MAX (64u << 20)

static const char usage_head[] =
	"authd ctl - administration of a running authd\n"
	"\n"
	"  authd ctl [--config FILE | --socket PATH] [--output table|json] COMMAND …\n"
	"\n"
	"Its control socket is web.ctl of the configuration (default: ctl.sock in the store's folder), which is " CTL_CONFIG " unless\n"
	"--config names another. Only root and the user that authd runs as may use it.\n";
static const char usage_tail[] =
	"\n"
	"WHO is a mail address, a user name or a user id. Passwords and secrets are asked for, or read from standard input, never taken as arguments.\n"
	"Exit status: 0 done; 1 refused or failed, and said why; 2 wrong usage; 3 authd cannot be reached.\n";

struct command {
	const char *group, *name; /* name NULL: the group is the command */
	int (*run)(struct ctl *c);
	const char *arguments, *what;
	size_t operands_min, operands_max;
	const char *values, *switches; /* options, each with a blank before and behind it */
};

#define CLIENT_OPTIONS \
	"[--alg RS256|ES256] [--grant-type TYPE]… [--group PATTERN]… [--subject encoded|plain] [--id-tokens DURATION]\n" \
	"        [--connector ID]… [--trusted-peer ID]… [--post-logout-redirect-uri URI]… [--backchannel-logout-uri URL] [--logo-url URL]"
#define CLIENT_VALUES \
	" name redirect-uri connector trusted-peer post-logout-redirect-uri backchannel-logout-uri logo-url alg grant-type group subject id-tokens from-file "

static const struct command commands[] = {
	{ "sessions", "list", ctl_sessions_list, "[--user WHO] [--connector ID] [--client ID] [--kind browser|offline]",
		"who is signed in: browsers, and refresh tokens (offline), which kubectl and the like hold", 0, 0, " user connector client kind ", "" },
	{ "sessions", "end", ctl_sessions_end, "SID… | --user WHO [--connector ID] | --client ID | --all",
		"sign out, and end the refresh tokens that belong to it", 0, CTL_ARGUMENTS_MAX, " user connector client ", " all " },
	{ "clients", "list", ctl_clients_list, "", "applications that may sign people in: configured and stored", 0, 0, "", "" },
	{ "clients", "show", ctl_clients_show, "ID", "what is set for one; with --output json as clients set --from-file takes it", 1, 1, "", "" },
	{ "clients", "add", ctl_clients_add, "ID --name NAME --redirect-uri URI… [--public] [--secret-stdin]\n        " CLIENT_OPTIONS "\n        | [ID] --from-file FILE",
		"store one; its secret is made and shown once, or read from standard input. FILE (YAML or JSON; -: standard input) says what an entry of\n"
		"        staticClients says, in the same words; options are for what is set most",
		0, 1, CLIENT_VALUES, " public secret-stdin " },
	{ "clients", "set", ctl_clients_set,
		"ID [--name NAME] [--redirect-uri URI]… [--public] [--new-secret | --secret-stdin]\n        " CLIENT_OPTIONS "\n        | [ID] --from-file FILE",
		"change a stored one, at once: options change what they name, an empty one takes it back; FILE says all, but for the secret, which stays", 0, 1,
		CLIENT_VALUES, " public secret-stdin new-secret " },
	{ "clients", "remove", ctl_clients_remove, "ID", "forget a stored one, its refresh tokens and what it was allowed", 1, 1, "", "" },
	{ "users", "list", ctl_users_list, "", "people with a local password: configured and stored", 0, 0, "", "" },
	{ "users", "add", ctl_users_add,
		"EMAIL [--username NAME] [--name TEXT] [--preferred-username TEXT] [--group NAME]… [--user-id ID] [--unverified]\n"
		"        [--cost 10..16] [--hash-stdin]",
		"store one; --hash-stdin: a bcrypt hash instead of a password", 1, 1, " username name preferred-username group user-id cost ", " unverified hash-stdin " },
	{ "users", "remove", ctl_users_remove, "WHO", "forget a stored one, and sign them out", 1, 1, "", "" },
	{ "users", "passwd", ctl_users_passwd, "WHO [--cost 10..16] [--hash-stdin] [--end-sessions]", "give a stored one a new password", 1, 1, " cost ",
		" hash-stdin end-sessions " },
	{ "keys", "list", ctl_keys_list, "", "signing keys by algorithm: next, active, retired", 0, 0, "", "" },
	{ "keys", "rotate", ctl_keys_rotate, "[--alg RS256|ES256]", "publish a new signing key of each algorithm in use, or of one, now; it signs once every cache has it", 0, 0,
		" alg ", "" },
	{ "stats", NULL, ctl_stats, "", "how authd and its store are doing", 0, 0, "", "" },
	{ "backup", NULL, ctl_backup, "FILE | -", "a consistent copy of the store, also while authd runs; -: to standard output", 1, 1, "", "" },
	{ "restore", NULL, ctl_restore, "FILE", "put a backup in the store's place; authd must be stopped", 1, 1, "", "" },
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

/* group NULL: all of them. */
static void
usage(FILE *out, const char *group)
{
	fputs(usage_head, out);
	for (size_t i = 0; i < COMMANDS; i++) {
		const struct command *c = &commands[i];
		if (group && strcmp(group, c->group) != 0)
			continue;
		fprintf(out, "\n  %s%s%s%s%s\n        %s\n", c->group, c->name ? " " : "", c->name ? c->name : "", *c->arguments ? " " : "", c->arguments,
			c->what);
	}
	fputs("\nbackup and restore take --store FOLDER in place of --config.\n", out);
	fputs(usage_tail, out);
}

int
ctl_say(int status, const char *fmt, ...)
{
	va_list args;

	fflush(stdout);
	fputs("authd ctl: ", stderr);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
	return status;
}

int
ctl_no_memory(void)
{
	return ctl_say(CTL_FAILED, "out of memory");
}

/* ---- arguments ---- */

const char *
ctl_option(const struct ctl *c, const char *name)
{
	for (size_t i = 0; i < c->option_n; i++)
		if (strcmp(c->options[i].name, name) == 0)
			return c->options[i].value;
	return NULL;
}

bool
ctl_switch(const struct ctl *c, const char *name)
{
	for (size_t i = 0; i < c->option_n; i++)
		if (strcmp(c->options[i].name, name) == 0)
			return true;
	return false;
}

/* " name " in a list of names. */
static bool
word_in(const char *words, const char *name)
{
	char padded[64];

	return snprintf(padded, sizeof(padded), " %s ", name) < (int)sizeof(padded) && !strchr(name, ' ') && strstr(words, padded);
}

/* Options that every command has. */
static int
global_option(struct ctl *c, const char *name, const char *value)
{
	if (strcmp(name, "config") == 0)
		c->config = value;
	else if (strcmp(name, "socket") == 0)
		c->socket = value;
	else if (strcmp(name, "store") == 0)
		c->store = value;
	else if (strcmp(value, "json") == 0 || strcmp(value, "table") == 0)
		c->json = strcmp(value, "json") == 0;
	else
		return ctl_say(CTL_USAGE, "--output: expected table or json, found \"%s\"", value);
	return CTL_DONE;
}

struct arguments {
	struct ctl *ctl;
	char **at; /* NULL at the end */
	const char *words[CTL_ARGUMENTS_MAX];
	size_t word_n;
	bool help;
};

/* Once "--" was seen nothing is an option. Which of the command's a name is cannot be told yet: those with "=" or followed by a word are told apart
 * by every command's tables, which agree on each name. */
static bool
takes_value(const char *name)
{
	if (word_in(" config socket store output ", name))
		return true;
	for (size_t i = 0; i < COMMANDS; i++)
		if (word_in(commands[i].values, name))
			return true;
	return false;
}

static int
take_option(struct arguments *a)
{
	struct ctl *c = a->ctl;
	char *name = arena_strdup(&c->arena, *a->at++ + 2), *value;

	if (!name)
		return ctl_no_memory();
	if (strcmp(name, "help") == 0) {
		a->help = true;
		return CTL_DONE;
	}
	value = strchr(name, '=');
	if (value)
		*value++ = '\0';
	if (takes_value(name) && !value && !(value = *a->at++))
		return ctl_say(CTL_USAGE, "--%s needs a value", name);
	if (word_in(" config socket store output ", name))
		return global_option(c, name, value);
	if (c->option_n == CTL_ARGUMENTS_MAX)
		return ctl_say(CTL_USAGE, "too many options");
	c->options[c->option_n++] = (struct ctl_option){ name, value };
	return CTL_DONE;
}

/* Ids are random base64url, so one may begin with '-'; behind "--" one with two of them is taken as well. */
#define ID_BYTES_MIN 20

static int
take_all(struct arguments *a)
{
	bool options = true;

	while (*a->at) {
		if (options && strcmp(*a->at, "--") == 0) {
			options = false;
			a->at++;
		} else if (options && strncmp(*a->at, "--", 2) == 0) {
			int status = take_option(a);
			if (status != CTL_DONE)
				return status;
		} else if (options && (*a->at)[0] == '-' && strlen(*a->at) < ID_BYTES_MIN && (*a->at)[1]) {
			return ctl_say(CTL_USAGE, "there is no option %s (authd ctl --help)", *a->at);
		} else if (a->word_n == CTL_ARGUMENTS_MAX) {
			return ctl_say(CTL_USAGE, "too many arguments: at most %d", CTL_ARGUMENTS_MAX);
		} else {
			a->words[a->word_n++] = *a->at++;
		}
	}
	return CTL_DONE;
}

static bool
is_group(const char *name)
{
	for (size_t i = 0; i < COMMANDS; i++)
		if (strcmp(name, commands[i].group) == 0)
			return true;
	return false;
}

static const struct command *
command_find(const struct arguments *a)
{
	for (size_t i = 0; i < COMMANDS; i++)
		if (a->word_n && strcmp(a->words[0], commands[i].group) == 0 &&
			(!commands[i].name || (a->word_n > 1 && strcmp(a->words[1], commands[i].name) == 0)))
			return &commands[i];
	return NULL;
}

static int
command_arguments(struct ctl *c, const struct command *command, const struct arguments *a)
{
	size_t first = command->name ? 2 : 1;
	const char *dash = command->name ? " " : "", *name = command->name ? command->name : "";

	for (size_t i = 0; i < c->option_n; i++) {
		const struct ctl_option *o = &c->options[i];
		if (!word_in(command->values, o->name) && !word_in(command->switches, o->name))
			return ctl_say(CTL_USAGE, "%s%s%s has no option --%s (authd ctl %s --help)", command->group, dash, name, o->name, command->group);
		if (word_in(command->switches, o->name) && o->value)
			return ctl_say(CTL_USAGE, "--%s takes no value", o->name);
	}
	while (first < a->word_n)
		c->operands[c->operand_n++] = a->words[first++];
	if (c->operand_n < command->operands_min || c->operand_n > command->operands_max)
		return ctl_say(CTL_USAGE, "%s%s%s: expected %s (authd ctl %s --help)", command->group, dash, name,
			command->operands_max ? command->arguments : "no further argument", command->group);
	return CTL_DONE;
}

static int
run(struct ctl *c, int argc, char **argv)
{
	struct arguments a = { .ctl = c, .at = argv + 1 };
	const struct command *command;
	int status = take_all(&a);

	(void)argc;
	if (status != CTL_DONE)
		return status;
	if (a.help) {
		usage(stdout, a.word_n && is_group(a.words[0]) ? a.words[0] : NULL);
		return ctl_flush();
	}
	command = command_find(&a);
	if (!command && a.word_n && !is_group(a.words[0]))
		return ctl_say(CTL_USAGE, "there is no command \"%s\" (authd ctl --help)", a.words[0]);
	if (!command) {
		usage(stderr, a.word_n ? a.words[0] : NULL);
		return CTL_USAGE;
	}
	status = command_arguments(c, command, &a);
	return status == CTL_DONE ? command->run(c) : status;
}

const char *
ctl_store_folder(struct ctl *c, int *status)
{
	struct authd_config_places places;
	struct config_error e = { "" };

	if (c->store)
		return c->store;
	if (authd_config_places(&c->arena, c->config ? c->config : CTL_CONFIG, &places, &e) == OK)
		return places.store;
	*status = ctl_say(CTL_FAILED, "%s%s", e.text, c->config ? "" : " (--config or --store name another)");
	return NULL;
}

int
ctl_main(int argc, char **argv)
{
	struct ctl *c = calloc(1, sizeof(*c));
	uint32_t seed;
	int status;

	if (!c)
		return ctl_no_memory();
	if (process_harden() != OK || rng_fill(&rng_system, &seed, sizeof(seed)) != OK) {
		free(c);
		return ctl_say(CTL_FAILED, "cannot set itself up: %m");
	}
	strict_json_seed(seed);
	log_setup("authd ctl", 2, LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
	arena_init(&c->arena, CTL_ARENA_BYTES_MAX);
	status = run(c, argc, argv);
	if (c->fetcher)
		fetcher_free(c->fetcher);
	arena_fini_secret(&c->arena);
	free(c);
	return status;
}
