"""Disk images: what their own metadata says of who needs which bytes. Pure: no Qt, no libvirt."""
