This is a read-me file.
