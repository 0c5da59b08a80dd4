# Zones of UMA with buckets and caches, held to invariants.

SRCS+=	zones.c zones_allocation.c zones_callbacks.c zones_check.c zones_commands.c
SRCS+=	zones_guest.c zones_items.c zones_memory.c zones_moved.c
SRCS+=	zones_operations.c zones_own.c zones_readers.c zones_reclaim.c
