"""Local pages that people work on in their browser: one HTML file each, served to this machine alone."""
