"""The first settings file of a dataset: looking at what there is, choosing, writing with comments."""
