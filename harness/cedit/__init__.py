"""Reading and changing C: functions, their statements, and what is the same about two texts."""
