"""The window's dialogs. Each asks ``plan`` at every change and shows what it says."""
