"""News of nights by mail and in chats; the extra ``harness[nightly]``."""
