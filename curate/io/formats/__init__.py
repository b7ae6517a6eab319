"""The layouts that raw data comes in; nothing else in `curate` knows them.

A format is a frozen dataclass made by a factory function of the same name. It says which fields of a raw row it reads
(`layout`, a typed struct) and what row they make; whatever else the row holds goes along in `meta`.
"""
