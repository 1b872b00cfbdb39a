"""The libvirt side. Only ``host.py`` imports libvirt; XML is read and built in pure files."""
