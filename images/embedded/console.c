/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/* The console: COM1, polled, and a small printf on top of it. */

#include "kernel.h"
#include "cpu.h"

#define COM1		0x3f8
#define COM_DATA	(COM1 + 0)
#define COM_LSR		(COM1 + 5)
#define LSR_TXRDY	0x20
#define TX_SPINS	(1 << 30)	/* a dead port must not stop the kernel, a full socket may take its time */

#define MSGBUF_SIZE	(16 * 1024)

static char msgbuf[MSGBUF_SIZE];
static size_t msgbuf_written;

struct sink {
	char	*buffer;	/* NULL: to the console */
	size_t	 size;
	size_t	 length;
};

static void
cnputc(char c)
{
	for (int spins = 0; spins < TX_SPINS && (inb(COM_LSR) & LSR_TXRDY) == 0; spins++)
		continue;
	outb(COM_DATA, (uint8_t)c);
}

/* The older part is empty until the buffer was full once. */
const char *
msgbuf_part(int part, size_t *length)
{
	size_t at = msgbuf_written % MSGBUF_SIZE;

	if (part == 0 && msgbuf_written >= MSGBUF_SIZE) {
		*length = MSGBUF_SIZE - at;
		return (msgbuf + at);
	}
	*length = part == 0 ? 0 : at;
	return (msgbuf);
}

/* Bytes as they are but for the end of a line, which is CR LF as on FreeBSD. */
void
cnputs(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (text[i] == '\n')
			cnputc('\r');
		cnputc(text[i]);
		msgbuf[msgbuf_written++ % MSGBUF_SIZE] = text[i];
	}
}

static void
emit(struct sink *sink, char c)
{
	if (sink->buffer == NULL)
		cnputs(&c, 1);
	else if (sink->length + 1 < sink->size)
		sink->buffer[sink->length] = c;
	sink->length++;
}

static void
emit_number(struct sink *sink, uint64_t value, unsigned base, bool negative, int width, char pad)
{
	char digits[24];
	int count = 0;

	do {
		digits[count++] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value != 0);
	if (negative)
		digits[count++] = '-';
	for (; width > count; width--)
		emit(sink, pad);
	while (count > 0)
		emit(sink, digits[--count]);
}

static void
emit_string(struct sink *sink, const char *text, int width)
{
	for (; *text != '\0'; text++, width--)
		emit(sink, *text);
	for (; width > 0; width--)
		emit(sink, ' ');
}

static void
emit_integer(struct sink *sink, char conversion, bool wide, va_list *arguments, int width, char pad)
{
	int64_t value;

	if (conversion == 'd') {
		value = wide ? va_arg(*arguments, int64_t) : va_arg(*arguments, int);
		emit_number(sink, value < 0 ? -(uint64_t)value : (uint64_t)value, 10, value < 0,
		    width, pad);
	} else
		emit_number(sink, wide ? va_arg(*arguments, uint64_t) : va_arg(*arguments, unsigned),
		    conversion == 'x' ? 16 : 10, false, width, pad);
}

/* Supports %c %s %d %u %x with #, 0, a width, and l or z. */
static void
format_into(struct sink *sink, const char *format, va_list *arguments)
{
	for (; *format != '\0'; format++) {
		char pad = ' ';
		int width = 0;
		bool wide = false;

		if (*format != '%') {
			emit(sink, *format);
			continue;
		}
		if (*++format == '#') {
			emit_string(sink, "0x", 0);
			format++;
		}
		if (*format == '0')
			pad = '0';
		for (; *format >= '0' && *format <= '9'; format++)
			width = width * 10 + (*format - '0');
		for (; *format == 'l' || *format == 'z'; format++)
			wide = true;
		switch (*format) {
		case 'c':
			emit(sink, (char)va_arg(*arguments, int));
			break;
		case 's':
			emit_string(sink, va_arg(*arguments, const char *), width);
			break;
		case 'd':
		case 'u':
		case 'x':
			emit_integer(sink, *format, wide, arguments, width, pad);
			break;
		default:
			emit(sink, *format);
		}
	}
}

void
vprintf(const char *format, va_list arguments)
{
	struct sink sink = { .buffer = NULL };
	va_list copy;

	va_copy(copy, arguments);
	format_into(&sink, format, &copy);
	va_end(copy);
}

void
printf(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
}

/* Returns the length the whole text has, which may exceed the buffer's. */
int
vsnprintf(char *buffer, size_t size, const char *format, va_list arguments)
{
	struct sink sink = { .buffer = buffer, .size = size };
	va_list copy;

	va_copy(copy, arguments);
	format_into(&sink, format, &copy);
	va_end(copy);
	buffer[MIN(sink.length, size - 1)] = '\0';
	return ((int)sink.length);
}

int
snprintf(char *buffer, size_t size, const char *format, ...)
{
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(buffer, size, format, arguments);
	va_end(arguments);
	return (length);
}
