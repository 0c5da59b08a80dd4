/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */

#include "protocol.h"
#include "shell.h"

#define LINE_SIZE	512
#define WORDS_MAX	32
#define PIECE		448	/* bytes of output in an answer: 896 digits */
#define NOT_FOUND	127

enum stream { OUT, ERR };

static const char *const stream_names[] = { [OUT] = "out", [ERR] = "err" };

/* Output that has not been sent. */
static char piece[PIECE];
static size_t piece_length;
static enum stream piece_stream;
static unsigned pieces_sent;

/* --- output ------------------------------------------------------------- */

static void
flush(void)
{
	struct text *text;

	if (piece_length == 0)
		return;
	text = probe_begin(stream_names[piece_stream]);
	probe_field("n", pieces_sent++);
	shell_field(text, "data", piece, piece_length);
	probe_finish();
	piece_length = 0;
}

static void
put(enum stream stream, const char *data, size_t length)
{
	if (stream != piece_stream)
		flush();
	piece_stream = stream;
	while (length-- > 0) {
		if (piece_length == sizeof(piece))
			flush();
		piece[piece_length++] = *data++;
	}
}

void
shell_out(const char *data, size_t length)
{
	put(OUT, data, length);
}

void
shell_print(const char *string)
{
	put(OUT, string, strlen(string));
}

void
shell_print_number(unsigned long long number)
{
	char digits[24];
	struct text text = text_into(digits, sizeof(digits));

	text_number(&text, number);
	shell_print(digits);
}

static void
complain(const char *string)
{
	put(ERR, string, strlen(string));
}

int
shell_fail(const char *name, const char *subject, const char *why)
{
	complain(name);
	complain(": ");
	complain(subject);
	complain(": ");
	complain(why);
	complain("\n");
	return (1);
}

/* --- the command line --------------------------------------------------- */

static bool
is_blank(char c)
{
	return (c == ' ' || c == '\t' || c == '\n');
}

/* What sh(1) gives a meaning that is not implemented here; some only at the start of a word. */
static bool
is_special(char c, bool starts_word)
{
	for (const char *each = "|&;<>()$`*?["; *each != '\0'; each++)
		if (c == *each)
			return (true);
	return (starts_word && (c == '#' || c == '~'));
}

/*
 * Takes one word off the line, in place: what quotes and backslashes kept from
 * being special is moved to its place.  False for what is not implemented.
 */
static bool
take_word(char **at, char **word)
{
	char *to = *at, *from = *at, quote = '\0';

	*word = to;
	for (; *from != '\0' && (quote != '\0' || !is_blank(*from)); from++) {
		if (*from == quote) {
			quote = '\0';
		} else if (quote == '\0' && (*from == '\'' || *from == '"')) {
			quote = *from;
		} else if (*from == '\\' && quote != '\'' && from[1] != '\0') {
			if (quote == '"' && from[1] != '"' && from[1] != '\\')
				*to++ = *from;
			*to++ = *++from;
		} else if (quote == '\0' ? is_special(*from, from == *word) :
		    quote == '"' && (*from == '$' || *from == '`')) {
			return (false);
		} else
			*to++ = *from;
	}
	*at = *from == '\0' ? from : from + 1;
	*to = '\0';
	return (quote == '\0');
}

/* The number of words, or -1. */
static int
split(char *line, char **words)
{
	int count = 0;

	for (;;) {
		while (is_blank(*line))
			line++;
		if (*line == '\0')
			break;
		if (count == WORDS_MAX || !take_word(&line, &words[count]))
			return (-1);
		count++;
	}
	return (count);
}

/* --- commands ----------------------------------------------------------- */

static int
do_true(int argc, char **argv)
{
	(void)argc, (void)argv;
	return (0);
}

static int
do_false(int argc, char **argv)
{
	(void)argc, (void)argv;
	return (1);
}

static int
do_exit(int argc, char **argv)
{
	unsigned status = 0;

	if (argc > 2)
		return (shell_fail("exit", argv[2], "too many arguments"));
	for (const char *digit = argc == 2 ? argv[1] : ""; *digit != '\0'; digit++) {
		if (*digit < '0' || *digit > '9' || status > 255) {
			(void)shell_fail("exit", argv[1], "not an exit status");
			return (SHELL_USAGE);
		}
		status = status * 10 + (unsigned)(*digit - '0');
	}
	return ((int)(status & 255));
}

static int
do_echo(int argc, char **argv)
{
	bool newline = argc < 2 || strlen(argv[1]) != 2 || memcmp(argv[1], "-n", 2) != 0;

	for (int i = newline ? 1 : 2; i < argc; i++) {
		shell_print(argv[i]);
		if (i + 1 < argc)
			shell_print(" ");
	}
	if (newline)
		shell_print("\n");
	return (0);
}

static const struct shell_command common_commands[] = {
	{ "true", do_true },
	{ "false", do_false },
	{ "exit", do_exit },
	{ "echo", do_echo },
	{ NULL, NULL },
};

static const struct shell_command *
find(const struct shell_command *command, const char *name)
{
	size_t length = strlen(name);

	for (; command->name != NULL; command++)
		if (strlen(command->name) == length && memcmp(command->name, name, length) == 0)
			return (command);
	return (NULL);
}

static int
run(char *line)
{
	char *words[WORDS_MAX];
	int count = split(line, words);
	const struct shell_command *command;

	if (count < 0) {
		complain("sh: this guest's shell runs single commands of at most 32 words, without "
		    "expansions, pipes and redirections\n");
		return (SHELL_USAGE);
	}
	if (count == 0)
		return (0);
	command = find(common_commands, words[0]);
	if (command == NULL)
		command = find(shell_commands, words[0]);
	if (command == NULL) {
		(void)shell_fail("sh", words[0], "not found");
		return (NOT_FOUND);
	}
	return (command->run(count, words));
}

/* --- the protocol ------------------------------------------------------- */

void
shell_field(struct text *text, const char *key, const char *data, size_t length)
{
	text_char(text, ' ');
	text_string(text, key);
	text_char(text, '=');
	while (length-- > 0)
		text_hex(text, (unsigned char)*data++, 2);
}

long
shell_decode(const char *at, char *buffer, size_t size)
{
	size_t length = 0;

	for (; *at != ' ' && *at != '\0'; at += 2) {
		int high = digit_of(at[0]), low = high == 16 ? 16 : digit_of(at[1]);

		if (low == 16 || length == size)
			return (-1);
		buffer[length++] = (char)(high << 4 | low);
	}
	return ((long)length);
}

long
shell_bytes(const char *key, char *buffer, size_t size)
{
	const char *at = probe_value(key);

	return (at == NULL ? -1 : shell_decode(at, buffer, size));
}

bool
shell_obey(void)
{
	static char line[LINE_SIZE];
	long length;
	int status;

	if (!probe_is_command("run"))
		return (false);
	length = shell_bytes("line", line, sizeof(line) - 1);
	if (length < 0) {
		probe_refused("line");
		return (true);
	}
	line[length] = '\0';
	pieces_sent = 0;
	status = run(line);
	flush();
	probe_begin("exit");
	probe_field("n", pieces_sent);
	probe_field("status", (uint64_t)status);
	probe_finish();
	return (true);
}
