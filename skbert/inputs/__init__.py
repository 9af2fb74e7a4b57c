"""What users pass in: texts, label matrices, tables and per-label arguments.

Each module turns one kind of argument into the one form that the rest of skbert
reads, or raises an error that names the offending row, column or value. Nothing here
imports torch.
"""
