"""The window: Qt widgets that never see libvirt."""
