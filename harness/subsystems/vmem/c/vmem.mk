# Arenas of vmem(9); sys/vmem.h is the same in all releases.

SRCS+=	arena.c arena_commands.c
