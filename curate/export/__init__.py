"""The way out: a build in the files and with the settings that a trainer reads, and a ledger of its rows."""
