"""The nouns, the verbs and the errors: the standard library alone."""
