"""One function a command, shared by the command line, pipelines/ and notebooks."""
