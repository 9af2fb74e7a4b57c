"""The machine that skbert runs on: devices, threads, memory, files, Ctrl-C.

Nothing here knows about texts, labels or models. Private or version-dependent APIs of
other libraries are reached through this package only.
"""
