# Zones of UMA with buckets and caches, held to invariants.

SRCS+=	zones.c zones_check.c zones_commands.c zones_guest.c zones_items.c zones_memory.c
SRCS+=	zones_operations.c zones_own.c
