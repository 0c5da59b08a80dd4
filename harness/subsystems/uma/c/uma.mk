# Zones of UMA, and where their slabs come from.

SRCS+=	slabs.c starve.c zone.c zone_commands.c zone_trace.c
