"""The layouts that raw data comes in; nothing else in `curate` knows them.

A format is a frozen dataclass made by a factory function of the same name. It says which fields of a raw row it reads
(`layout`, a typed struct) and which rows they make; all other fields are kept in `meta`. A module that lists formats in
`CANDIDATES` adds them to those that a user can name and that `format="auto"` tries.
"""
