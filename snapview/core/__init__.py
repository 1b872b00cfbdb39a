"""The domain in pure Python: no Qt, no libvirt, no threads, no input or output.

Knows what a VM, a snapshot, a tree and an operation are and what is safe to do.
Everything else in snapview depends on this package; it depends on nothing.
"""
