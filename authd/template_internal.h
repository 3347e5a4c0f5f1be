/* template_internal.h - a template as read. template_parse.c makes it, template_context.c finds out where its values stand, template_run.c runs it with
 * the functions of template_functions.c. */
#ifndef AUTHD_TEMPLATE_INTERNAL_H
#define AUTHD_TEMPLATE_INTERNAL_H

#include "authd/template.h"

#define TEMPLATE_ARGS_MAX 16

enum template_escape { ESCAPE_UNKNOWN, ESCAPE_HTML, ESCAPE_URL, ESCAPE_QUERY };

struct template_pipe;
struct template_run;
struct template_operand {
	enum { OPERAND_FIELD, OPERAND_VARIABLE, OPERAND_VALUE, OPERAND_PIPE, OPERAND_FUNCTION } kind;
	struct slice path;     /* FIELD: "A.B" or ""; VARIABLE: what follows its name */
	struct slice name;     /* VARIABLE, without '$'; FUNCTION */
	struct template_value value;
	struct template_pipe *pipe;
	const struct template_function *function;
	struct template_operand *next;
};
struct template_command {
	struct template_operand *first;
	size_t n;
	struct template_command *next;
};
struct template_pipe {
	int line;
	struct slice declared[2]; /* of "$i, $x :=" ; .p NULL: none */
	bool assigns;             /* "=" */
	struct template_command *first;
};
enum template_node_kind { NODE_TEXT, NODE_PRINT, NODE_IF, NODE_WITH, NODE_RANGE, NODE_CALL };
struct template_node {
	enum template_node_kind kind;
	int line;
	struct slice text;  /* TEXT; CALL: name */
	struct template_pipe *pipe;
	struct template_node *body, *other; /* of if, with, range */
	enum template_escape escape; /* PRINT */
	struct template_node *next;
};
struct template_one {
	const char *file;
	struct slice name;
	struct template_node *body;
	struct template_one *next;
};
struct template_set {
	struct arena *arena;
	struct template_one *first;
};

struct template_function {
	const char *name;
	size_t args_min, args_max; /* at most TEMPLATE_ARGS_MAX */
	/* False: it cannot be done with these. */
	bool (*call)(struct template_run *run, const struct template_value *args, size_t n, struct template_value *out);
};

/* A template that is being run. */
struct template_variable {
	struct slice name;
	struct template_value value;
};

struct template_run {
	const struct template_set *set;
	const struct template_world *world;
	struct arena *arena;
	struct buf *out;
	const char *file;
	int line;
	char *why;
	size_t why_n;
	struct template_variable variables[TEMPLATE_VARIABLES_MAX];
	size_t variable_n;
	size_t rounds;
	unsigned depth;
	bool no_memory;
};

/* What a page prints; lists as Go does. In the arena. */
struct slice template_text_of(struct template_run *run, const struct template_value *v);
/* Whether "if" takes its first branch. */
bool template_truth(const struct template_value *v);

const struct template_one *template_find(const struct template_set *set, struct slice name);
const struct template_function *template_function_find(struct slice name);
enum err template_say(char *why, size_t why_n, const char *file, int line, const char *fmt, ...) PRINTF_LIKE(5, 6);

#endif
