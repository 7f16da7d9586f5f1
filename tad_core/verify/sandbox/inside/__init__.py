"""Code that runs inside the sandbox: the standard library only, and nothing of the rest of the project."""
