/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * With the tunable harness.shell=1, init runs commands from the second serial
 * port (images/shell) after its report.
 */

#include "commands.h"
#include "facts.h"
#include "libc.h"
#include "machine.h"
#include "syscall.h"
#include "sysctl.h"

#include "protocol.h"
#include "shell.h"

#define PATH_SIZE	256
#define DATA_SIZE	512
#define DIRECTORY_MODE	0755
#define MNT_UPDATE	0x10000	/* sys/sys/mount.h */

static bool serving;

/* --- the guest's part of the protocol ----------------------------------- */

void
probe_send(const char *text, size_t length)
{
	port_write(text, length);
}

const char *
probe_guest(void)
{
	return ("freebsd");
}

int
probe_domains(void)
{
	return (count_domains());
}

int
probe_cpus(void)
{
	return ((int)sysctl_number("hw.ncpu", 1));
}

/* --- commands ----------------------------------------------------------- */

/* What strerror(3) returns for errors of files (sys/sys/errno.h); a number for others. */
static const char *
error_text(int64_t error)
{
	static const struct {
		int64_t		error;
		const char	*text;
	} known[] = {
		{ -2, "No such file or directory" },
		{ -13, "Permission denied" },
		{ -17, "File exists" },
		{ -20, "Not a directory" },
		{ -21, "Is a directory" },
		{ -28, "No space left on device" },
		{ -30, "Read-only file system" },
	};
	static char number[32];
	struct text text = text_into(number, sizeof(number));

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (known[i].error == error)
			return (known[i].text);
	text_string(&text, "error ");
	text_number(&text, (uint64_t)-error);
	return (number);
}

static int
print_file(const char *path)
{
	static char buffer[4096];
	int64_t file = open(path, O_RDONLY), length = file;

	while (file >= 0 && (length = syscall(SYS_read, (uint64_t)file, (uintptr_t)buffer,
	    sizeof(buffer), 0, 0, 0)) > 0)
		shell_out(buffer, (size_t)length);
	if (file >= 0)
		close(file);
	return (length < 0 ? shell_fail("cat", path, error_text(length)) : 0);
}

static int
do_cat(int argc, char **argv)
{
	int status = 0;

	if (argc < 2)
		return (shell_fail("cat", "standard input", "there is none"));
	for (int i = 1; i < argc; i++)
		status |= print_file(argv[i]);
	return (status);
}

static int
do_mkdir(int argc, char **argv)
{
	int status = 0;

	for (int i = 1; i < argc; i++) {
		int64_t made = syscall(SYS_mkdir, (uintptr_t)argv[i], DIRECTORY_MODE, 0, 0, 0, 0);

		if (made < 0)
			status = shell_fail("mkdir", argv[i], error_text(made));
	}
	return (status);
}

static int
do_panic(int argc, char **argv)
{
	(void)argc;
	(void)sysctl_set_int("debug.kdb.panic", 1);
	return (shell_fail(argv[0], "debug.kdb.panic", "cannot be set"));
}

const struct shell_command shell_commands[] = {
	{ "cat", do_cat },
	{ "mkdir", do_mkdir },
	{ "panic", do_panic },
	{ "sysctl", do_sysctl },
	{ NULL, NULL },
};

/* --- files -------------------------------------------------------------- */

static int64_t
write_part(const char *path, long at, long mode, const char *data, long length)
{
	int64_t file = create(path, at == 0 ? O_TRUNC : 0, (uint64_t)mode), written;

	if (file < 0)
		return (file);
	written = syscall(SYS_pwrite, (uint64_t)file, (uintptr_t)data, (uint64_t)length,
	    (uint64_t)at, 0, 0);
	close(file);
	return (written);
}

/* "write path= data= at= mode=": a part of a file; the first one creates it. */
static bool
write_obey(void)
{
	static char path[PATH_SIZE], data[DATA_SIZE];
	long at = probe_number("at"), mode = probe_number("mode");
	long path_length = shell_bytes("path", path, sizeof(path) - 1);
	long length = shell_bytes("data", data, sizeof(data));
	int64_t written;

	if (!probe_is_command("write"))
		return (false);
	if (at < 0 || mode < 0 || path_length <= 0 || length < 0) {
		probe_refused("field");
		return (true);
	}
	path[path_length] = '\0';
	written = write_part(path, at, mode, data, length);
	if (written < 0) {
		const char *why = error_text(written);

		shell_field(probe_begin("failed"), "why", why, strlen(why));
	} else {
		probe_begin("wrote");
		probe_field("bytes", (uint64_t)written);
	}
	probe_finish();
	return (true);
}

/* The kernel mounts the root read-only: mount(8) -u -o rw. */
static void
make_root_writable(void)
{
	static const char *const options[] = {
		"fstype", "ufs", "fspath", "/", "from", "/dev/md0", "rw", NULL,
	};
	struct {
		const char	*base;
		size_t		 length;
	} parts[sizeof(options) / sizeof(options[0])];

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		parts[i].base = options[i];
		parts[i].length = options[i] == NULL ? 0 : strlen(options[i]) + 1;
	}
	(void)syscall(SYS_nmount, (uintptr_t)parts, sizeof(parts) / sizeof(parts[0]), MNT_UPDATE, 0, 0,
	    0);
}

/* --- the port ----------------------------------------------------------- */

void
shell_open(int64_t console)
{
	static const char none[] = "harness.shell: no second serial port\n";

	if (!kenv_is_one("harness.shell"))
		return;
	serving = port_open();
	if (!serving)
		(void)syscall(SYS_write, (uint64_t)console, (uintptr_t)none, sizeof(none) - 1, 0, 0,
		    0);
}

void
shell_serve(void)
{
	if (!serving)
		return;
	make_root_writable();
	probe_register(shell_obey);
	probe_register(write_obey);
	if (kenv_is_one("harness.renew"))
		probe_register(renew_obey);
	for (;;)
		probe_take(port_read());
}
