# Zones of UMA with buckets and caches, held to invariants.

SRCS+=	zones.c zones_check.c zones_commands.c zones_guest.c zones_memory.c zones_operations.c
