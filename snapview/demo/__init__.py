"""The demo lab: a private libvirt daemon in one folder, and VMs with a 512-byte guest."""
