"""The command line: the same plans and the same hosts as the window, in a terminal.

Knows arguments, exit statuses, text and JSON shapes; hides Click and Rich from everything else.
Never imports Qt. ``app.main`` is the entry; what it needs from outside comes in ``Services``.
"""
