"""The methods that the paper compares PatchCore with, and the controls, behind the same two verbs."""
