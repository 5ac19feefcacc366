"""The platform's own files: nothing outside this package knows a path in the store."""
