"""One boot, from its plan to the cell of the record: media, guest, listening, second opinions."""
