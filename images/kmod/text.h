/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
#ifndef TEXT_H
#define TEXT_H

/*
 * Text that is built up from the left, in a buffer; what does not fit is
 * dropped.  Who includes this has uint64_t and size_t already, each guest from
 * headers of its own.
 */
struct text {
	char	*at;
	char	*end;		/* one place before it is kept for the final NUL */
};

struct text text_into(char *buffer, size_t size);
void	text_char(struct text *text, char c);
void	text_string(struct text *text, const char *string);
void	text_number(struct text *text, uint64_t number);
void	text_hex(struct text *text, uint64_t number, int digits);

/* The value of a hexadecimal digit, in lower case; 16 if it is none. */
int	digit_of(char c);

#endif
